//! Which blocks and samples a region of a picture takes, and where its chunks are.

use std::ops::Range;

use crate::coef::chunk::BlockRow;
use crate::coef::layout::{Header, Record};
use crate::coef::tile::CHUNK;
use crate::coef::{CoefError, ColourSpace};
use crate::image::Rect;

/// What of one component is needed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::coef) struct Part {
    /// Columns of samples.
    pub(in crate::coef) x: Range<usize>,
    /// Columns of blocks.
    pub(in crate::coef) columns: Range<usize>,
    /// Block rows.
    pub(in crate::coef) rows: Range<usize>,
    /// Sample rows that the component has.
    pub(in crate::coef) height: usize,
    /// Block rows in an MCU row.
    pub(in crate::coef) factor: usize,
}

impl Part {
    /// The chunks of a block row that hold its columns.
    pub(in crate::coef) fn chunks(&self) -> Range<usize> {
        self.columns.start / CHUNK..self.columns.end.div_ceil(CHUNK)
    }

    /// Of the `blocks` blocks of chunk `index`, which are needed: those of its columns.
    pub(in crate::coef) fn of_chunk(&self, index: usize, blocks: usize) -> Range<usize> {
        let first = self.columns.start.saturating_sub(index * CHUNK);
        first..(self.columns.end - index * CHUNK).min(blocks)
    }
}

/// A region in terms of blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::coef) struct Window {
    pub(in crate::coef) region: Rect,
    pub(in crate::coef) space: ColourSpace,
    /// Horizontal and vertical pixels of a chroma sample.
    pub(in crate::coef) step: (usize, usize),
    /// Whether chroma is interpolated: libjpeg-turbo replicates where it has fewer than three columns.
    pub(in crate::coef) fancy: bool,
    /// The components; one for gray.
    pub(in crate::coef) parts: [Part; 3],
    pub(in crate::coef) count: usize,
}

impl Window {
    /// `region` lies in the picture and is not empty.
    pub(in crate::coef) fn new(header: &Header, region: Rect) -> Self {
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
    pub(in crate::coef) fn mcu_rows(&self) -> Range<usize> {
        // The last component has one block row in an MCU row, and context where there is any.
        self.parts[self.count - 1].rows.clone()
    }

    /// Hands every block row of MCU row `mcu_row` that is needed to `take`, with its component and its place among the component's
    /// block rows; the MCU row's checksum is compared first where `verify`.
    pub(in crate::coef) fn each_block_row(
        &self,
        record: &Record<'_>,
        mcu_row: usize,
        verify: bool,
        mut take: impl FnMut(usize, usize, &BlockRow) -> Result<(), CoefError>,
    ) -> Result<(), CoefError> {
        let range = record.mcu_row(mcu_row, verify)?;
        let mut at = range.start;
        for (component, part) in self.parts[..self.count].iter().enumerate() {
            let columns = record.header.blocks(component).0;
            for block_row in record.header.block_rows(component, mcu_row) {
                let (row, next) = BlockRow::open(record, mcu_row, at, columns, range.end)?;
                if part.rows.contains(&block_row) {
                    take(component, block_row, &row)?;
                }
                at = next;
            }
        }
        Ok(())
    }

    /// Rows of pixels of the region, in the picture.
    pub(in crate::coef) fn rows(&self) -> Range<usize> {
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
