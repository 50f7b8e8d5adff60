//! What the fake device notices: memory, handles and launches used wrongly, and errors of queued work that stay. Order
//! among streams is in `order.rs`.

use std::sync::Arc;

use metacl::gpu::fake::{Fake, Mode, POISON};
use metacl::gpu::{Arguments, Driver, Gpu, GpuError, Launch, Misuse, RawEvent, RawFunction, RawModule, RawStream};

use crate::support::{fake, real, twice};

const SHAPE: Launch = Launch { grid: 1, block: 32, shared: 0 };

fn lazy() -> (Arc<Fake>, Gpu) {
    let fake = fake(Mode::Lazy);
    let gpu = fake.gpu();
    (fake, gpu)
}

#[track_caller]
fn assert_misuse<T: std::fmt::Debug>(answer: Result<T, GpuError>, expected: Misuse) {
    assert!(
        matches!(answer, Err(GpuError::Misuse { misuse, .. }) if misuse == expected),
        "{answer:?}, not {expected:?}"
    );
}

/// What was noticed since the device was made.
fn noticed(fake: &Fake) -> Vec<Misuse> {
    let misuse = |fault| match fault {
        GpuError::Misuse { misuse, .. } => misuse,
        other => panic!("{other}"),
    };
    fake.faults().into_iter().map(misuse).collect()
}

#[test]
fn new_device_memory_is_poison_and_new_pinned_memory_zero() {
    let (fake, gpu) = lazy();
    let (stream, device) = (gpu.stream().unwrap(), gpu.allocate(100).unwrap());
    let mut host = gpu.pinned(100).unwrap();
    assert!(host.iter().all(|&byte| byte == 0) && host.len() == 100 && host.as_ptr().addr() % 64 == 0);
    // SAFETY: both outlive the synchronising.
    unsafe { stream.copy_to_host(&mut host, &device, 0) }.unwrap();
    assert!(host.iter().all(|&byte| byte == 0), "nothing has run yet");
    assert_eq!(fake.queued(), 1);
    stream.synchronize().unwrap();
    assert!(host.iter().all(|&byte| byte == POISON));
}

#[test]
fn copies_fills_and_parts_land_where_they_should_on_a_real_gpu_too() {
    for gpu in [Some(lazy().1), real().map(|real| real.0)].into_iter().flatten() {
        let stream = gpu.stream().unwrap();
        let (one, other) = (gpu.allocate(16).unwrap(), gpu.allocate(8).unwrap());
        let (mut host, mut back) = (gpu.pinned(4).unwrap(), gpu.pinned(16).unwrap());
        host.copy_from_slice(&[1, 2, 3, 4]);
        // SAFETY: all outlive the synchronising; one stream.
        unsafe {
            stream.fill(&one, 0, 9, 16).unwrap();
            stream.copy_to_device(&one, 3, &host).unwrap();
            stream.copy_on_device((&other, 1), (&one, 2), 6).unwrap();
            stream.copy_on_device((&one, 10), (&other, 1), 6).unwrap();
            stream.copy_to_host(&mut back, &one, 0).unwrap();
        }
        stream.synchronize().unwrap();
        assert_eq!(back[..], [9, 9, 9, 1, 2, 3, 4, 9, 9, 9, 9, 1, 2, 3, 4, 9]);
    }
}

#[test]
fn what_leaves_a_buffer_is_refused_before_the_driver_sees_it() {
    let (fake, gpu) = lazy();
    let (stream, device) = (gpu.stream().unwrap(), gpu.allocate(10).unwrap());
    let host = gpu.pinned(8).unwrap();
    let bounds = |answer| assert!(matches!(answer, Err(GpuError::OutOfBounds { length: 10, .. })), "{answer:?}");
    // SAFETY: refused.
    unsafe {
        bounds(stream.copy_to_device(&device, 3, &host));
        bounds(stream.copy_to_host(&mut [0; 11], &device, 0));
        bounds(stream.copy_on_device((&device, 6), (&device, 0), 5));
        bounds(stream.copy_on_device((&device, 0), (&device, 6), 5));
        bounds(stream.fill(&device, 11, 0, 0));
        bounds(stream.fill(&device, usize::MAX, 0, 2));
    }
    assert_eq!((fake.queued(), noticed(&fake)), (0, vec![]));
}

