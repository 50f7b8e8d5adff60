//! A producer that writes (step, row) into every row, and fails, panics or dawdles on demand; and a watch over tests that could hang.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "shared by test files, each of which uses its part")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use metacl::augment::{ClassPlan, CropBox, ViewPlan};
use metacl::episode::{EpisodeError, EpisodePlan, RowLayout};
use metacl::image::Size;
use metacl::loader::{Laps, LoadError, Loader, Produce, RingSize};

pub const IMAGES: usize = 5;
pub const VIEWS: usize = 2;
pub const ROW_BYTES: usize = 16;
pub const SIZE: RingSize = RingSize { workers: 3, slots: 3, rows: IMAGES * VIEWS, row_bytes: ROW_BYTES };

/// What a test wants to happen at (step, image).
pub type Fault = fn(u64, usize) -> Result<(), LoadError>;

pub struct Marked {
    fault: Fault,
    rendered: Arc<AtomicU64>,
}

impl Produce for Marked {
    type Scratch = ();

    fn scratch(&self) {}

    fn plan(&self, step: u64) -> Result<EpisodePlan, LoadError> {
        (self.fault)(step, usize::MAX)?;
        let plain = |row: usize| ViewPlan::plain((row % IMAGES) as u32, CropBox { x: 0, y: 0, width: 1, height: 1 });
        Ok(EpisodePlan {
            step,
            epoch: 0,
            batch: IMAGES,
            layout: RowLayout::new(IMAGES, VIEWS),
            samples: vec![0; IMAGES],
            sizes: vec![Size::new(1, 1); IMAGES],
            labels: vec![0; IMAGES],
            classes: vec![ClassPlan { quarter_turns: 0 }; IMAGES],
            views: (0..IMAGES * VIEWS).map(plain).collect(),
        })
    }

    fn render(
        &self,
        (): &mut (),
        plan: &EpisodePlan,
        image: usize,
        rows: &mut dyn Iterator<Item = (usize, &mut [u8])>,
        _: &mut Laps,
    ) -> Result<(), LoadError> {
        (self.fault)(plan.step, image)?;
        for (row, bytes) in rows {
            bytes.fill(mark(plan.step, row));
        }
        self.rendered.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

pub fn mark(step: u64, row: usize) -> u8 {
    (step as usize * 31 + row * 7 + 1) as u8
}

pub fn loader(fault: Fault, steps: u64) -> (Loader, Arc<AtomicU64>) {
    start(fault, SIZE, steps)
}

/// A loader of `steps` steps, and how many images it has rendered.
pub fn start(fault: Fault, size: RingSize, steps: u64) -> (Loader, Arc<AtomicU64>) {
    let rendered = Arc::new(AtomicU64::new(0));
    let producer = Marked { fault, rendered: rendered.clone() };
    (Loader::start(producer, size, 0..steps).unwrap(), rendered)
}

/// Runs `test` on a thread of its own and fails if it does not end; in Miri, which is some hundred times slower, within an hour.
pub fn within_a_minute(test: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        test();
        let _ = done.send(());
    });
    match ended.recv_timeout(Duration::from_secs(if cfg!(miri) { 3600 } else { 60 })) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("the loader hangs"),
        _ => thread.join().unwrap(),
    }
}

/// An error that tells its step.
pub fn failure(step: u64) -> LoadError {
    EpisodeError::BatchTooLarge { batch: step as u32, samples: 0 }.into()
}
