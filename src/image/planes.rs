//! Planar RGB: what decoders write and what the resampler reads, 16 or 32 values a load.

use super::deinterleave::deinterleave;
use super::{PixelsRef, Rect, Size};

/// Bytes behind the last pixel of every row that may be read (and in [`Planes`] written); their values mean nothing.
pub const PAD: usize = 64;

/// Borrowed planar RGB, u8: three planes of rows that lie `stride` bytes apart.
///
/// Behind every row at least [`PAD`] more bytes can be read: vector code need not stop at the last pixel.
#[derive(Clone, Copy)]
pub struct PlanesRef<'a> {
    data: &'a [u8],
    size: Size,
    stride: usize,
    plane: usize,
}

impl<'a> PlanesRef<'a> {
    /// Width and height.
    pub fn size(self) -> Size {
        self.size
    }

    /// Whether R, G and B are the same bytes.
    pub fn is_gray(self) -> bool {
        self.plane == 0
    }

    /// Planes that differ: 1 or 3.
    pub fn channels(self) -> usize {
        if self.is_gray() { 1 } else { 3 }
    }

    /// Row `y` of channel `channel` (R, G, B), `width` bytes.
    ///
    /// # Panics
    /// Where there is no such row.
    pub fn row(self, channel: usize, y: u32) -> &'a [u8] {
        &self.padded_row(channel, y)[..self.size.width as usize]
    }

    /// Row `y` of channel `channel` and the [`PAD`] bytes behind it.
    ///
    /// # Panics
    /// Where there is no such row.
    pub fn padded_row(self, channel: usize, y: u32) -> &'a [u8] {
        assert!(channel < 3 && y < self.size.height, "row {y} of channel {channel} of {}", self.size);
        &self.data[channel * self.plane + y as usize * self.stride..][..self.size.width as usize + PAD]
    }

    /// The part `rect` of it, without a copy.
    ///
    /// # Panics
    /// Where `rect` is not inside.
    pub fn window(self, rect: Rect) -> Self {
        assert!(rect.fits(self.size), "{rect:?} of {}", self.size);
        let first = rect.y as usize * self.stride + rect.x as usize;
        Self { data: &self.data[first..], size: rect.size(), ..self }
    }

    /// Copies its planes into `to`, one behind the other, rows `stride` bytes apart; what lies between rows stays.
    pub fn lay_out(self, stride: usize, to: &mut [u8]) {
        let rows = (0..self.channels()).flat_map(|channel| (0..self.size.height).map(move |y| self.row(channel, y)));
        for (from, to) in rows.zip(to.chunks_exact_mut(stride)) {
            to[..from.len()].copy_from_slice(from);
        }
    }

    /// Its pixels as HWC bytes.
    pub fn interleaved(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(3 * self.size.area() as usize);
        for y in 0..self.size.height {
            let [red, green, blue] = [0, 1, 2].map(|channel| self.row(channel, y));
            for ((red, green), blue) in red.iter().zip(green).zip(blue) {
                out.extend_from_slice(&[*red, *green, *blue]);
            }
        }
        out
    }
}

/// Owned planar RGB, u8; a buffer that only grows, for one image after another.
#[derive(Default)]
pub struct Planes {
    data: Vec<u8>,
    size: Size,
    /// Bytes from a row to the next, at least `width + PAD`.
    stride: usize,
    plane: usize,
}

impl Planes {
    /// Makes it an image of `size`, with three planes or, `gray`, one that R, G and B share; the pixels are whatever was there.
    pub fn reset(&mut self, size: Size, gray: bool) {
        self.size = size;
        self.stride = (size.width as usize + PAD).next_multiple_of(32);
        let plane = self.stride * size.height as usize;
        self.plane = if gray { 0 } else { plane };
        let length = self.as_ref().channels() * plane;
        if self.data.len() < length {
            self.data.resize(length, 0);
        }
    }

