//! Both passes, plane by plane: input rows are widened two at a time, when an output row needs them, into a window of lines that
//! stays in the first-level cache. The smallest views have a way of their own (`small`).

use super::super::place;
use super::Avx2;
use super::across::Across;
use super::axis::Axis;
use super::down::{Down, Row};
use super::lanes::F32x8;
use super::small::Small;
use super::tables::Tables;
use crate::augment::ViewSpec;
use crate::image::{PlanesRef, Size};

/// Tables and rows of a renderer's views.
pub(in super::super) struct Resizer {
    cpu: Avx2,
    spec: ViewSpec,
    axis: Axis,
    columns: Tables<Across>,
    rows: Tables<Down>,
    window: Window,
    small: Option<Small>,
}

/// Largest input whose tables are kept for views of `spec`: 64 pixels for views no larger.
pub(in super::super) fn kept(spec: ViewSpec) -> u32 {
    const KEPT: u32 = 64;
    if spec.size <= KEPT { KEPT } else { 0 }
}

impl Resizer {
    pub(in super::super) fn new(cpu: Avx2, spec: ViewSpec) -> Self {
        let (columns, rows) = (Tables::new(kept(spec)), Tables::new(kept(spec)));
        let (window, small) = (Window::default(), Small::new(spec));
        Self { cpu, spec, axis: Axis::default(), columns, rows, window, small }
    }

    /// Resizes `crop`, mirrored or not, into the planes of `out`, of which a gray crop fills only the first.
    pub(in super::super) fn resize(&mut self, crop: PlanesRef<'_>, mirror: bool, out: &mut [u8]) {
        let Avx2(()) = self.cpu;
        // SAFETY: `cpu` proves the features.
        unsafe { self.resize_planes(crop, mirror, out) }
    }

    #[target_feature(enable = "avx2,fma")]
    fn resize_planes(&mut self, crop: PlanesRef<'_>, mirror: bool, out: &mut [u8]) {
        let Self { spec, axis, columns, rows, window, small, .. } = self;
        let (side, size) = (spec.size as usize, crop.size());
        let planes = out.chunks_exact_mut(side * side).take(crop.channels());
        if size == Size::new(spec.size, spec.size) {
            return copy(crop, mirror, planes);
        }
        if let Some(small) = small.as_mut().filter(|small| small.takes(size)) {
            return small.resize(crop, mirror, *spec, axis, planes);
        }
        let columns = columns.get((size.width, mirror), |table| {
            axis.prepare(size.width, spec.size, spec.filter, mirror);
            table.pack(axis);
        });
        let rows = rows.get((size.height, false), |table| {
            axis.prepare(size.height, spec.size, spec.filter, false);
            table.pack(axis, side);
        });
        window.prepare(side, rows.most_taps());
        for (channel, out) in planes.enumerate() {
            resize_plane(columns, rows, crop, channel, window, out);
        }
    }
}

/// What resizing to the same size is.
fn copy<'a>(crop: PlanesRef<'_>, mirror: bool, planes: impl Iterator<Item = &'a mut [u8]>) {
    let side = crop.size().width as usize;
    for (channel, out) in planes.enumerate() {
        for (y, to) in (0..).zip(out.chunks_exact_mut(side)) {
            to.copy_from_slice(crop.row(channel, y));
        }
        if mirror {
            place::mirror(out, side);
        }
    }
}

/// Widened rows of one plane.
#[derive(Default)]
struct Window {
    lines: Vec<F32x8>,
    /// Vectors of a line, whole blocks of four.
    stride: usize,
    /// Lines that there is room for.
    room: usize,
    /// Output row, where the view's side is no multiple of a block.
    padded: Vec<[u8; 32]>,
}

/// Size of a window that need not move often and leaves room in the cache.
const WINDOW_BYTES: usize = 16 << 10;

impl Window {
    /// For rows of `side` levels, `taps` of which must be there at a time.
    fn prepare(&mut self, side: usize, taps: usize) {
        self.stride = side.div_ceil(32) * 4;
        // Rows come in twos, so one more than the taps may be there.
        self.room = (WINDOW_BYTES / (self.stride * size_of::<F32x8>())).max(2 * (taps + 2));
        if self.lines.len() < self.room * self.stride {
            self.lines.resize(self.room * self.stride, F32x8::default());
        }
        self.padded.resize(side.div_ceil(32), [0; 32]);
    }
}

/// Resizes one plane into `out`, `side * side` bytes.
#[target_feature(enable = "avx2,fma")]
fn resize_plane(
    columns: &Across,
    rows: &Down,
    crop: PlanesRef<'_>,
    channel: usize,
    window: &mut Window,
    out: &mut [u8],
) {
    let Window { lines, stride, room, padded } = window;
    let (side, stride) = (rows.rows().len(), *stride);
    let last = crop.size().height - 1;
    // Lines hold the input rows `base..ready`.
    let (mut base, mut ready) = (0, 0);
    for (y, (&Row { first, count }, to)) in rows.rows().iter().zip(out.chunks_exact_mut(side)).enumerate() {
        if first >= ready {
            (base, ready) = (first, first);
        }
        while ready < first + count {
            if ready + 2 - base > *room {
                lines.copy_within((first - base) * stride..(ready - base) * stride, 0);
                base = first;
            }
            let (one, two) = lines[(ready - base) * stride..][..2 * stride].split_at_mut(stride);
            let row = |y: usize| crop.padded_row(channel, (y as u32).min(last));
            columns.widen([row(ready), row(ready + 1)], [one, two]);
            ready += 2;
        }
        let lines = &lines[(first - base) * stride..(ready - base) * stride];
        match to.as_chunks_mut() {
            (to, []) => rows.stack(y, lines, stride, to),
            _ => {
                rows.stack(y, lines, stride, padded);
                to.copy_from_slice(&padded.as_flattened()[..side]);
            }
        }
    }
}
