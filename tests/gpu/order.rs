//! Order among streams: a pipeline with two buffers of each kind is right under every order that its events allow, and
//! wrong under some order where any of its waits is missing. On a machine with a GPU, that runs the pipeline too.

use metacl::gpu::fake::{Mode, Operation};
use metacl::gpu::{Arguments, DeviceBuffer, Event, Gpu, Kernel, Launch, PinnedBuffer, RawStream, Stream};

use crate::support::{fake, real, twice};

const BYTES: usize = 64;
const STEPS: usize = 8;
const SEEDS: u64 = 200;

/// The waits of the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// The host fills a slot again when its copy has run.
    Slot,
    /// An input is overwritten when the kernel has read it.
    Input,
    /// The kernel reads what was copied.
    Copied,
    /// The kernel overwrites a result when it was fetched.
    Fetched,
    /// What is fetched was computed.
    Computed,
}

const WAITS: [Wait; 5] = [Wait::Slot, Wait::Input, Wait::Copied, Wait::Fetched, Wait::Computed];

/// One of the two sets that alternate.
struct Half {
    slot: PinnedBuffer,
    input: DeviceBuffer,
    result: DeviceBuffer,
    copied: Event,
    computed: Event,
    fetched: Event,
}

impl Half {
    fn new(gpu: &Gpu) -> Self {
        let event = || gpu.event().unwrap();
        Self {
            slot: gpu.pinned(BYTES).unwrap(),
            input: gpu.allocate(BYTES).unwrap(),
            result: gpu.allocate(BYTES).unwrap(),
            copied: event(),
            computed: event(),
            fetched: event(),
        }
    }
}

/// Host to device, kernel, device to host, each on its stream, for `STEPS` steps; all waits but `missing`. True where
/// every step's bytes arrive.
fn is_right(gpu: &Gpu, kernel: &Kernel, streams: &[Stream; 3], missing: Option<Wait>) -> bool {
    let [copy, compute, back] = streams;
    let mut halves = [Half::new(gpu), Half::new(gpu)];
    let mut results: Vec<PinnedBuffer> = (0..STEPS).map(|_| gpu.pinned(BYTES).unwrap()).collect();
    let wait = |stream: &Stream, event: &Event, which: Wait| {
        if missing != Some(which) {
            stream.wait(event).unwrap();
        }
    };
    for (step, fetched) in results.iter_mut().enumerate() {
        let half = &mut halves[step % 2];
        while missing != Some(Wait::Slot) && !half.copied.passed().unwrap() {}
        half.slot.fill(value(step));

        wait(copy, &half.computed, Wait::Input);
        // SAFETY: all buffers outlive the synchronising below; what is missing, if anything, is what is tested, on a
        // fake device.
        unsafe { copy.copy_to_device(&half.input, 0, &half.slot) }.unwrap();
        copy.record(&half.copied).unwrap();

        wait(compute, &half.copied, Wait::Copied);
        wait(compute, &half.fetched, Wait::Fetched);
        let arguments = Arguments::new().buffer(&half.input).buffer(&half.result).value(BYTES as u32);
        // SAFETY: as above; these are the kernel's arguments.
        unsafe { compute.launch(kernel, Launch { grid: 2, block: 32, shared: 0 }, &arguments) }.unwrap();
        compute.record(&half.computed).unwrap();

        wait(back, &half.computed, Wait::Computed);
        // SAFETY: as above.
        unsafe { back.copy_to_host(fetched, &half.result, 0) }.unwrap();
        back.record(&half.fetched).unwrap();
    }
    for stream in streams {
        stream.synchronize().unwrap();
    }
    results.iter().enumerate().all(|(step, bytes)| bytes.iter().all(|&byte| byte == 2 * value(step)))
}

fn value(step: usize) -> u8 {
    step as u8 + 1
}

fn streams(gpu: &Gpu) -> [Stream; 3] {
    [(); 3].map(|()| gpu.stream().unwrap())
}

/// As with torch: the kernel runs on its current stream, the legacy default one.
fn streams_with_legacy(gpu: &Gpu) -> [Stream; 3] {
    // SAFETY: every device has it.
    let torch = unsafe { gpu.foreign_stream(RawStream::LEGACY) };
    [gpu.stream().unwrap(), torch, gpu.stream().unwrap()]
}

fn modes() -> impl Iterator<Item = Mode> {
    [Mode::Lazy, Mode::Eager].into_iter().chain((0..SEEDS).map(Mode::Random))
}

#[test]
fn with_all_waits_every_order_is_right() {
    for mode in modes() {
        for make in [streams, streams_with_legacy] {
            let fake = fake(mode);
            let gpu = fake.gpu();
            assert!(is_right(&gpu, &twice(&gpu), &make(&gpu), None), "{mode:?}");
            assert_eq!(fake.faults(), [], "{mode:?}");
            assert_eq!(fake.allocations(), 0);
        }
    }
}

#[test]
fn every_missing_wait_is_wrong_under_some_order() {
    for missing in WAITS {
        let wrong = |mode: &Mode| {
            let gpu = fake(*mode).gpu();
            !is_right(&gpu, &twice(&gpu), &streams(&gpu), Some(missing))
        };
        let caught = modes().filter(wrong).count();
        println!("{missing:?}: {caught} of {} orders", SEEDS + 2);
        assert!(caught > 40, "without {missing:?}, only {caught} orders are wrong");
        assert!(!wrong(&Mode::Eager), "at once, nothing is missed");
    }
}

#[test]
fn a_real_gpu_is_right_with_all_waits() {
    let Some((gpu, kernel)) = real() else { return };
    for make in [streams, streams_with_legacy] {
        assert!(is_right(&gpu, &kernel, &make(&gpu), None));
    }
}

#[test]
fn one_seed_is_one_order() {
    let calls = |seed| {
        let fake = fake(Mode::Random(seed));
        let gpu = fake.gpu();
        let right = is_right(&gpu, &twice(&gpu), &streams(&gpu), Some(Wait::Computed));
        (right, fake.calls().len())
    };
    for seed in 0..20 {
        assert_eq!(calls(seed), calls(seed), "{seed}");
    }
}

/// A loop that waits by events and queries never makes the host wait for the device.
#[test]
fn blocking_calls_are_counted() {
    let fake = fake(Mode::Lazy);
    let gpu = fake.gpu();
    let (stream, event) = (gpu.stream().unwrap(), gpu.event().unwrap());
    let (host, device) = (gpu.pinned(BYTES).unwrap(), gpu.allocate(BYTES).unwrap());
    fake.forget_calls();
    for _ in 0..3 {
        // SAFETY: both outlive the loop, which waits.
        unsafe { stream.copy_to_device(&device, 0, &host) }.unwrap();
        stream.record(&event).unwrap();
        while !event.passed().unwrap() {}
    }
    assert_eq!(fake.blocking_calls(), 0);
    let copies = fake.calls().into_iter().filter(|call| call.operation == Operation::CopyToDevice);
    assert_eq!(copies.map(|call| call.bytes).sum::<usize>(), 3 * BYTES);
    event.synchronize().unwrap();
    stream.synchronize().unwrap();
    drop(host);
    assert_eq!(fake.blocking_calls(), 3);
}
