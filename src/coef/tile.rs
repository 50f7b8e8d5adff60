//! The geometry of blocks, tiles and chunks, as `layout.md` states it.

/// Blocks of a chunk; the last one of a block row may hold fewer.
pub(super) const CHUNK: usize = 32;

/// No chunk makes a reader touch more bytes from its start: 5 (head) + 64 (DC) + 32 (presence) + 384 (masks, widths) + 3840 (values),
/// and 16 for vector loads that reach over.
pub(super) const CHUNK_BOUND: usize = 4352;

/// Bytes of a chunk before its DCs.
pub(super) const CHUNK_HEAD: usize = 5;

/// Most bytes of masks and widths that a block has.
pub(super) const BLOCK_CONTROL: usize = 12;

/// Row pair and column half of each tile.
pub(super) const TILES: [(usize, usize); 8] = [(0, 0), (1, 0), (0, 1), (1, 1), (2, 0), (3, 0), (2, 1), (3, 1)];

/// Where coefficient `lane` of tile `tile` stands in a block of natural order.
pub(super) const fn position(tile: usize, lane: usize) -> usize {
    let (pair, half) = TILES[tile];
    (2 * pair + lane / 4) * 8 + half * 4 + lane % 4
}

/// A block of coefficients, natural order, aligned for vector stores.
#[derive(Clone, Copy)]
#[repr(C, align(32))]
pub(super) struct Block(pub(super) [i16; 64]);

impl Block {
    pub(super) const ZERO: Self = Self([0; 64]);
}