#[test]
fn nothing_is_a_size_too() {
    let (fake, gpu) = lazy();
    let (stream, device, host) = (gpu.stream().unwrap(), gpu.allocate(0).unwrap(), gpu.pinned(0).unwrap());
    // SAFETY: no bytes.
    unsafe {
        stream.copy_to_device(&device, 0, &host).unwrap();
        stream.fill(&device, 0, 1, 0).unwrap();
        stream.launch(&twice(&gpu), Launch { grid: 0, ..SHAPE }, &Arguments::new()).unwrap();
    }
    assert!(device.is_empty() && host.is_empty() && fake.queued() == 0);
}

#[test]
fn two_devices_do_not_mix() {
    let ((_a, here), (_b, there)) = (lazy(), lazy());
    let (stream, event, device) = (here.stream().unwrap(), there.event().unwrap(), there.allocate(8).unwrap());
    let other = |answer| assert!(matches!(answer, Err(GpuError::OtherDevice { .. })), "{answer:?}");
    other(stream.record(&event));
    other(stream.wait(&event));
    // SAFETY: refused.
    unsafe {
        other(stream.copy_to_device(&device, 0, &[0; 8]));
        other(stream.copy_to_host(&mut [0; 8], &device, 0));
        other(stream.fill(&device, 0, 0, 8));
        other(stream.launch(&twice(&there), SHAPE, &Arguments::new()));
    }
    other(event.elapsed_ms(&here.event().unwrap()).map(|_| ()));
}

#[test]
fn memory_runs_out_at_the_limit() {
    let (fake, gpu) = lazy();
    fake.limit_memory(1000);
    let first = gpu.allocate(700).unwrap();
    assert_eq!(gpu.memory().unwrap().free, 300);
    let refused = gpu.allocate(301).unwrap_err();
    assert_eq!(refused, GpuError::OutOfMemory { asked: 301, free: 300, total: 1000 });
    drop(first);
    gpu.allocate(1000).unwrap();
    assert_eq!((fake.allocations(), noticed(&fake)), (0, vec![]));
}

#[test]
fn memory_dropped_with_work_queued_is_noticed_and_stops_the_device() {
    for pinned in [true, false] {
        let (fake, gpu) = lazy();
        let stream = gpu.stream().unwrap();
        let (host, device) = (gpu.pinned(8).unwrap(), gpu.allocate(8).unwrap());
        // SAFETY: the fake device notices.
        unsafe { stream.copy_to_device(&device, 0, &host) }.unwrap();
        if pinned {
            drop(host)
        } else {
            drop(device)
        }
        assert_eq!(noticed(&fake), [Misuse::PendingOperations]);
        assert_misuse(stream.synchronize(), Misuse::FreedMemory);
        assert_misuse(gpu.allocate(1), Misuse::FreedMemory);
        assert_eq!(noticed(&fake), [Misuse::PendingOperations, Misuse::FreedMemory]);
    }
}

#[test]
fn buffers_of_a_launch_count_as_used() {
    let (fake, gpu) = lazy();
    let (stream, kernel) = (gpu.stream().unwrap(), twice(&gpu));
    let (input, result) = (gpu.allocate(8).unwrap(), gpu.allocate(8).unwrap());
    // SAFETY: the fake device notices.
    unsafe { stream.launch(&kernel, SHAPE, &Arguments::new().buffer(&input).buffer(&result).value(8_u32)) }.unwrap();
    drop(result);
    drop(kernel);
    assert_eq!(noticed(&fake), [Misuse::PendingOperations; 2]);
}

#[test]
fn addresses_outside_the_living_allocations_are_refused() {
    let (fake, gpu) = lazy();
    let (stream, kernel) = (gpu.stream().unwrap(), twice(&gpu));
    let (host, device) = (gpu.pinned(8).unwrap(), gpu.allocate(8).unwrap());
    let freed = gpu.allocate(8).unwrap().address();
    let raw = stream.raw();
    // SAFETY: the fake device notices.
    unsafe {
        assert_misuse(fake.fill(freed, 0, 8, raw), Misuse::FreedMemory);
        assert_misuse(fake.fill(device.address(), 0, 9, raw), Misuse::OutsideAllocation);
        assert_misuse(fake.fill(16, 0, 1, raw), Misuse::OutsideAllocation);
        assert_misuse(fake.fill(u64::MAX, 0, 1, raw), Misuse::OutsideAllocation);
        assert_misuse(fake.fill(host.as_ptr().addr() as u64, 0, 8, raw), Misuse::OutsideAllocation);
        assert_misuse(fake.copy_to_device(device.address(), host.as_ptr(), 9, raw), Misuse::OutsideAllocation);
        assert_misuse(fake.free(freed), Misuse::FreedMemory);
        assert_misuse(fake.free(device.address() + 1), Misuse::OutsideAllocation);
        assert_misuse(fake.free(host.as_ptr().addr() as u64), Misuse::OutsideAllocation);
        for (address, misuse) in [(freed, Misuse::FreedMemory), (16, Misuse::OutsideAllocation)] {
            assert_misuse(stream.launch(&kernel, SHAPE, &Arguments::new().pointer(address)), misuse);
        }
        // None, the end of a buffer and page-locked memory are what a kernel may be given.
        let (end, pinned) = (device.address() + 8, host.as_ptr().addr() as u64);
        stream.launch(&kernel, SHAPE, &Arguments::new().pointer(0).pointer(end).pointer(pinned)).unwrap();
    }
    assert_eq!(noticed(&fake).len(), 11);
}

