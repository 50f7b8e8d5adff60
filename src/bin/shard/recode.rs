//! A JPEG file to a coefficient record that is known to give the same pixels.
//!
//! The file is read once, for coefficients and pixels; the record is expanded again and every pixel compared.

use metacl::coef::{self, Coefficients, Expander, NotCovered, Path};
use metacl::decode::{CoefficientsError, Limits, jpeg_coefficients};
use metacl::image::{Planes, PlanesRef};
use metacl::shard::ingest::Reason;

/// What became of a file.
pub(super) enum Recoded {
    /// The record.
    Record(Vec<u8>),
    /// It must stay as it is: its kind, as reports name it. Whether it is sound has not been looked at.
    Kept(&'static str),
}

/// The buffers of one worker.
pub(super) struct Recoder {
    expander: Expander,
    /// As libjpeg-turbo decodes the file; as long as the largest so far.
    pixels: Vec<u8>,
    /// As the record expands.
    planes: Planes,
}

impl Recoder {
    pub(super) fn new() -> Self {
        Self { expander: Expander::new(Path::Fastest), pixels: Vec::new(), planes: Planes::default() }
    }

    /// Recodes `file`, unless records do not cover its kind.
    pub(super) fn recode(&mut self, file: &[u8]) -> Result<Recoded, Reason> {
        let coefficients = match jpeg_coefficients(file, Limits::default(), Some(&mut self.pixels)) {
            Ok(coefficients) => coefficients,
            Err(CoefficientsError::NotCovered(kind)) => return Ok(Recoded::Kept(kind)),
            Err(CoefficientsError::Broken(error)) => return Err(Reason::Damaged(error.to_string())),
        };
        let record = match coef::encode(&coefficients) {
            Ok(record) => record,
            Err(refusal) => return Ok(Recoded::Kept(kind(&refusal))),
        };
        if self.gives_the_pixels(&record, &coefficients) {
            Ok(Recoded::Record(record))
        } else {
            Ok(Recoded::Kept("other pixels"))
        }
    }

    fn gives_the_pixels(&mut self, record: &[u8], coefficients: &Coefficients) -> bool {
        let size = coefficients.size;
        self.expander.expand(record, size, size.rect(), true, &mut self.planes).is_ok()
            && same(self.planes.as_ref(), &self.pixels[..size.area() as usize * 3])
    }
}

/// Whether `pixels`, HWC, are those of `planes`.
fn same(planes: PlanesRef<'_>, pixels: &[u8]) -> bool {
    (0..planes.size().height).zip(pixels.chunks_exact(planes.size().width as usize * 3)).all(|(y, pixels)| {
        let [red, green, blue] = [0, 1, 2].map(|channel| planes.row(channel, y));
        // Without an early exit the compiler uses vectors.
        let differences = pixels
            .chunks_exact(3)
            .zip(red.iter().zip(green).zip(blue))
            .fold(0, |all, (pixel, ((red, green), blue))| {
                all | (pixel[0] ^ red) | (pixel[1] ^ green) | (pixel[2] ^ blue)
            });
        differences == 0
    })
}

fn kind(refusal: &NotCovered) -> &'static str {
    match refusal {
        NotCovered::Sampling(factors) => match factors[..] {
            [(1, 2), (1, 1), (1, 1)] => "4:4:0",
            [(4, 1), (1, 1), (1, 1)] => "4:1:1",
            _ => "other sampling",
        },
        NotCovered::Size(_) | NotCovered::RowTooLong(_) | NotCovered::TooLong => "too large",
        NotCovered::Coefficient(_) | NotCovered::Shape(_) => "overflowing",
    }
}

#[cfg(test)]
mod tests {
    use metacl::image::{PixelsRef, Size};

    use super::*;

    #[test]
    fn one_other_byte_is_seen() {
        let size = Size::new(37, 3);
        let mut pixels: Vec<u8> = (0..37 * 9).map(|at| (at * 7) as u8).collect();
        let mut planes = Planes::default();
        planes.copy_from(PixelsRef::new(&pixels, size).unwrap());
        assert!(same(planes.as_ref(), &pixels));
        for at in 0..pixels.len() {
            pixels[at] ^= 16;
            assert!(!same(planes.as_ref(), &pixels), "byte {at}");
            pixels[at] ^= 16;
        }
    }
}
