//! Both passes, 32 columns of the view at a time: the widened rows of such a strip stay in the first-level cache.
//!
//! Crops that need more than sixteen taps, or whose bytes lie farther apart than a vector is long (three times as large as the view), go the
//! way of [`avx2`].

use super::super::avx2::{self, axis::Axis, tables::Tables};
use super::Avx512;
use super::across::Across;
use super::digits::{MOST_QUADS, QUAD, STRIP};
use super::down::Down;
use crate::augment::ViewSpec;
use crate::image::{PlanesRef, Size};

/// Tables and lines of a renderer's views.
pub(in super::super) struct Resizer {
    cpu: Avx512,
    strips: Strips,
    other: avx2::Resizer,
}

impl Resizer {
    pub(in super::super) fn new(cpu: Avx512, spec: ViewSpec) -> Self {
        Self { cpu, strips: Strips::new(spec), other: avx2::Resizer::new(cpu.avx2(), spec) }
    }

    /// Resizes `crop`, mirrored or not, into the planes of `out`, of which a gray crop fills only the first.
    pub(in super::super) fn resize(&mut self, crop: PlanesRef<'_>, mirror: bool, out: &mut [u8]) {
        let Avx512(_) = self.cpu;
        // SAFETY: `cpu` proves the features.
        if !unsafe { self.strips.resize(crop, mirror, out) } {
            self.other.resize(crop, mirror, out);
        }
    }
}

struct Strips {
    spec: ViewSpec,
    axis: Axis,
    columns: Tables<Across>,
    rows: Tables<Down>,
    /// Widened rows of a strip; weights of zero may read as many behind the last as there are taps.
    lines: Vec<[u8; STRIP]>,
}

impl Strips {
    fn new(spec: ViewSpec) -> Self {
        let (columns, rows) = (Tables::new(avx2::kept(spec)), Tables::new(avx2::kept(spec)));
        Self { spec, axis: Axis::default(), columns, rows, lines: Vec::new() }
    }

    /// Whether it could: else `out` is untouched.
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vnni,avx2,fma")]
    fn resize(&mut self, crop: PlanesRef<'_>, mirror: bool, out: &mut [u8]) -> bool {
        let Self { spec, axis, columns, rows, lines } = self;
        let (side, size) = (spec.size as usize, crop.size());
        if size == Size::new(spec.size, spec.size) {
            return false;
        }
        let columns = columns.get((size.width, mirror), |table| {
            axis.prepare(size.width, spec.size, spec.filter, mirror);
            table.pack(axis);
        });
        let rows = rows.get((size.height, false), |table| {
            axis.prepare(size.height, spec.size, spec.filter, false);
            table.pack(axis);
        });
        if !columns.fits() || !rows.fits() {
            return false;
        }
        let room = (size.height as usize).next_multiple_of(2) + MOST_QUADS * QUAD;
        if lines.len() < room {
            lines.resize(room, [0; STRIP]);
        }
        for (channel, plane) in out.chunks_exact_mut(side * side).take(crop.channels()).enumerate() {
            for (strip, left) in (0..side).step_by(STRIP).enumerate() {
                columns.widen(strip, crop, channel, lines);
                rows.stack(lines, left, side, plane);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::{place, resample};
    use super::*;
    use crate::augment::Filter;
    use crate::augment::weights::Table;
    use crate::image::Planes;

    /// Crops of up to three times the view, whole strips and others, odd sides, one row: as the plain passes do it.
    #[test]
    fn strips_are_what_the_plain_passes_give() {
        let Some(_) = Avx512::detect() else { return };
        // Crops by fours of taps, across and down.
        let (mut done, mut table) = ([[0; MOST_QUADS]; 2], Table::default());
        for side in [1, 5, 31, 32, 33, 64, 84, 95] {
            for filter in [Filter::Bicubic, Filter::Bilinear] {
                let spec = ViewSpec { size: side, filter };
                let (mut strips, mut plain) = (Strips::new(spec), resample::Resizer::default());
                for number in 0..60 {
                    let (width, height) = (1 + number * 37 % (3 * side + 5), 1 + number * 53 % (3 * side + 5));
                    let crop = noise(Size::new(width, height), number);
                    let mirror = number % 2 == 1;
                    let bytes = 3 * (side * side) as usize;
                    let (mut ours, mut theirs) = (vec![7; bytes], vec![7; bytes]);
                    // SAFETY: the CPU has the features.
                    if !unsafe { strips.resize(crop.as_ref(), mirror, &mut ours) } {
                        continue;
                    }
                    for (done, input) in done.iter_mut().zip([width, height]) {
                        table.prepare(input, side, filter);
                        done[table.taps_each().div_ceil(QUAD) - 1] += 1;
                    }
                    plain.resize(crop.as_ref(), spec, &mut theirs);
                    if mirror {
                        place::mirror(&mut theirs, side as usize);
                    }
                    assert!(ours == theirs, "{width}x{height} to {spec:?}, mirrored: {mirror}");
                }
            }
        }
        assert!(done.as_flattened().iter().all(|count| *count > 0), "some number of taps was never met: {done:?}");
    }

    fn noise(size: Size, seed: u32) -> Planes {
        let mut planes = Planes::default();
        planes.reset(size, false);
        let mut state = seed | 1;
        for y in 0..size.height {
            for channel in 0..3 {
                for byte in planes.padded_row_mut(channel, y) {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    // Extremes as well: sums then go far beyond a level's range.
                    *byte = if state >> 30 == 0 {
                        255
                    } else if state >> 30 == 1 {
                        0
                    } else {
                        (state >> 16) as u8
                    };
                }
            }
        }
        planes
    }
}
