//! A record, MCU row by MCU row: unpack and transform its blocks into strips of samples, then make the rows of pixels that these allow.
//!
//! 4:2:0 mixes each chroma row with one neighbour, so the last row of a strip waits for the next strip: each strip buffer has one row
//! above for the last of the strip before.

use super::kernels::{HalfRow, Kernels, Sums, Table};
use super::window::{Part, Window};
use crate::coef::CoefError;
use crate::coef::chunk::BlockRow;
use crate::coef::layout::Record;
use crate::coef::tile::{Block, CHUNK, CHUNK_BOUND};
use crate::image::{PAD, Planes};

/// Buffers for one record after another.
pub(super) struct Scratch {
    strips: [Strip; 3],
    blocks: Box<[Block; CHUNK]>,
    spare: Box<[u8; CHUNK_BOUND]>,
    sums: Sums,
}

impl Default for Scratch {
    fn default() -> Self {
        let (blocks, spare) = (Box::new([Block::ZERO; CHUNK]), Box::new([0; CHUNK_BOUND]));
        Self { strips: Default::default(), blocks, spare, sums: Sums::default() }
    }
}

/// Samples of one component: the row above, then 8 rows for each block row of an MCU row.
#[derive(Default)]
struct Strip {
    samples: Vec<u8>,
    stride: usize,
    /// Samples from the first block's first column to the first needed.
    lead: usize,
}

impl Strip {
    fn prepare(&mut self, part: &Part) {
        self.stride = (8 * part.columns.len() + PAD + 8).next_multiple_of(32);
        self.lead = part.x.start - 8 * part.columns.start;
        let length = (1 + 8 * part.factor) * self.stride;
        if self.samples.len() < length {
            self.samples.resize(length, 0);
        }
    }

    /// Row `row` (0 is the one above), from the first sample needed on.
    fn row(&self, row: usize) -> &[u8] {
        &self.samples[row * self.stride..][self.lead..self.stride]
    }

    /// Makes the last row the one above.
    fn keep(&mut self, factor: usize) {
        let last = 8 * factor * self.stride;
        self.samples.copy_within(last..last + self.stride, 0);
    }
}

impl Scratch {
    /// Makes `out`, which has the region's size, the window of the picture.
    pub(super) fn expand<K: Kernels>(
        &mut self,
        kernels: K,
        record: &Record<'_>,
        window: &Window,
        verify: bool,
        out: &mut Planes,
    ) -> Result<(), CoefError> {
        for (strip, part) in self.strips.iter_mut().zip(&window.parts[..window.count]) {
            strip.prepare(part);
        }
        let tables: [Table; 3] = std::array::from_fn(|component| Table::new(record.quantisation(component)));
        let rows = window.rows();
        let mut done = rows.start;
        for mcu_row in window.mcu_rows() {
            self.decode(kernels, record, window, &tables, mcu_row, verify)?;
            let behind = 8 * window.step.1 * (mcu_row + 1);
            let ready = if mcu_row + 1 == window.mcu_rows().end { rows.end } else { behind - (window.step.1 - 1) };
            for y in done..ready.min(rows.end) {
                self.emit(kernels, window, mcu_row, y, out);
            }
            done = done.max(ready);
            if window.step.1 == 2 {
                for (strip, part) in self.strips.iter_mut().zip(&window.parts) {
                    strip.keep(part.factor);
                }
            }
        }
        Ok(())
    }

    /// Fills the strips with the blocks of an MCU row.
    fn decode<K: Kernels>(
        &mut self,
        kernels: K,
        record: &Record<'_>,
        window: &Window,
        tables: &[Table; 3],
        mcu_row: usize,
        verify: bool,
    ) -> Result<(), CoefError> {
        window.each_block_row(record, mcu_row, verify, |component, block_row, row| {
            let part = &window.parts[component];
            let index = block_row - part.factor * mcu_row;
            self.block_row(kernels, record, row, component, part, 1 + 8 * index, &tables[component])
        })
    }

    /// The samples of a block row, from row `to` of its strip on.
    #[allow(clippy::too_many_arguments, reason = "what the stages take, no more")]
    fn block_row<K: Kernels>(
        &mut self,
        kernels: K,
        record: &Record<'_>,
        row: &BlockRow,
        component: usize,
        part: &Part,
        to: usize,
        table: &Table,
    ) -> Result<(), CoefError> {
        let strip = &mut self.strips[component];
        for index in part.chunks() {
            let chunk = row.chunk(record, index, &mut self.spare)?;
            let wanted = part.of_chunk(index, chunk.blocks);
            let (first, count) = (wanted.start, wanted.len());
            let cursor = kernels.skip(&chunk, first);
            let cursor = kernels.unpack(&chunk, first, count, cursor, &mut self.blocks);
            if first + count == chunk.blocks && !chunk.ends_at(cursor) {
                return Err(row.contradiction(cursor));
            }
            let from = to * strip.stride + 8 * (index * CHUNK + first - part.columns.start);
            let presence = &chunk.presence()[first..first + count];
            kernels.transform(&self.blocks[..count], presence, table, &mut strip.samples[from..], strip.stride);
        }
        Ok(())
    }

    /// Pixel row `y` of the picture, with the strips of `mcu_row`.
    fn emit<K: Kernels>(&mut self, kernels: K, window: &Window, mcu_row: usize, y: usize, out: &mut Planes) {
        let width = window.region.width as usize;
        let to = (y - window.region.y as usize) as u32;
        let [first, second, third] = &self.strips;
        let at = |row: usize, component: usize| row + 1 - 8 * window.parts[component].factor * mcu_row;
        let luma = first.row(at(y, 0));
        if window.count == 1 {
            out.padded_row_mut(0, to)[..width].copy_from_slice(&luma[..width]);
            return;
        }
        if window.step.0 == 1 {
            let samples = [luma, second.row(at(y, 1)), third.row(at(y, 2))];
            kernels.full_row(window.space, samples, out.padded_rows_mut(to), width);
            return;
        }
        let near = y / window.step.1;
        let far = match (window.step.1, y % 2) {
            (1, _) => near,
            (_, 0) => near.saturating_sub(1),
            _ => (near + 1).min(window.parts[1].height - 1),
        };
        let rows = [near, far].map(|row| at(row, 1));
        let row = HalfRow {
            space: window.space,
            luma,
            chroma: [second, third].map(|strip| rows.map(|row| strip.row(row))),
            mixed: window.step.1 == 2,
            samples: window.parts[1].x.len(),
            lead: window.region.x as usize - 2 * window.parts[1].x.start,
            fancy: window.fancy,
            width,
        };
        kernels.half_row(&row, out.padded_rows_mut(to), &mut self.sums);
    }
}