#[test]
fn writes_to_freed_memory_are_found_later() {
    let (fake, gpu) = lazy();
    let address = gpu.allocate(100).unwrap().address() as usize;
    assert_eq!(noticed(&fake), []);
    // SAFETY: the fake device keeps freed memory, so that this test is possible.
    unsafe { std::ptr::with_exposed_provenance_mut::<u8>(address + 99).write(0) };
    assert_eq!(noticed(&fake), [Misuse::FreedMemory]);
    assert_eq!(noticed(&fake).len(), 1, "told once");
}

#[test]
fn dead_handles_are_refused() {
    let (fake, gpu) = lazy();
    let stream = gpu.stream().unwrap().raw();
    let (alive, device) = (gpu.stream().unwrap(), gpu.allocate(8).unwrap());
    let event = RawEvent(alive.raw().0);
    let function = RawFunction(alive.raw().0);
    let dead = Misuse::DeadHandle;
    // SAFETY: the fake device notices.
    unsafe {
        assert_misuse(fake.fill(device.address(), 0, 8, stream), dead);
        assert_misuse(fake.synchronize_stream(stream), dead);
        assert_misuse(fake.destroy_stream(stream), dead);
        assert_misuse(fake.destroy_stream(RawStream::LEGACY), dead);
        assert_misuse(fake.record(event, alive.raw()), dead);
        assert_misuse(fake.wait(alive.raw(), event), dead);
        assert_misuse(fake.query(event), dead);
        assert_misuse(fake.synchronize_event(event), dead);
        assert_misuse(fake.destroy_event(event), dead);
        assert_misuse(fake.launch(function, SHAPE, &Arguments::new(), alive.raw()), dead);
        assert_misuse(fake.launch(function, SHAPE, &Arguments::new(), stream), dead);
        assert_misuse(fake.function(RawModule(1), "twice"), dead);
        assert_misuse(fake.unload_module(RawModule(1)), dead);
    }
    assert_eq!(fake.queued(), 0);
}

#[test]
fn a_dropped_stream_finishes_its_work() {
    let (fake, gpu) = lazy();
    let (stream, event) = (gpu.stream().unwrap(), gpu.event().unwrap());
    let (device, mut host) = (gpu.allocate(8).unwrap(), gpu.pinned(8).unwrap());
    // SAFETY: both outlive the draining.
    unsafe {
        stream.fill(&device, 0, 7, 8).unwrap();
        stream.copy_to_host(&mut host, &device, 0).unwrap();
    }
    stream.record(&event).unwrap();
    drop(stream);
    assert_eq!(fake.queued(), 3);
    event.synchronize().unwrap();
    assert_eq!((&host[..], fake.queued()), (&[7; 8][..], 0));
}

#[test]
fn an_event_is_its_latest_recording() {
    let (fake, gpu) = lazy();
    let (one, other) = (gpu.stream().unwrap(), gpu.stream().unwrap());
    let (event, done) = (gpu.event().unwrap(), gpu.event().unwrap());
    let device = gpu.allocate(8).unwrap();
    let fill = |stream: &metacl::gpu::Stream, value| {
        // SAFETY: the buffer outlives the draining.
        unsafe { stream.fill(&device, 0, value, 8) }.unwrap();
    };
    assert!(event.passed().unwrap(), "never recorded");
    event.synchronize().unwrap();
    other.wait(&event).unwrap();
    other.synchronize().unwrap();

    fill(&one, 1);
    one.record(&event).unwrap();
    other.wait(&event).unwrap();
    other.record(&done).unwrap();
    // The wait above is for the recording above, not for this one.
    fill(&one, 2);
    one.record(&event).unwrap();
    done.synchronize().unwrap();
    assert!(fake.queued() == 2 && !event.passed().unwrap());
    while !event.passed().unwrap() {}
    assert_eq!(fake.queued(), 0);
}

