//! CUDA C++ to machine code for the card at hand, by NVRTC, and kept on disk.
//!
//! Lives here: what is compiled and how ([`Sources`], [`Architecture`], the options that all kernels share). Below:
//! `nvrtc`, the calls; `cache`, the files; `resources`, registers and spills. Not here: sources (`kernels/`), loading
//! (`kernel`).

mod cache;
#[cfg(feature = "cuda")]
mod nvrtc;
#[cfg(not(feature = "cuda"))]
#[path = "compile/no_nvrtc.rs"]
mod nvrtc;
mod resources;

pub use cache::{Cache, Origin};
pub use resources::{Resources, resources};

use super::GpuError;

/// Options of every kernel. Multiply and add stay two roundings, as on the CPU: the two must agree to the byte.
/// Division, square root and denormals are IEEE's unless an option says otherwise, and none does.
const OPTIONS: [&str; 2] = ["--std=c++17", "--fmad=false"];

/// What is compiled: names and texts. Nothing is read from disk.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// The source, by the name that messages give it.
    pub main: (&'a str, &'a str),
    /// What it may include, by the name that it includes it with.
    pub headers: &'a [(&'a str, &'a str)],
}

/// A kind of card: 90 is sm_90, for compute capability 9.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Architecture(pub u32);

impl Architecture {
    /// The best code that NVRTC makes for a card of `compute_capability`: its own, or that of the nearest older card of
    /// its major number, which it runs as well.
    ///
    /// # Errors
    /// [`GpuError::Architecture`] where it makes none, [`GpuError::NoNvrtc`], [`GpuError::NotBuilt`].
    pub fn of(compute_capability: (u32, u32)) -> Result<Self, GpuError> {
        let known = nvrtc::architectures()?;
        match nearest(compute_capability, &known) {
            Some(best) => Ok(Self(best)),
            None => Err(GpuError::Architecture { found: compute_capability, nvrtc: nvrtc::version()?, known }),
        }
    }
}

impl std::fmt::Display for Architecture {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "sm_{}", self.0)
    }
}

/// Code runs on cards of its major number and the same or a higher minor number.
fn nearest((major, minor): (u32, u32), known: &[u32]) -> Option<u32> {
    known.iter().copied().filter(|code| code / 10 == major && code % 10 <= minor).max()
}

/// Machine code of a module, whole: NVRTC wrote it, or the cache kept it with its checksum.
#[derive(Clone, PartialEq, Eq)]
pub struct Cubin {
    bytes: Vec<u8>,
}

impl Cubin {
    /// The ELF file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl std::fmt::Debug for Cubin {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Cubin({} bytes)", self.bytes.len())
    }
}

/// What a compilation gives.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The code.
    pub cubin: Cubin,
    /// Warnings, and what options asked to be told; often empty.
    pub log: String,
}

/// Compiles `sources`, without a cache. `options` join those of all kernels (`--std=c++17 --fmad=false`);
/// `--use_fast_math` and the like would make the kernels disagree with the CPU.
///
/// # Errors
/// [`GpuError::Compile`] with NVRTC's log, [`GpuError::ZeroByte`], [`GpuError::NoNvrtc`], [`GpuError::Nvrtc`],
/// [`GpuError::NotBuilt`].
pub fn compile(sources: &Sources, options: &[&str], architecture: Architecture) -> Result<Compiled, GpuError> {
    nvrtc::compile(sources, &all_options(options, architecture), architecture)
}

