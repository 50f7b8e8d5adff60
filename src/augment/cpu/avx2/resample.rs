//! Both passes, plane by plane: input rows are widened two at a time, when an output row needs them, into a ring that stays in the
//! first-level cache.

use super::across::Across;
use super::axis::Axis;
use super::down::{Down, Ring, Row};
use super::lanes::F32x8;
use crate::augment::ViewSpec;
use crate::image::PlanesRef;

/// Tables and rows of a renderer's views.
pub(super) struct Resizer {
    spec: ViewSpec,
    axis: Axis,
    columns: Tables<Across>,
    rows: Tables<Down>,
    ring: Vec<F32x8>,
}

impl Resizer {
    pub(super) fn new(spec: ViewSpec) -> Self {
        let (columns, rows) = (Tables::new(spec), Tables::new(spec));
        Self { spec, axis: Axis::default(), columns, rows, ring: Vec::new() }
    }

    /// Resizes `crop`, mirrored or not, into the planes of `out`, of which a gray crop fills only the first.
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn resize(&mut self, crop: PlanesRef<'_>, mirror: bool, out: &mut [u8]) {
        let Self { spec, axis, columns, rows, ring } = self;
        let (side, size) = (spec.size as usize, crop.size());
        let columns = columns.get((size.width, mirror), |table| {
            axis.prepare(size.width, spec.size, spec.filter, mirror);
            table.pack(axis);
        });
        let rows = rows.get((size.height, false), |table| {
            axis.prepare(size.height, spec.size, spec.filter, false);
            table.pack(axis, side);
        });
        let channels = if crop.is_gray() { 1 } else { 3 };
        for (channel, out) in out.chunks_exact_mut(side * side).take(channels).enumerate() {
            resize_plane(columns, rows, crop, channel, ring, side, out);
        }
    }
}

#[target_feature(enable = "avx2,fma")]
fn resize_plane(
    columns: &Across,
    rows: &Down,
    crop: PlanesRef<'_>,
    channel: usize,
    ring: &mut Vec<F32x8>,
    side: usize,
    out: &mut [u8],
) {
    let stride = side.div_ceil(32) * 4;
    // Rows come in twos, so one more than the taps may be there.
    let slots = (rows.most_taps() + 1).next_power_of_two();
    if ring.len() < slots * stride {
        ring.resize(slots * stride, F32x8::default());
    }
    let last = crop.size().height as usize - 1;
    let mut ready = 0;
    for (y, (&Row { first, count }, to)) in rows.rows().iter().zip(out.chunks_exact_mut(side)).enumerate() {
        ready = ready.max(first);
        while ready < first + count {
            let one = crop.padded_row(channel, ready as u32);
            let two = crop.padded_row(channel, (ready + 1).min(last) as u32);
            let [slot_one, slot_two] = two_slots(ring, stride, ready & (slots - 1), (ready + 1) & (slots - 1));
            columns.widen([one, two], [slot_one, slot_two]);
            ready += 2;
        }
        rows.stack(y, Ring { data: ring, stride, mask: slots - 1 }, to);
    }
}

/// Slots `one` and `two`, which differ, of `stride` vectors each.
fn two_slots(ring: &mut [F32x8], stride: usize, one: usize, two: usize) -> [&mut [F32x8]; 2] {
    if one < two {
        let (before, from_two) = ring.split_at_mut(two * stride);
        [&mut before[one * stride..][..stride], &mut from_two[..stride]]
    } else {
        let (before, from_one) = ring.split_at_mut(one * stride);
        [&mut from_one[..stride], &mut before[two * stride..][..stride]]
    }
}

/// Packed tables by input size and mirroring: the last one; of small images all.
struct Tables<T> {
    key: Option<(u32, bool)>,
    last: T,
    small: Vec<Option<T>>,
}

/// Largest input and view whose tables are kept: at 32 pixels a table costs as much as rendering.
const SMALL: u32 = 64;

impl<T: Default> Tables<T> {
    fn new(spec: ViewSpec) -> Self {
        let kept = if spec.size <= SMALL { 2 * (SMALL as usize + 1) } else { 0 };
        Self { key: None, last: T::default(), small: (0..kept).map(|_| None).collect() }
    }

    fn get(&mut self, key: (u32, bool), fill: impl FnOnce(&mut T)) -> &T {
        if key.0 <= SMALL && !self.small.is_empty() {
            return self.small[2 * key.0 as usize + usize::from(key.1)].get_or_insert_with(|| {
                let mut table = T::default();
                fill(&mut table);
                table
            });
        }
        if self.key != Some(key) {
            self.key = Some(key);
            fill(&mut self.last);
        }
        &self.last
    }
}
