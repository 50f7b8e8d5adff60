//! NVRTC compiles all kernels for the cards that they are meant for, which takes no GPU; what each takes of a multiprocessor stays bounded:
//! no register is spilled, every launch fits its registers and its shared memory.
//!
//! Never skips: NVRTC is a part of the set-up (tools/setup). With `--nocapture` it prints the table.
#![cfg(all(target_os = "linux", target_arch = "x86_64", feature = "cuda"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use metacl::augment::cuda::{Output, SOURCES, ValueKind, ViewList, kernels};
use metacl::augment::{Filter, ViewSpec};
use metacl::gpu::{Architecture, Resources, resources};

/// A kind of card, and bytes of shared memory that a block may have on it: A100, H100.
const CARDS: [(Architecture, u32); 2] = [(Architecture(80), 166_912), (Architecture(90), 232_448)];

/// Registers of a multiprocessor, and of a block.
const REGISTERS: u32 = 65_536;

/// Most threads that a launch gives a block of each kernel.
const THREADS: [(&str, u32); 5] =
    [("expand_chunks", 32), ("make_pixels", 128), ("make_tables", 128), ("mix_rows", 256), ("render_views", 1024)];

fn told(architecture: Architecture) -> Vec<Resources> {
    let told = resources(&SOURCES, &[], architecture).unwrap();
    eprintln!("{architecture}        registers  stack  spilled  shared memory");
    for kernel in &told {
        let spilled = kernel.spill_stores + kernel.spill_loads;
        eprintln!("{:14} {:9} {:6} {spilled:8} {:14}", kernel.kernel, kernel.registers, kernel.stack, kernel.shared);
    }
    told
}

#[test]
fn every_kernel_fits_its_cards() {
    let mut names = kernels::NAMES;
    names.sort_unstable();
    for (architecture, most_shared) in CARDS {
        let told = told(architecture);
        assert_eq!(told.iter().map(|kernel| &*kernel.kernel).collect::<Vec<_>>(), names, "{architecture}");
        for (kernel, (name, threads)) in told.iter().zip(THREADS) {
            assert_eq!(kernel.kernel, name);
            assert_eq!((kernel.stack, kernel.spill_stores, kernel.spill_loads), (0, 0, 0), "{architecture} {name}");
            // Registers are given to a warp in portions of 256: 8 a thread.
            let registers = kernel.registers.next_multiple_of(8) * threads;
            assert!(kernel.registers > 0 && registers <= REGISTERS, "{architecture} {name}: {registers} registers");
            assert!(kernel.shared <= 48 << 10, "{architecture} {name}: {} bytes", kernel.shared);
        }
        let render_views = told.last().unwrap();
        sides_fit(architecture, most_shared, render_views.shared);
    }
}

/// Whatever the side of the views, a launch asks for no more shared memory than a block may have beside what `render_views` declares; at 224
/// pixels, views lie there on both cards.
fn sides_fit(architecture: Architecture, most: u32, declared: u32) {
    for size in 1..=600 {
        for filter in [Filter::Bicubic, Filter::Bilinear] {
            let output = Output { kind: ValueKind::F32, channels_last: false };
            let list = ViewList::new(ViewSpec { size, filter }, output, most - declared);
            let asked = declared + list.shared_bytes();
            assert!(asked <= most && list.threads() <= 1024, "{architecture}, {size} pixels: {asked} bytes");
            assert!(list.shared_bytes() > 0 || size > 224, "{architecture}: {size} pixels leave shared memory");
        }
    }
}
