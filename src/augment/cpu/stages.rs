//! Who does a stage: the plain code, or what the CPU has.

use super::kernels::{Kernels, Kind};
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};
use super::{blur, place, resample, spread_gray, thirds};
use crate::augment::{ViewPlan, ViewSpec};
use crate::image::PlanesRef;

/// Resizes crops to the views of one spec.
pub(super) enum Resizer {
    Scalar(ViewSpec, Box<resample::Resizer>),
    #[cfg(target_arch = "x86_64")]
    Avx2(Box<avx2::Resizer>),
    #[cfg(target_arch = "x86_64")]
    Avx512(Box<avx512::Resizer>),
}

impl Resizer {
    pub(super) fn new(kernels: Kernels, spec: ViewSpec) -> Self {
        match kernels.0 {
            Kind::Scalar => Self::Scalar(spec, Box::default()),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(cpu) => Self::Avx2(Box::new(avx2::Resizer::new(cpu, spec))),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512(cpu) => Self::Avx512(Box::new(avx512::Resizer::new(cpu, spec))),
        }
    }

    /// Resizes `crop`, mirrored or not, into the planes of `out`, of which a gray crop fills only the first.
    pub(super) fn resize(&mut self, crop: PlanesRef<'_>, mirror: bool, out: &mut [u8]) {
        match self {
            Self::Scalar(spec, resizer) => {
                resizer.resize(crop, *spec, out);
                if mirror {
                    place::mirror(out, spec.size as usize);
                }
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(resizer) => resizer.resize(crop, mirror, out),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(resizer) => resizer.resize(crop, mirror, out),
        }
    }
}

/// Blurs views of one spec.
pub(super) enum Blurrer {
    Scalar(blur::Blur),
    #[cfg(target_arch = "x86_64")]
    Avx2(avx2::Blur),
}

impl Blurrer {
    pub(super) fn new(kernels: Kernels, spec: ViewSpec) -> Self {
        let side = spec.size as usize;
        match kernels.0 {
            Kind::Scalar => Self::Scalar(blur::Blur::new(side)),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(cpu) => Self::Avx2(avx2::Blur::new(cpu, side)),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512(cpu) => Self::Avx2(avx2::Blur::new(cpu.avx2(), side)),
        }
    }

    /// Blurs the planes of `view` that differ, by the plan's sigma, which is above 0.
    pub(super) fn blur(&mut self, plan: &ViewPlan, view: &mut [u8]) {
        let sigma = plan.blur_sigma;
        let [red, ..] = thirds(view);
        let planes = if plan.gray() { red } else { &mut *view };
        match self {
            Self::Scalar(blur) => blur.apply(planes, sigma),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(blur) => blur.apply(planes, sigma),
        }
        if plan.gray() {
            spread_gray(view);
        }
    }
}

/// Turns the planes of `view` counter-clockwise by `turns` quarter turns, 0..=3.
pub(super) fn turn(kernels: Kernels, view: &mut [u8], spec: ViewSpec, turns: u32, scratch: &mut Vec<u8>) {
    let side = spec.size as usize;
    match kernels.0 {
        Kind::Scalar => place::turn(view, side, turns, scratch),
        #[cfg(target_arch = "x86_64")]
        Kind::Avx2(cpu) => cpu.turn(view, side, turns, scratch),
        #[cfg(target_arch = "x86_64")]
        Kind::Avx512(cpu) => cpu.avx2().turn(view, side, turns, scratch),
    }
}
