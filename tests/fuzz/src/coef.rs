//! Coefficient records.

use metacl::coef::device::{Expansion, Job, PixelPlace};
use metacl::coef::{self, CoefError, Expander, Path, coefficients, encode, preview};
use metacl::image::{Planes, Rect, Size};
use xxhash_rust::xxh3::xxh3_64;

use super::control;
use super::images::{part, region};

/// Pixels up to which a record is expanded, as a decoder's limits would have it.
const MOST_PIXELS: u64 = 1 << 16;

/// Four bytes of a region, then a record: expanded by plain and by vector code, whole and in part, checksums not compared; listed for
/// a device; and, checksums put right, read as coefficients.
pub(super) fn coef(bytes: &[u8]) {
    let Some((by, record)) = control(bytes) else { return };
    let _ = coef::header(record);
    let Some(size) = size(record).filter(|size| (1..=MOST_PIXELS).contains(&size.area())) else { return };
    let region = region(size, by);
    let whole = expand(record, size, size.rect());
    let cut = expand(record, size, region);
    if let Some(whole) = &whole {
        let cut = cut.expect("expands whole, but not in part");
        assert!(cut == part(whole, size, region), "{region:?} of {size} differs from the whole");
        list(record, size, region).expect("expands, but is not listed for a device");
    } else {
        let _ = list(record, size, region);
    }
    let mut sealed = record.to_vec();
    if seal(&mut sealed, size).is_some() {
        read_back(&sealed, whole.is_some());
    }
}

/// What the record's header states, whether or not there is more of it.
fn size(record: &[u8]) -> Option<Size> {
    let side = |at: usize| Some(u16::from_le_bytes([*record.get(at)?, *record.get(at + 1)?]).into());
    Some(Size::new(side(2)?, side(4)?))
}

/// Pixels of `region` by both paths, which must agree; `None` where both refuse.
fn expand(record: &[u8], size: Size, region: Rect) -> Option<Vec<u8>> {
    let [fastest, scalar] = [Path::Fastest, Path::Scalar].map(|path| {
        let mut planes = Planes::default();
        Expander::new(path).expand(record, size, region, false, &mut planes)?;
        Ok::<_, CoefError>(planes.as_ref().interleaved())
    });
    match (fastest, scalar) {
        (Ok(fastest), Ok(scalar)) => {
            assert!(fastest == scalar, "vector and plain code differ in {region:?} of {size}");
            Some(scalar)
        }
        (Err(_), Err(_)) => None,
        (fastest, scalar) => panic!("one path refuses: fastest {:?}, scalar {:?}", fastest.err(), scalar.err()),
    }
}

fn list(record: &[u8], size: Size, region: Rect) -> Result<(), CoefError> {
    let stride = region.width.next_multiple_of(4);
    let pixels = PixelPlace { offset: 0, stride, plane: stride * region.height };
    let taken =
        Expansion::default().push(&Job { record, size, region, verify: false, image: 0, copied_at: 0, pixels })?;
    assert!(taken.copy.end <= record.len(), "a device would read behind the record");
    Ok(())
}

/// Coefficients of a record whose checksums hold, and a record of them again.
fn read_back(record: &[u8], expands: bool) {
    let _ = preview(record, &mut Planes::default());
    let read = coefficients(record);
    assert!(read.is_ok() || !expands, "expands, but cannot be read: {:?}", read.err());
    if let Ok(read) = read
        && let Ok(again) = encode(&read)
    {
        assert!(coefficients(&again).as_ref() == Ok(&read), "other coefficients after writing");
    }
}

/// Makes the checksums of a record right whose parts can be found: `layout.md`.
fn seal(record: &mut [u8], size: Size) -> Option<()> {
    let (components, tables) = (usize::from(*record.get(6)?), usize::from(*record.get(7)?));
    let vertical = usize::from(record.get(8)? & 15).max(1);
    let rows = (size.height as usize).div_ceil(8 * vertical);
    let starts = 8 + 2 * components + 128 * tables;
    let end = starts + 8 * rows + 8;
    let header = record.get(..end)?;
    let start = |row: usize| {
        let bytes = header[starts + 4 * row..].first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
        bytes.map(|start| start as usize)
    };
    let ranges: Vec<_> = (0..rows).map(|row| Some(start(row)?..start(row + 1)?)).collect::<Option<_>>()?;
    for (row, range) in ranges.into_iter().enumerate() {
        let sum = xxh3_64(record.get(range)?) as u32;
        record[starts + 4 * (rows + 1 + row)..][..4].copy_from_slice(&sum.to_le_bytes());
    }
    let sum = xxh3_64(&record[..end - 4]) as u32;
    record[end - 4..end].copy_from_slice(&sum.to_le_bytes());
    Some(())
}