#[test]
fn launches_that_a_device_refuses_are_refused() {
    let (fake, gpu) = lazy();
    let (stream, kernel) = (gpu.stream().unwrap(), twice(&gpu));
    // SAFETY: the fake device notices.
    let launch =
        |grid, block, shared| unsafe { stream.launch(&kernel, Launch { grid, block, shared }, &Arguments::new()) };
    for (grid, block, shared) in [(1, 0, 0), (1, 1025, 0), (1, 32, (48 << 10) + 1)] {
        assert_misuse(launch(grid, block, shared), Misuse::LaunchShape);
    }
    kernel.allow_shared(100 << 10).unwrap();
    launch(1, 1024, 100 << 10).unwrap();
    // What a kernel declares counts as well.
    let (all, declared) = (gpu.limits().shared_per_block, kernel.attributes().unwrap().static_shared);
    assert!(declared > 0);
    assert_misuse(kernel.allow_shared(all - declared + 1), Misuse::LaunchShape);
    kernel.allow_shared(all - declared).unwrap();
    assert_eq!(fake.queued(), 1);
}

#[test]
fn an_error_of_queued_work_stays() {
    let fake = Fake::new(Mode::Lazy, |name, _, _| Err(GpuError::NoKernel { name: name.to_owned() }));
    let gpu = fake.gpu();
    let (stream, event, device) = (gpu.stream().unwrap(), gpu.event().unwrap(), gpu.allocate(8).unwrap());
    let (kernel, failed) = (twice(&gpu), GpuError::NoKernel { name: "twice".to_owned() });
    // SAFETY: no memory is named.
    unsafe { stream.launch(&kernel, SHAPE, &Arguments::new()) }.unwrap();
    stream.record(&event).unwrap();
    assert_eq!(stream.synchronize(), Err(failed.clone()));
    assert_eq!(event.passed(), Err(failed.clone()));
    assert_eq!(gpu.stream().unwrap_err(), failed);
    // SAFETY: refused.
    assert_eq!(unsafe { stream.fill(&device, 0, 0, 8) }, Err(failed.clone()));
    assert_eq!(fake.drain(), Err(failed.clone()));
    drop(device);
    assert_eq!((fake.allocations(), &fake.faults()[0]), (0, &failed));
}

#[test]
fn time_is_asked_of_timed_events_that_have_passed() {
    let (_fake, gpu) = lazy();
    let stream = gpu.stream().unwrap();
    let (start, end, untimed) = (gpu.timed_event().unwrap(), gpu.timed_event().unwrap(), gpu.event().unwrap());
    let device = gpu.allocate(8).unwrap();
    stream.record(&start).unwrap();
    // SAFETY: the buffer outlives the synchronising.
    unsafe { stream.fill(&device, 0, 0, 8) }.unwrap();
    stream.record(&end).unwrap();
    stream.record(&untimed).unwrap();
    assert_misuse(end.elapsed_ms(&start), Misuse::NoTime);
    stream.synchronize().unwrap();
    assert!(end.elapsed_ms(&start).unwrap() > 0.0);
    assert_misuse(untimed.elapsed_ms(&start), Misuse::NoTime);
}

/// What only NVIDIA's driver answers.
#[test]
fn a_real_gpu_tells_names_sizes_and_limits() {
    let Some((gpu, kernel)) = real() else { return };
    let (limits, memory) = (gpu.limits(), gpu.memory().unwrap());
    assert!(!limits.name.is_empty() && limits.shared_per_block >= 64 << 10 && limits.multiprocessors > 0, "{limits:?}");
    assert!(memory.free > 0 && memory.free <= memory.total, "{memory:?}");
    let attributes = kernel.attributes().unwrap();
    assert!(attributes.registers > 0 && attributes.local == 0 && attributes.max_threads >= 32, "{attributes:?}");
    let stream = gpu.stream().unwrap();
    // SAFETY: refused.
    let wrong = unsafe { stream.launch(&kernel, SHAPE, &Arguments::new().pointer(0).value(1_u32)) };
    assert!(matches!(wrong, Err(GpuError::Arguments { ref expected, .. }) if *expected == [8, 8, 4]), "{wrong:?}");
    assert!(matches!(gpu.allocate(memory.total + 1), Err(GpuError::OutOfMemory { .. })));
    assert!(matches!(Gpu::open(1000), Err(GpuError::NoSuchDevice { ordinal: 1000, .. })));
    let (start, end) = (gpu.timed_event().unwrap(), gpu.timed_event().unwrap());
    stream.record(&start).unwrap();
    stream.record(&end).unwrap();
    end.synchronize().unwrap();
    assert!(end.elapsed_ms(&start).unwrap() >= 0.0);
}
