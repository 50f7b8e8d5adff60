//! What the host writes and the kernels read. `kernels/coef.cuh` repeats these layouts.

/// A chunk to expand: 32 bytes, by one block of threads.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, bytemuck::NoUninit)]
pub struct ChunkTask {
    /// Its first byte in the copied records.
    pub bytes: u64,
    /// Byte of the first needed block's first sample; a multiple of 8.
    pub samples: u64,
    /// Its declared length, in 2 bytes.
    pub pairs: u16,
    /// From row to row of samples, in 8 bytes.
    pub stride: u16,
    /// Which status it sets.
    pub image: u32,
    /// Which quantisation table.
    pub table: u32,
    /// Blocks in it, 1 to 32.
    pub blocks: u8,
    /// The first needed.
    pub first: u8,
    /// How many are needed, at least 1.
    pub count: u8,
    /// Zero.
    pub reserved: u8,
}

/// A region to make of samples: 88 bytes. The second and third component share size and place.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, bytemuck::NoUninit)]
pub struct PictureTask {
    /// First byte of each component's samples; unused ones are 0.
    pub samples: [u64; 3],
    /// Where the pixels go.
    pub pixels: PixelPlace,
    /// Of the region, in pixels.
    pub width: u32,
    /// Of the region, in pixels.
    pub height: u32,
    /// Bytes from row to row of the first component's samples.
    pub stride: u32,
    /// Bytes from row to row of the others' samples.
    pub chroma_stride: u32,
    /// Column and row of the region's first pixel, counted from the first of the first component's samples.
    pub at: [u32; 2],
    /// Column and row of the region's first pixel, counted from the first pixel of the first of the others' samples.
    pub chroma_at: [u32; 2],
    /// Column and row of the picture's last of the others' samples, counted from the first.
    pub chroma_last: [u32; 2],
    /// Bits: see the constants of this type.
    pub kind: u32,
    /// Zero.
    pub reserved: u32,
}

impl PictureTask {
    /// The components are R, G, B.
    pub const RGB: u32 = 1;
    /// Two columns of pixels share a sample of the second and third component.
    pub const HALF_COLUMNS: u32 = 2;
    /// Two rows of pixels share a sample of the second and third component.
    pub const HALF_ROWS: u32 = 4;
    /// Shared samples are interpolated, else replicated.
    pub const FANCY: u32 = 8;
}

/// Where the pixels of a region go: planes R, G, B of u8. Kernels write whole words of 4 bytes, so up to 3 bytes behind each row,
/// whose values mean nothing.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, bytemuck::NoUninit)]
pub struct PixelPlace {
    /// First byte; a multiple of 4.
    pub offset: u64,
    /// Bytes from row to row; a multiple of 4, at least the region's width.
    pub stride: u32,
    /// Bytes from plane to plane; a multiple of 4, at least `stride * height`. In a [`PictureTask`] 0 where the picture is gray: one plane
    /// is written, which stands for all.
    pub plane: u32,
}

/// Rows of a region that one block of threads makes: 12 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, bytemuck::NoUninit)]
pub struct BandTask {
    /// Which of the pictures.
    pub picture: u32,
    /// First row of the region.
    pub first: u32,
    /// Behind the last.
    pub end: u32,
}

const _: () = assert!(size_of::<ChunkTask>() == 32 && size_of::<PictureTask>() == 88 && size_of::<BandTask>() == 12);
