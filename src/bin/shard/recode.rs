//! A JPEG file to a coefficient record that is known to give the same pixels.
//!
//! The file is read once, for coefficients and pixels; the record is expanded again and every pixel compared.

use metacl::coef::{self, Expander, NotCovered, Path};
use metacl::decode::{CoefficientsError, Limits, jpeg_coefficients};
use metacl::image::{PixelsRef, Planes, PlanesRef, Size};
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
    limits: Limits,
    expander: Expander,
    /// As libjpeg-turbo decodes the file; as long as the largest so far.
    pixels: Vec<u8>,
    /// The same as planes.
    expected: Planes,
    /// As the record expands.
    expanded: Planes,
}

impl Recoder {
    pub(super) fn new(limits: Limits) -> Self {
        let [expected, expanded] = [Planes::default(), Planes::default()];
        Self { limits, expander: Expander::new(Path::Fastest), pixels: Vec::new(), expected, expanded }
    }

    /// Recodes `file`, unless records do not cover its kind.
    pub(super) fn recode(&mut self, file: &[u8]) -> Result<Recoded, Reason> {
        let coefficients = match jpeg_coefficients(file, self.limits, Some(&mut self.pixels)) {
            Ok(coefficients) => coefficients,
            Err(CoefficientsError::NotCovered(kind)) => return Ok(Recoded::Kept(kind)),
            Err(CoefficientsError::Broken(error)) => return Err(Reason::Damaged(error.to_string())),
        };
        let record = match coef::encode(&coefficients) {
            Ok(record) => record,
            Err(refusal) => return Ok(Recoded::Kept(kind(&refusal))),
        };
        if self.gives_the_pixels(&record, coefficients.size) {
            Ok(Recoded::Record(record))
        } else {
            Ok(Recoded::Kept("other pixels"))
        }
    }

    fn gives_the_pixels(&mut self, record: &[u8], size: Size) -> bool {
        let pixels = &self.pixels[..size.area() as usize * 3];
        self.expected.copy_from(PixelsRef::new(pixels, size).expect("as long as the size needs"));
        self.expander.expand(record, size, size.rect(), true, &mut self.expanded).is_ok()
            && same(self.expected.as_ref(), self.expanded.as_ref())
    }
}

/// Whether both are the same pixels.
fn same(a: PlanesRef<'_>, b: PlanesRef<'_>) -> bool {
    a.size() == b.size() && (0..a.size().height).all(|y| (0..3).all(|channel| a.row(channel, y) == b.row(channel, y)))
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
    use super::*;

    #[test]
    fn one_other_byte_is_seen() {
        let planes = |bytes: &[u8], width| {
            let mut planes = Planes::default();
            planes.copy_from(PixelsRef::new(bytes, Size::new(width, bytes.len() as u32 / 3 / width)).unwrap());
            planes
        };
        let mut bytes: Vec<u8> = (0..36 * 9).map(|at| (at * 7) as u8).collect();
        let whole = planes(&bytes, 36);
        assert!(same(whole.as_ref(), planes(&bytes, 36).as_ref()));
        assert!(!same(whole.as_ref(), planes(&bytes, 54).as_ref()));
        for at in 0..bytes.len() {
            bytes[at] ^= 16;
            assert!(!same(whole.as_ref(), planes(&bytes, 36).as_ref()), "byte {at}");
            bytes[at] ^= 16;
        }
    }
}
