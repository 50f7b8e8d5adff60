//! The views of one launch: where their tables, blur weights and rows between the passes lie.
//!
//! Lives here: plans to arguments, and how much shared memory, workspace and how many threads a launch needs. Not here: device memory, streams.

use super::args::{Delivery, ViewArgs};
use super::values::ValueKind;
use crate::augment::cpu::blur::Taps;
use crate::augment::want::PlanError;
use crate::augment::{Filter, ViewPlan, ViewSpec};
use crate::image::{Rect, Size};

/// Most threads of a block.
const MOST_THREADS: u32 = 1024;
/// Most rows of the ring: more bands per view cost barriers, more rows nothing.
const MOST_RING: u32 = 256;
/// Fewest: with less, ordinary photos (a scale of 7) would leave shared memory.
const LEAST_RING: u32 = 32;

/// Decoded pixels on the device: planes of bytes, rows of `stride`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// Where the first plane starts, in bytes from the start of the pixels; a multiple of 4.
    pub at: u64,
    /// Bytes from row to row: a multiple of 4, at least the width of `held`.
    pub stride: u32,
    /// Bytes from plane to plane, a multiple of 4; 0: one plane stands for R, G and B.
    pub plane: u32,
    /// The part of the image that is there.
    pub held: Rect,
    /// The image's size.
    pub image: Size,
}

/// How the views of a launch are laid out, and on what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Output {
    /// Type of a value.
    pub kind: ValueKind,
    /// `[rows, size, size, 3]` in place of `[rows, 3, size, size]`.
    pub channels_last: bool,
}

/// The views of one launch. Reused from batch to batch: it only grows.
pub struct ViewList {
    spec: ViewSpec,
    delivery: Delivery,
    views: Vec<ViewArgs>,
    weights: Vec<i16>,
    blur: Taps,
    /// In units of 16 bytes.
    tables: u32,
    rings: u64,
}

impl ViewList {
    /// For views of `spec` on a device where a block of `render_views` may ask for `shared` bytes of shared memory
    /// ([`Kernels::shared`](super::Kernels::shared)).
    pub fn new(spec: ViewSpec, output: Output, shared: u32) -> Self {
        let size = spec.size;
        let mut delivery = Delivery {
            size,
            bilinear: u32::from(spec.filter == Filter::Bilinear),
            value_bytes: output.kind.bytes(),
            channels_last: u32::from(output.channels_last),
            ring_rows: 0,
            view_bytes: 0,
        };
        let fits = |rows: u32| 3 * plane_bytes(size) + ring_bytes(size, rows) <= shared.into();
        // Small views come from small images: a ring of their own size spares shared memory for other blocks.
        let wanted = (2 * size).next_power_of_two().clamp(LEAST_RING, MOST_RING);
        delivery.ring_rows =
            [wanted, 128, 64, LEAST_RING].into_iter().find(|&rows| rows <= wanted && fits(rows)).unwrap_or(0);
        if delivery.ring_rows == 0 {
            delivery.view_bytes = (3 * plane_bytes(size)).next_multiple_of(16) as u32;
        }
        let blur = Taps::new(size as usize);
        Self { spec, delivery, views: Vec::new(), weights: Vec::new(), blur, tables: 0, rings: 0 }
    }

    /// Forgets the views.
    pub fn clear(&mut self) {
        self.views.clear();
        self.weights.clear();
        (self.tables, self.rings) = (0, 0);
    }

    /// Adds the next row of the batch: `plan`, rendered from `source`.
    ///
    /// # Errors
    /// Where the plan does not fit the image, or `source` does not hold what it reads.
    ///
    /// Also where the tables or rings of all views exceed 64 GB.
    ///
    /// # Panics
    /// Where `source` is misaligned.
    pub fn push(&mut self, plan: &ViewPlan, source: Source) -> Result<(), PlanError> {
        let Source { at, stride, plane, held, image } = source;
        plan.check(image)?;
        plan.check_held(held, image)?;
        assert!(at % 4 == 0 && stride % 4 == 0 && plane % 4 == 0 && stride >= held.width, "misaligned: {source:?}");
        let (width, height) = (plan.crop.width as u32, plan.crop.height as u32);
        let lead = if plan.is_inside(image) { (plan.crop.x as u32 - held.x) % 4 } else { 0 };
        let (column_words, row_words) = (self.words(width, lead), self.words(height, 0));
        let (taps, radius) = self.blur_weights(plan);
        let (ring_at, ring_rows) = self.ring(row_words)?;
        let (column_table, row_table) = (self.table(column_words)?, self.table(row_words)?);
        self.views.push(ViewArgs {
            plan: *plan,
            pixels: at,
            stride,
            plane,
            held: [held.x as i32, held.y as i32],
            image: [image.width, image.height],
            column_table,
            row_table,
            column_words,
            row_words,
            taps,
            radius,
            ring_at,
            ring_rows,
        });
        Ok(())
    }

