//! What the kernels are told, byte for byte as `kernels/plan.cuh` declares it.

use crate::augment::ViewPlan;

/// A view: its plan, where its pixels are, where its tables lie. `View` of `plan.cuh`, 112 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, bytemuck::NoUninit)]
pub struct ViewArgs {
    /// The drawn view.
    pub plan: ViewPlan,
    /// Where the held region's first plane starts, in bytes from the start of the pixels; a multiple of 4.
    pub pixels: u64,
    /// Bytes from row to row, a multiple of 4.
    pub stride: u32,
    /// Bytes from plane to plane; 0: one plane stands for R, G and B.
    pub plane: u32,
    /// First column and row of the held region in the image.
    pub held: [i32; 2],
    /// Width and height of the image.
    pub image: [u32; 2],
    /// Where the table of the columns starts, in units of 16 bytes.
    pub column_table: u32,
    /// Where the table of the rows starts, likewise.
    pub row_table: u32,
    /// Words of four taps of each column.
    pub column_words: u32,
    /// Words of four taps of each row.
    pub row_words: u32,
    /// The first blur weight.
    pub taps: u32,
    /// Blur taps beside the centre; 0: no blur.
    pub radius: u32,
    /// Where its rows between the passes lie in the workspace, behind the views that lie there, in units of 16 bytes.
    pub ring_at: u32,
    /// How many rows those are, a power of two; 0: in shared memory, or with the view.
    pub ring_rows: u32,
}

/// What all views of a launch share. `Delivery` of `plan.cuh`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, bytemuck::NoUninit)]
pub struct Delivery {
    /// Side of a view, in pixels.
    pub size: u32,
    /// 1: bilinear, 0: bicubic.
    pub bilinear: u32,
    /// Bytes of a value: 1, 2 or 4.
    pub value_bytes: u32,
    /// 1: the values of a pixel side by side, 0: planes.
    pub channels_last: u32,
    /// Rows of the ring in shared memory, a power of two; 0: views and rings lie in the workspace.
    pub ring_rows: u32,
    /// Bytes of workspace for the planes of a view, where they lie there.
    pub view_bytes: u32,
}

const _: () = {
    assert!(size_of::<ViewArgs>() == 112 && size_of::<Delivery>() == 24);
    assert!(std::mem::offset_of!(ViewArgs, pixels) == 48 && std::mem::offset_of!(ViewArgs, ring_rows) == 108);
};