    /// Width and height.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Row `y` of channel `channel` with its [`PAD`] bytes, to write.
    ///
    /// # Panics
    /// Where there is no such row.
    pub fn padded_row_mut(&mut self, channel: usize, y: u32) -> &mut [u8] {
        assert!(channel < 3 && y < self.size.height, "row {y} of channel {channel} of {}", self.size);
        &mut self.data[channel * self.plane + y as usize * self.stride..][..self.size.width as usize + PAD]
    }

    /// The rows `y` of R, G and B with their [`PAD`] bytes, to write.
    ///
    /// # Panics
    /// Where there is no such row, or where the image [is gray](PlanesRef::is_gray).
    pub fn padded_rows_mut(&mut self, y: u32) -> [&mut [u8]; 3] {
        assert!(self.plane > 0 && y < self.size.height, "row {y} of {}", self.size);
        let (start, length) = (y as usize * self.stride, self.size.width as usize + PAD);
        let (red, rest) = self.data.split_at_mut(self.plane);
        let (green, blue) = rest.split_at_mut(self.plane);
        [red, green, blue].map(|plane| &mut plane[start..start + length])
    }

    /// Borrows it.
    pub fn as_ref(&self) -> PlanesRef<'_> {
        PlanesRef { data: &self.data, size: self.size, stride: self.stride, plane: self.plane }
    }

    /// Makes it a copy of `pixels`.
    pub fn copy_from(&mut self, pixels: PixelsRef<'_>) {
        self.copy_part(pixels, pixels.size().rect());
    }

    /// Makes it a copy of the part `rect` of `pixels`.
    ///
    /// # Panics
    /// Where `rect` is not inside.
    pub fn copy_part(&mut self, pixels: PixelsRef<'_>, rect: Rect) {
        assert!(rect.fits(pixels.size()), "{rect:?} of {}", pixels.size());
        self.reset(rect.size(), false);
        let (first, length) = (3 * rect.x as usize, 3 * rect.width as usize);
        for y in 0..rect.height {
            deinterleave(&pixels.row(rect.y + y)[first..][..length], self.padded_rows_mut(y));
        }
    }

    /// Makes it a gray copy of the part `rect` of `levels`, one byte a pixel in rows of `width`.
    ///
    /// # Panics
    /// Where `rect` is not inside.
    pub fn copy_gray_part(&mut self, levels: &[u8], width: u32, rect: Rect) {
        self.reset(rect.size(), true);
        for (y, row) in (0..rect.height).zip(levels.chunks_exact(width as usize).skip(rect.y as usize)) {
            let row = &row[rect.x as usize..][..rect.width as usize];
            self.padded_row_mut(0, y)[..row.len()].copy_from_slice(row);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_show_their_part() {
        let size = Size::new(5, 4);
        let bytes: Vec<u8> = (0..60).collect();
        let pixels = PixelsRef::new(&bytes, size).unwrap();
        let mut planes = Planes::default();
        planes.reset(Size::new(70, 3), false);
        planes.copy_from(pixels);
        let window = planes.as_ref().window(Rect { x: 3, y: 1, width: 2, height: 3 });
        for y in 0..3 {
            for channel in 0..3 {
                let expected: Vec<u8> = pixels.row(y + 1)[9..].chunks(3).map(|pixel| pixel[channel]).collect();
                assert_eq!(window.row(channel, y), expected);
                assert_eq!(window.padded_row(channel, y).len(), 2 + PAD);
            }
        }
        assert_eq!(planes.as_ref().interleaved(), bytes);
    }

    #[test]
    fn gray_shares_one_plane() {
        let mut planes = Planes::default();
        planes.reset(Size::new(2, 1), true);
        planes.padded_row_mut(0, 0)[..2].copy_from_slice(&[7, 9]);
        assert!(planes.as_ref().is_gray());
        assert_eq!(planes.as_ref().row(2, 0), [7, 9]);
    }
}
