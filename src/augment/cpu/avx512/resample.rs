//! Which way a crop is resized.

use super::super::avx2;
use super::Avx512;
use super::small::Small;
use crate::augment::ViewSpec;
use crate::image::{PlanesRef, Size};

/// Tables and rows of a renderer's views.
pub(in super::super) struct Resizer {
    cpu: Avx512,
    spec: ViewSpec,
    small: Option<Small>,
    other: avx2::Resizer,
}

impl Resizer {
    pub(in super::super) fn new(cpu: Avx512, spec: ViewSpec) -> Self {
        Self { cpu, spec, small: Small::new(spec), other: avx2::Resizer::new(cpu.avx2(), spec) }
    }

    /// Resizes `crop`, mirrored or not, into the planes of `out`, of which a gray crop fills only the first.
    pub(in super::super) fn resize(&mut self, crop: PlanesRef<'_>, mirror: bool, out: &mut [u8]) {
        let (Avx512(_), side, size) = (self.cpu, self.spec.size, crop.size());
        match &mut self.small {
            Some(small) if size.width.max(size.height) <= side && size != Size::new(side, side) => {
                let planes = out.chunks_exact_mut((side * side) as usize).take(crop.channels());
                // SAFETY: `cpu` proves the features.
                unsafe { small.resize(crop, mirror, self.spec, planes) }
            }
            _ => self.other.resize(crop, mirror, out),
        }
    }
}
