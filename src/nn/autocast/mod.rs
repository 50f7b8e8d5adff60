//! Reduced precision: torch's autocast for the network's forward pass; losses stay outside, in f32.
//!
//! Within a region, matrix products and convolutions run in the chosen kind of number and what is sensitive stays in f32, by torch's lists;
//! weights stay f32 and backward follows. The binding can neither choose the kind nor the device: `shim.cpp` does.
//!
//! Not here: scaling the loss of float16 (`optim::scale`).

#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int};

use tch::Device;

use super::NnError;

/// Kind of number of the network's forward pass in training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// All of it f32.
    #[default]
    F32,
    /// bfloat16: f32's range, 8 bits of mantissa.
    Bf16,
    /// float16: small gradients vanish unless the loss is scaled. GPUs only.
    F16,
}

impl Precision {
    /// Whether `device` can do it.
    ///
    /// # Errors
    /// [`NnError::Precision`].
    pub fn check(self, device: Device) -> Result<(), NnError> {
        let refused = |reason| Err(NnError::Precision { reason });
        match (self, device) {
            (Precision::F32, _) => Ok(()),
            (Precision::F16, Device::Cpu) => refused("f16 needs a GPU; give --precision bf16 or f32".to_owned()),
            _ => Region::enter(self, device).map(drop).or_else(refused),
        }
    }

    /// Runs `forward` in this precision, which [`check`](Self::check) allows on `device`.
    pub(super) fn run<T>(self, device: Device, forward: impl FnOnce() -> T) -> T {
        let _region = Region::enter(self, device).expect("`check` has entered such a region");
        forward()
    }
}

/// What the thread's autocast was before a region: `MetaclAutocast` of `shim.cpp`.
#[repr(C)]
#[derive(Default)]
struct Found {
    cuda: c_int,
    enabled: c_int,
    kind: c_int,
}

unsafe extern "C" {
    fn metacl_autocast_enter(cuda: c_int, half: c_int, found: *mut Found) -> *const c_char;
    fn metacl_autocast_exit(found: *const Found) -> *const c_char;
}

/// An autocast region of this thread; dropping it ends it. Regions nest.
struct Region(Option<Found>);

impl Region {
    fn enter(precision: Precision, device: Device) -> Result<Self, String> {
        if precision == Precision::F32 {
            return Ok(Self(None));
        }
        let mut found = Found::default();
        let (cuda, half) = (c_int::from(device.is_cuda()), c_int::from(precision == Precision::F16));
        // SAFETY: `found` lives through the call, has the shim's layout, and is all that it writes. Exceptions end inside.
        let failure = unsafe { metacl_autocast_enter(cuda, half, &raw mut found) };
        text(failure).map_or_else(|| Ok(Self(Some(found))), Err)
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        if let Some(found) = &self.0 {
            // SAFETY: `found` is what entering on this thread has written: a region holds no `Send` across threads of ours, it lives
            // on the stack of `run`. Exceptions end inside.
            let failure = unsafe { metacl_autocast_exit(found) };
            debug_assert!(failure.is_null(), "{:?}", text(failure));
        }
    }
}

/// The shim's error text, none for a null pointer.
fn text(failure: *const c_char) -> Option<String> {
    // SAFETY: where not null, it is a C string that lasts until this thread's next call of the shim; it is copied at once.
    (!failure.is_null()).then(|| unsafe { CStr::from_ptr(failure) }.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Kind, Tensor};

    fn product_kind() -> Kind {
        let x = Tensor::ones([2, 2], (Kind::Float, Device::Cpu));
        x.matmul(&x).kind()
    }

    #[test]
    fn a_region_changes_the_kind_and_leaves_no_trace() {
        assert_eq!(product_kind(), Kind::Float);
        let kinds = Precision::Bf16.run(Device::Cpu, || {
            let inner = Precision::Bf16.run(Device::Cpu, product_kind);
            (inner, product_kind())
        });
        assert_eq!(kinds, (Kind::BFloat16, Kind::BFloat16));
        assert_eq!(Precision::F32.run(Device::Cpu, product_kind), Kind::Float);
        assert_eq!(product_kind(), Kind::Float);
        let panicked = std::panic::catch_unwind(|| Precision::Bf16.run(Device::Cpu, || panic!("in the middle")));
        assert!(panicked.is_err());
        assert_eq!(product_kind(), Kind::Float);
    }

    #[test]
    fn f16_is_for_gpus() {
        assert_eq!(Precision::Bf16.check(Device::Cpu), Ok(()));
        assert!(matches!(Precision::F16.check(Device::Cpu), Err(NnError::Precision { .. })));
    }
}