fn all_options(options: &[&str], architecture: Architecture) -> Vec<String> {
    let ours = OPTIONS.iter().map(|option| (*option).to_owned());
    ours.chain([format!("--gpu-architecture={architecture}")])
        .chain(options.iter().map(|&option| option.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    const SCALE: Sources = Sources {
        main: (
            "scale.cu",
            "#include \"factor.cuh\"\nextern \"C\" __global__ void scale(float* rows) { rows[threadIdx.x] *= FACTOR; }",
        ),
        headers: &[("factor.cuh", "constexpr float FACTOR = 3;")],
    };

    #[test]
    fn the_nearest_older_card_of_the_same_major_number_gives_the_code() {
        let known = [75, 80, 86, 87, 88, 89, 90, 100, 103, 110, 120, 121];
        let expected = [
            ((7, 5), Some(75)),
            ((8, 0), Some(80)),
            ((8, 6), Some(86)),
            ((9, 0), Some(90)),
            ((9, 1), Some(90)),
            ((10, 2), Some(100)),
            ((12, 1), Some(121)),
            ((7, 0), None),
            ((13, 0), None),
        ];
        for (card, code) in expected {
            assert_eq!(nearest(card, &known), code, "{card:?}");
        }
    }

    #[test]
    #[cfg(not(feature = "cuda"))]
    fn a_build_without_cuda_says_so() {
        assert!(matches!(compile(&SCALE, &[], Architecture(80)), Err(GpuError::NotBuilt)));
        assert_eq!(Architecture::of((8, 0)), Err(GpuError::NotBuilt));
    }

    /// NVRTC needs no GPU. Where it is not installed, the error must say so; nothing else is left to see.
    #[cfg(feature = "cuda")]
    fn no_nvrtc() -> bool {
        let missing = matches!(nvrtc::version(), Err(GpuError::NoNvrtc));
        if missing {
            let laid = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.libtorch/cuda/libnvrtc.so.13"));
            assert!(!laid.exists(), "{} is not found through the binary's path", laid.display());
            assert_eq!(compile(&SCALE, &[], Architecture(80)).unwrap_err(), GpuError::NoNvrtc);
            eprintln!("skipped: NVRTC is not installed (make setup)");
        }
        missing
    }

    #[test]
    #[cfg(feature = "cuda")]
    fn sources_become_machine_code_without_a_gpu() {
        if no_nvrtc() {
            return;
        }
        let code = [80, 90].map(|number| compile(&SCALE, &[], Architecture(number)).unwrap().cubin);
        for cubin in &code {
            assert!(cubin.bytes().starts_with(b"\x7fELF") && find(cubin.bytes(), b".text.scale"), "{cubin:?}");
        }
        assert_ne!(code[0], code[1]);
        let more = compile(&SCALE, &["-DUNUSED"], Architecture(80)).unwrap().cubin;
        assert_eq!(code[0].bytes().len(), more.bytes().len());
    }

    #[test]
    #[cfg(feature = "cuda")]
    fn what_does_not_compile_is_shown_with_its_place() {
        if no_nvrtc() {
            return;
        }
        let broken = Sources { main: ("broken.cu", "\n__global__ void k() { missing(); }"), headers: &[] };
        let Err(GpuError::Compile { name, architecture, log }) = compile(&broken, &[], Architecture(90)) else {
            panic!("compiled")
        };
        assert_eq!((&*name, &*architecture), ("broken.cu", "sm_90"));
        assert!(log.contains("broken.cu(2)") && log.contains("missing"), "{log}");

        let unknown = compile(&SCALE, &["--no-such-option"], Architecture(90)).unwrap_err();
        assert!(matches!(unknown, GpuError::Nvrtc { call: "nvrtcCompileProgram", .. }), "{unknown:?}");
        let no_card = compile(&SCALE, &[], Architecture(11)).unwrap_err();
        assert!(matches!(no_card, GpuError::Nvrtc { .. }), "{no_card:?}");
        let cut = compile(&Sources { main: ("cut.cu", "a\0b"), headers: &[] }, &[], Architecture(90)).unwrap_err();
        assert_eq!(cut, GpuError::ZeroByte { what: "cut.cu".to_owned() });
    }

    /// A fused multiply-add would round once where the CPU rounds twice.
    #[test]
    #[cfg(feature = "cuda")]
    fn no_multiplication_is_fused_with_an_addition() {
        if no_nvrtc() {
            return;
        }
        let source = |body: &str| format!("extern \"C\" __global__ void k(float* x) {{ *x = {body}; }}");
        let code = |body: &str| {
            let text = source(body);
            compile(&Sources { main: ("k.cu", &text), headers: &[] }, &[], Architecture(80)).unwrap().cubin
        };
        // Explicit roundings are never fused; the same code comes out.
        assert_eq!(code("x[0] * x[1] + x[2]"), code("__fadd_rn(__fmul_rn(x[0], x[1]), x[2])"));
        assert_ne!(code("x[0] * x[1] + x[2]"), code("__fmaf_rn(x[0], x[1], x[2])"));
    }

    #[test]
    #[cfg(feature = "cuda")]
    fn registers_shared_memory_and_spills_are_told() {
        if no_nvrtc() {
            return;
        }
        let text = r#"
            extern "C" __global__ void small(float* x) { __shared__ float s[64]; s[threadIdx.x] = *x; __syncthreads(); *x = s[5]; }
            extern "C" __global__ void __launch_bounds__(1024, 2) large(float* x) {
                float a[96];
                #pragma unroll
                for (int i = 0; i < 96; ++i) a[i] = x[i * threadIdx.x];
                #pragma unroll
                for (int i = 0; i < 96; ++i) x[i] = a[i] * a[95 - i];
            }"#;
        let told = resources(&Sources { main: ("two.cu", text), headers: &[] }, &[], Architecture(80)).unwrap();
        let [large, small] = &told[..] else { panic!("{told:?}") };
        assert_eq!((&*large.kernel, &*small.kernel), ("large", "small"));
        assert!((1..=32).contains(&large.registers) && large.spill_stores > 0 && large.spill_loads > 0, "{large:?}");
        assert!(small.registers > 0 && small.shared == 256 && small.stack == 0 && small.spill_stores == 0, "{small:?}");
    }

    #[test]
    #[cfg(feature = "cuda")]
    fn a_second_call_reads_what_the_first_has_made() {
        if no_nvrtc() {
            return;
        }
        let root = tempfile::tempdir().unwrap();
        let cache = Cache { folder: Some(root.path().to_owned()) };
        let call = |options: &[&str], number| cache.compile(&SCALE, options, Architecture(number)).unwrap();
        let (made, origin) = call(&[], 80);
        assert_eq!((&made, origin), (&compile(&SCALE, &[], Architecture(80)).unwrap().cubin, Origin::Compiled));
        assert_eq!(call(&[], 80), (made, Origin::Cache));
        assert_eq!(call(&[], 90).1, Origin::Compiled);
        assert_eq!(call(&["-DX"], 80).1, Origin::Compiled);
    }

    #[test]
    #[cfg(feature = "cuda")]
    fn the_code_for_a_card_is_one_that_nvrtc_makes() {
        if no_nvrtc() {
            return;
        }
        for (card, number) in [((8, 0), 80), ((9, 0), 90)] {
            assert_eq!(Architecture::of(card), Ok(Architecture(number)));
        }
        assert!(matches!(Architecture::of((3, 5)), Err(GpuError::Architecture { found: (3, 5), .. })));
    }

    #[cfg(feature = "cuda")]
    fn find(bytes: &[u8], part: &[u8]) -> bool {
        bytes.windows(part.len()).any(|window| window == part)
    }
}
