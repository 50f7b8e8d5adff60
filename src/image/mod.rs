//! Borrowed and owned 8-bit RGB pixels, sizes and rectangles.
//!
//! Lives here: the types that every stage passes on. Not here: codecs, resampling, drawing.

mod deinterleave;
mod planes;

use std::fmt;

pub use planes::{PAD, Planes, PlanesRef};

/// Width and height in pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Size {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Size {
    /// A size of `width` columns and `height` rows.
    pub const fn new(width: u32, height: u32) -> Self {
        Self { width, height }
    }

    /// Number of pixels.
    pub const fn area(self) -> u64 {
        self.width as u64 * self.height as u64
    }

    /// The rectangle that covers the whole image.
    pub const fn rect(self) -> Rect {
        Rect { x: 0, y: 0, width: self.width, height: self.height }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// A rectangle of whole pixels, half-open: columns `x..x + width`, rows `y..y + height`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rect {
    /// First column.
    pub x: u32,
    /// First row.
    pub y: u32,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Rect {
    /// Whether the rectangle lies inside an image of `size`.
    pub fn fits(self, size: Size) -> bool {
        let end = |start: u32, length: u32| u64::from(start) + u64::from(length);
        end(self.x, self.width) <= u64::from(size.width) && end(self.y, self.height) <= u64::from(size.height)
    }

    /// The smallest rectangle that holds both.
    pub fn union(self, other: Self) -> Self {
        let span = |start: u32, length: u32, other: u32, other_length: u32| {
            let first = start.min(other);
            (first, (start + length).max(other + other_length) - first)
        };
        let (x, width) = span(self.x, self.width, other.x, other.width);
        let (y, height) = span(self.y, self.height, other.y, other.height);
        Self { x, y, width, height }
    }

    /// Its width and height.
    pub const fn size(self) -> Size {
        Size::new(self.width, self.height)
    }
}

/// Borrowed RGB pixels, u8, rows of interleaved R, G, B.
#[derive(Clone, Copy)]
pub struct PixelsRef<'a> {
    data: &'a [u8],
    size: Size,
}

impl<'a> PixelsRef<'a> {
    /// Views `data` (`height * width * 3` bytes, HWC) as an image of `size`; `None` where the length is another.
    pub fn new(data: &'a [u8], size: Size) -> Option<Self> {
        (data.len() as u64 == size.area() * 3).then_some(Self { data, size })
    }

    /// Width and height.
    pub fn size(self) -> Size {
        self.size
    }

    /// All bytes, HWC.
    pub fn data(self) -> &'a [u8] {
        self.data
    }

    /// Row `y`, `width * 3` bytes.
    pub fn row(self, y: u32) -> &'a [u8] {
        let stride = self.size.width as usize * 3;
        &self.data[y as usize * stride..][..stride]
    }
}

/// Owned RGB pixels, u8, HWC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pixels {
    data: Vec<u8>,
    size: Size,
}

impl Pixels {
    /// Takes `data` (`height * width * 3` bytes, HWC); `None` where the length is another.
    pub fn new(data: Vec<u8>, size: Size) -> Option<Self> {
        (data.len() as u64 == size.area() * 3).then_some(Self { data, size })
    }

    /// Borrows the pixels.
    pub fn as_ref(&self) -> PixelsRef<'_> {
        PixelsRef { data: &self.data, size: self.size }
    }

    /// The bytes, HWC.
    pub fn into_data(self) -> Vec<u8> {
        self.data
    }
}