    /// Words of four taps that every output of an axis from `input` pixels has; `lead` of the first word lie before the crop.
    fn words(&self, input: u32, lead: u32) -> u32 {
        let support = if self.spec.filter == Filter::Bilinear { 1.0 } else { 2.0 };
        let reach = support * (f64::from(input) / f64::from(self.spec.size)).max(1.0);
        let taps = ((2.0 * reach).ceil() as u32 + 1).min(input);
        // Taps that start at any byte of their first word, but none behind the last word of the row.
        ((taps + 6) / 4).min((lead + input).div_ceil(4))
    }

    /// Takes a table of `words` words: weights of 16 bytes and starts of 4 for each output.
    fn table(&mut self, words: u32) -> Result<u32, PlanError> {
        let at = self.tables;
        let units = words * self.spec.size + self.spec.size.div_ceil(4);
        self.tables = at.checked_add(units).ok_or(PlanError::TooManyViews { views: self.views.len() })?;
        Ok(at)
    }

    fn blur_weights(&mut self, plan: &ViewPlan) -> (u32, u32) {
        if plan.blur_sigma <= 0.0 {
            return (0, 0);
        }
        let at = self.weights.len() as u32;
        let weights = self.blur.prepare(plan.blur_sigma.into());
        self.weights.extend_from_slice(weights);
        (at, weights.len() as u32 - 1)
    }

    /// Rows between the passes in the workspace, where those in shared memory are too few.
    fn ring(&mut self, row_words: u32) -> Result<(u32, u32), PlanError> {
        if 4 * row_words <= self.delivery.ring_rows {
            return Ok((0, 0));
        }
        let rows = (8 * row_words).next_power_of_two().max(LEAST_RING);
        let at = u32::try_from(self.rings / 16).map_err(|_| PlanError::TooManyViews { views: self.views.len() })?;
        self.rings += ring_bytes(self.spec.size, rows).next_multiple_of(16);
        Ok((at, rows))
    }

    /// The arguments, a row of the batch each.
    pub fn views(&self) -> &[ViewArgs] {
        &self.views
    }

    /// Blur weights of all views; of no meaning where there are none.
    pub fn weights(&self) -> &[i16] {
        &self.weights
    }

    /// What all views share.
    pub fn delivery(&self) -> Delivery {
        self.delivery
    }

    /// Bytes that the tables take.
    pub fn table_bytes(&self) -> u64 {
        16 * u64::from(self.tables)
    }

    /// Bytes of workspace: views, then rings.
    pub fn workspace_bytes(&self) -> u64 {
        u64::from(self.delivery.view_bytes) * self.views.len() as u64 + self.rings
    }

    /// Bytes of the batch.
    pub fn batch_bytes(&self) -> u64 {
        self.views.len() as u64 * self.row_bytes()
    }

    /// Bytes of a view in the batch.
    pub fn row_bytes(&self) -> u64 {
        self.spec.bytes() as u64 * u64::from(self.delivery.value_bytes)
    }

    /// Dynamic shared memory of a block of `render_views`.
    pub fn shared_bytes(&self) -> u32 {
        match self.delivery.ring_rows {
            0 => 0,
            rows => (3 * plane_bytes(self.spec.size) + ring_bytes(self.spec.size, rows)) as u32,
        }
    }

    /// Threads of a block of `render_views`: rows of the view side by side, about one thread for eight pixels.
    pub fn threads(&self) -> u32 {
        let size = self.spec.size;
        let wanted = (size.saturating_mul(size) / 8).clamp(128, MOST_THREADS);
        if size < wanted { wanted / size * size } else { MOST_THREADS }
    }
}

/// Bytes of a plane of a view.
fn plane_bytes(size: u32) -> u64 {
    (u64::from(size) * u64::from(size)).next_multiple_of(4)
}

/// Bytes of a ring of `rows` rows: columns of those and a word more.
fn ring_bytes(size: u32, rows: u32) -> u64 {
    u64::from(size) * (u64::from(rows) + 4)
}
