//! Which blocks and samples a region of a picture takes.

use std::ops::Range;

use crate::coef::ColourSpace;
use crate::coef::layout::Header;
use crate::image::Rect;

/// What of one component is needed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Part {
    /// Columns of samples.
    pub(super) x: Range<usize>,
    /// Columns of blocks.
    pub(super) columns: Range<usize>,
    /// Block rows.
    pub(super) rows: Range<usize>,
    /// Sample rows that the component has.
    pub(super) height: usize,
    /// Block rows in an MCU row.
    pub(super) factor: usize,
}

/// A region in terms of blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) region: Rect,
    pub(super) space: ColourSpace,
    /// Horizontal and vertical pixels of a chroma sample.
    pub(super) step: (usize, usize),
    /// Whether chroma is interpolated: libjpeg-turbo replicates where it has fewer than three columns.
    pub(super) fancy: bool,
    /// The components; one for gray.
    pub(super) parts: [Part; 3],
    pub(super) count: usize,
}

impl Window {
    /// `region` lies in the picture and is not empty.
    pub(super) fn new(header: &Header, region: Rect) -> Self {
        let samplings = header.samplings();
        let step = (samplings[0].0 as usize, samplings[0].1 as usize);
        let (width, height) = (header.size.width as usize, header.size.height as usize);
        let x = region.x as usize..(region.x + region.width) as usize;
        let y = region.y as usize..(region.y + region.height) as usize;
        let part = |x: Range<usize>, y: Range<usize>, height: usize, factor: usize| {
            let blocks = |samples: &Range<usize>| samples.start / 8..samples.end.div_ceil(8);
            Part { columns: blocks(&x), rows: blocks(&y), x, height, factor }
        };
        let (chroma_width, chroma_height) = (width.div_ceil(step.0), height.div_ceil(step.1));
        let chroma = || part(reduced(&x, step.0, chroma_width), reduced(&y, step.1, chroma_height), chroma_height, 1);
        let parts = [part(x.clone(), y.clone(), height, step.1), chroma(), chroma()];
        Self { region, space: header.space, step, fancy: chroma_width > 2, parts, count: samplings.len() }
    }

    /// MCU rows that hold the blocks.
    pub(super) fn mcu_rows(&self) -> Range<usize> {
        // The last component has one block row in an MCU row, and context where there is any.
        self.parts[self.count - 1].rows.clone()
    }

    /// Rows of pixels of the region, in the picture.
    pub(super) fn rows(&self) -> Range<usize> {
        self.region.y as usize..(self.region.y + self.region.height) as usize
    }
}

/// The samples that make the pixels `range`: with one more on each side where `step` is 2, inside the `length` there are.
fn reduced(range: &Range<usize>, step: usize, length: usize) -> Range<usize> {
    if step == 1 {
        return range.clone();
    }
    (range.start / step).saturating_sub(1)..((range.end - 1) / step + 2).min(length)
}
