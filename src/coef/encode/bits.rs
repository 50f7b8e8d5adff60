//! A stream of bits.

/// Bits, lowest first, written over the front of a buffer.
pub(super) struct Bits<'a> {
    out: &'a mut [u8],
    /// Whole bytes written.
    length: usize,
    /// Bits not yet whole bytes, fewer than 8.
    rest: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    /// Writes over `out`, which needs 8 bytes more than the bits.
    pub(super) fn new(out: &'a mut [u8]) -> Self {
        Self { out, length: 0, rest: 0, count: 0 }
    }

    /// The low `width` bits (at most 56) of `word`, whose other bits are 0.
    #[inline(always)]
    pub(super) fn put(&mut self, word: u64, width: u32) {
        self.rest |= word << self.count;
        self.count += width;
        self.out[self.length..][..8].copy_from_slice(&self.rest.to_le_bytes());
        self.length += self.count as usize / 8;
        self.rest >>= self.count & !7;
        self.count %= 8;
    }

    /// Bytes written, the last one padded with 0.
    pub(super) fn finish(self) -> usize {
        self.length + (self.count > 0) as usize
    }
}
