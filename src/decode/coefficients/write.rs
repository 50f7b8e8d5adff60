//! Coefficients to a JPEG file.

use std::ffi::{CStr, c_int};
use std::ptr::NonNull;

use super::{ffi, in_range};
use crate::coef::{Coefficients, ColourSpace};

/// Why coefficients make no JPEG file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteJpegError {
    /// They contradict themselves.
    #[error("coefficients of component {component}: {what}; they are no JPEG's")]
    Malformed {
        /// Which component, from 0.
        component: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// The number of components is not that of the colour space.
    #[error("{found} components, {space:?} has {expected}")]
    Components {
        /// How many there are.
        found: usize,
        /// How many there should be.
        expected: usize,
        /// Of what.
        space: ColourSpace,
    },
    /// libjpeg-turbo refuses.
    #[error("libjpeg-turbo cannot write the JPEG: {0}")]
    Library(String),
}

/// A baseline JPEG file with exactly these coefficients, quantisation tables, sampling and colours; all other metadata is gone.
/// `optimise` makes Huffman codes for this image: a few per cent smaller, some slower.
///
/// # Errors
/// Where the coefficients contradict themselves or are beyond what baseline files hold, e.g. more than 65,500 pixels a side.
pub fn write_jpeg(coefficients: &Coefficients, optimise: bool) -> Result<Vec<u8>, WriteJpegError> {
    check(coefficients)?;
    let space = match coefficients.space {
        ColourSpace::Gray => ffi::GRAY,
        ColourSpace::YCbCr => ffi::YCBCR,
        ColourSpace::Rgb => ffi::RGB,
    };
    let header = ffi::Header {
        width: coefficients.size.width,
        height: coefficients.size.height,
        components: coefficients.components.len() as i32,
        space,
        precision: 8,
        lossless: 0,
    };
    let components = coefficients.components.iter().map(|component| ffi::Component {
        h: component.sampling.0.into(),
        v: component.sampling.1.into(),
        columns: component.columns as u32,
        rows: component.rows as u32,
        has_table: 1,
        quantisation: component.quantisation,
    });
    let components: Vec<ffi::Component> = components.collect();
    let blocks: Vec<*const [i16; 64]> =
        coefficients.components.iter().map(|component| component.blocks.as_ptr()).collect();
    // SAFETY: `check` has seen that there are one or three components as the space needs and that each has rows * columns blocks;
    // all pointers outlive the call, which keeps none.
    let writer =
        unsafe { ffi::metacl_jpeg_write(&header, components.as_ptr(), blocks.as_ptr(), c_int::from(optimise)) };
    let writer = NonNull::new(writer).ok_or_else(|| WriteJpegError::Library("no memory".into()))?;
    Writer(writer).file()
}

fn check(coefficients: &Coefficients) -> Result<(), WriteJpegError> {
    let (found, space) = (coefficients.components.len(), coefficients.space);
    let expected = space.components();
    if found != expected {
        return Err(WriteJpegError::Components { found, expected, space });
    }
    for (index, component) in coefficients.components.iter().enumerate() {
        let malformed = |what| Err(WriteJpegError::Malformed { component: index, what });
        let (h, v) = component.sampling;
        if !(1..=4).contains(&h) || !(1..=4).contains(&v) {
            return malformed("sampling factors are 1 to 4");
        }
        if (component.columns, component.rows) != coefficients.blocks(index) {
            return malformed("its rows or columns are not those of the image's size");
        }
        if component.blocks.len() != component.columns * component.rows {
            return malformed("it has not rows * columns blocks");
        }
        if !in_range(&component.blocks) {
            return malformed("values are beyond those of 8-bit samples");
        }
    }
    Ok(())
}

/// What the library has written.
struct Writer(NonNull<ffi::Writer>);

impl Writer {
    fn file(&self) -> Result<Vec<u8>, WriteJpegError> {
        let mut length = 0;
        // SAFETY: the writer is live.
        let bytes = unsafe { ffi::metacl_jpeg_file(self.0.as_ptr(), &mut length) };
        if !bytes.is_null() {
            // SAFETY: not null means that so many bytes lie there; they are the writer's and it is borrowed.
            return Ok(unsafe { std::slice::from_raw_parts(bytes, length) }.to_vec());
        }
        // SAFETY: the writer is live; its message ends in zero.
        let message = unsafe { CStr::from_ptr(ffi::metacl_jpeg_failure(self.0.as_ptr())) };
        Err(WriteJpegError::Library(message.to_string_lossy().replace('\n', " ")))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // SAFETY: the writer is live and not used again.
        unsafe { ffi::metacl_jpeg_free(self.0.as_ptr()) }
    }
}
