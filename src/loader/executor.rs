//! One face for all executors.

use super::views::Executor;
use crate::augment::cpu::{Kernels, Renderer};
#[cfg(feature = "reference")]
use crate::augment::reference;
use crate::augment::want::PlanError;
use crate::augment::{ViewPlan, ViewSpec};
use crate::decode::Region;
#[cfg(feature = "reference")]
use crate::image::PixelsRef;
use crate::image::Size;

/// A renderer of views of one spec; one per thread.
pub(super) enum AnyRenderer {
    Cpu(Box<Renderer>),
    #[cfg(feature = "reference")]
    Reference(ViewSpec),
}

impl AnyRenderer {
    pub(super) fn new(executor: Executor, spec: ViewSpec) -> Self {
        match executor {
            Executor::Fast => Self::Cpu(Box::new(Renderer::new(spec))),
            Executor::Scalar => Self::Cpu(Box::new(Renderer::with(Kernels::scalar(), spec))),
            #[cfg(feature = "reference")]
            Executor::Reference => Self::Reference(spec),
        }
    }

    /// Whether it reads nothing but whole images.
    pub(super) fn needs_all(&self) -> bool {
        match self {
            Self::Cpu(_) => false,
            #[cfg(feature = "reference")]
            Self::Reference(_) => true,
        }
    }

    /// As [`Renderer::render`].
    pub(super) fn render(
        &mut self,
        source: Region<'_>,
        image: Size,
        plan: &ViewPlan,
        out: &mut [u8],
    ) -> Result<(), PlanError> {
        match self {
            Self::Cpu(renderer) => renderer.render(source, image, plan, out),
            #[cfg(feature = "reference")]
            Self::Reference(spec) => {
                plan.check(image)?;
                let whole = source.pixels.interleaved();
                let whole = PixelsRef::new(&whole, image).ok_or(PlanError::Region {
                    need: image.rect(),
                    held: source.rect(),
                    image,
                })?;
                out.copy_from_slice(&reference::render(whole, plan, *spec));
                Ok(())
            }
        }
    }
}
