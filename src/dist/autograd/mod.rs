//! A step of the backward pass that is written in Rust, what is to be done when a gradient is there, and batch norm's slopes under constant
//! statistics: what torch's binding lacks.
//!
//! `shim.cpp` makes torch's graph call a closure. Not here: what the closures compute.

#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

use tch::{Tensor, no_grad};

/// A closure from the slope of the loss towards a value to the slopes towards the inputs it was made of.
type Slopes = Box<dyn Fn(&Tensor) -> Vec<Option<Tensor>> + Send>;

/// `MetaclBackward` of `shim.cpp`.
#[repr(C)]
struct Backward {
    state: *mut c_void,
    run: unsafe extern "C" fn(*mut c_void, *const c_void, *mut *mut c_void, usize) -> c_int,
    drop: unsafe extern "C" fn(*mut c_void),
}

/// `MetaclHook` of `shim.cpp`.
#[repr(C)]
struct Hook {
    state: *mut c_void,
    run: unsafe extern "C" fn(*mut c_void) -> c_int,
    drop: unsafe extern "C" fn(*mut c_void),
}

unsafe extern "C" {
    fn metacl_gradient_open(leaf: *const c_void, hook: Hook, accumulator: *mut *mut c_void) -> *const c_char;
    fn metacl_gradient_close(accumulator: *mut c_void);
    fn metacl_attach(
        value: *mut c_void,
        inputs: *const *const c_void,
        count: usize,
        backward: Backward,
    ) -> *const c_char;
    fn metacl_norm_backward(
        slope: *const c_void,
        x: *const c_void,
        weight: *const c_void,
        mean: *const c_void,
        var: *const c_void,
        eps: f64,
        slopes: *mut *mut c_void,
    ) -> *const c_char;
}

/// `value` with a graph: in the backward pass, `slopes` turns the loss's slope towards it (of its shape) into those towards `inputs`, one
/// for each, of their shapes; `None` is zero. Under `no_grad`, or where no input wants a gradient, `value` stays as it is.
///
/// `value` is a fresh tensor without a graph, computed from `inputs` under `no_grad`. `slopes` runs once for each backward pass, without
/// recording, perhaps on a thread of torch's; it is dropped after the pass, unless the graph is kept. It must not hold `value`.
///
/// # Panics
/// Where `value` has a graph. A panic of `slopes` makes the backward pass fail.
pub fn attach(
    value: Tensor,
    inputs: &[&Tensor],
    slopes: impl Fn(&Tensor) -> Vec<Option<Tensor>> + Send + 'static,
) -> Tensor {
    let mut value = value;
    let state = Box::into_raw(Box::new(Box::new(slopes) as Slopes)).cast();
    let inputs: Vec<*const c_void> = inputs.iter().map(|input| input.as_ptr().cast()).collect();
    let backward = Backward { state, run, drop: forget };
    // SAFETY: the tensors live through the call, which keeps references of its own; `backward` is taken over and used as `run` and `forget`
    // ask. Exceptions end inside.
    let failure = unsafe { metacl_attach(value.as_mut_ptr().cast(), inputs.as_ptr(), inputs.len(), backward) };
    if let Some(reason) = text(failure) {
        panic!("attach: {reason}");
    }
    value
}

/// Something that runs when a gradient is there, for as long as this lives; see [`on_gradient`].
#[derive(Debug)]
pub struct OnGradient(*mut c_void);

// SAFETY: torch's graph may be held and let go by any thread.
unsafe impl Send for OnGradient {}
// SAFETY: nothing can be done with a reference.
unsafe impl Sync for OnGradient {}

impl Drop for OnGradient {
    fn drop(&mut self) {
        // SAFETY: made by the shim, closed once.
        unsafe { metacl_gradient_close(self.0) }
    }
}

/// Has `then` run each time a backward pass has added to the gradient of `leaf`, once a pass, without recording, perhaps on a thread of torch's.
///
/// # Panics
/// Where `leaf` is none or wants no gradient. A panic of `then` makes the backward pass fail.
pub fn on_gradient(leaf: &Tensor, then: impl Fn() + Send + 'static) -> OnGradient {
    type Then = Box<dyn Fn() + Send>;

    /// # Safety
    /// `state` is a `Then` that was not yet forgotten.
    unsafe extern "C" fn run(state: *mut c_void) -> c_int {
        // SAFETY: the caller's promise.
        let then = unsafe { &*state.cast::<Then>() };
        // As above: nothing is looked at after a panic, since the backward pass fails.
        catch_unwind(AssertUnwindSafe(|| no_grad(then))).is_err().into()
    }

    /// # Safety
    /// `state` is a `Then`; it is not used afterwards.
    unsafe extern "C" fn forget(state: *mut c_void) {
        // SAFETY: the caller's promise.
        drop(unsafe { Box::from_raw(state.cast::<Then>()) });
    }

    let state = Box::into_raw(Box::new(Box::new(then) as Then)).cast();
    let (hook, mut accumulator) = (Hook { state, run, drop: forget }, std::ptr::null_mut());
    // SAFETY: `leaf` lives through the call, which writes one pointer, takes the hook over and uses it as `run` and `forget` ask. Exceptions
    // end inside.
    let failure = unsafe { metacl_gradient_open(leaf.as_ptr().cast(), hook, &raw mut accumulator) };
    if let Some(reason) = text(failure) {
        panic!("on_gradient: {reason}");
    }
    OnGradient(accumulator)
}

/// Slopes of `batch_norm(x, weight, bias)` under constant `mean` and `var` (`[channels]`, of weight's kind) for the slope towards its value:
/// towards `x`, and summed over rows and positions towards `weight` and `bias`. There may be no rows.
///
/// # Panics
/// Where shapes or kinds do not fit.
pub fn norm_slopes(slope: &Tensor, x: &Tensor, weight: &Tensor, mean: &Tensor, var: &Tensor, eps: f64) -> [Tensor; 3] {
    if x.numel() == 0 {
        // Torch divides by the number of rows.
        return [x.zeros_like(), weight.zeros_like(), weight.zeros_like()];
    }
    let mut slopes = [std::ptr::null_mut(); 3];
    let [slope, x, weight, mean, var] = [slope, x, weight, mean, var].map(|tensor| tensor.as_ptr().cast());
    // SAFETY: the tensors live through the call; it writes three pointers, or none where it gives a text. Exceptions end inside.
    let failure = unsafe { metacl_norm_backward(slope, x, weight, mean, var, eps, slopes.as_mut_ptr()) };
    if let Some(reason) = text(failure) {
        panic!("norm_slopes: {reason}");
    }
    // SAFETY: each is a tensor that the call has made with `new`, and nobody else's.
    slopes.map(|tensor| unsafe { Tensor::from_ptr(tensor.cast()) })
}

/// Calls the closure behind `state`.
///
/// # Safety
/// `state` is what [`attach`] has made and [`forget`] has not yet ended; `slope` is a tensor; `slopes` has room for `count` pointers.
unsafe extern "C" fn run(state: *mut c_void, slope: *const c_void, slopes: *mut *mut c_void, count: usize) -> c_int {
    // SAFETY: the caller's promise. The tensor is copied as a reference of our own, never written.
    let (closure, slope) = unsafe { (&*state.cast::<Slopes>(), Tensor::clone_from_ptr(slope.cast_mut().cast())) };
    // A panic must not pass through C++; whatever it leaves behind is not looked at again, since the backward pass fails.
    let Ok(given) = catch_unwind(AssertUnwindSafe(|| no_grad(|| closure(&slope)))) else { return 1 };
    if given.len() != count {
        return 1;
    }
    for (index, tensor) in given.into_iter().enumerate() {
        if let Some(tensor) = tensor {
            let mut tensor = std::mem::ManuallyDrop::new(tensor);
            // SAFETY: `index < count`. The receiver deletes the tensor, which is not dropped here.
            unsafe { slopes.add(index).write(tensor.as_mut_ptr().cast()) };
        }
    }
    0
}

/// Ends the closure behind `state`.
///
/// # Safety
/// `state` is what [`attach`] has made; it is not used afterwards.
unsafe extern "C" fn forget(state: *mut c_void) {
    // SAFETY: the caller's promise. Tensors and communicators do not panic when dropped; if one did, the process would abort.
    drop(unsafe { Box::from_raw(state.cast::<Slopes>()) });
}

/// The shim's error text, none for a null pointer.
fn text(failure: *const c_char) -> Option<String> {
    // SAFETY: where not null, it is a C string that lasts until this thread's next call of the shim; it is copied at once.
    (!failure.is_null()).then(|| unsafe { CStr::from_ptr(failure) }.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use tch::{Device, Kind};

    fn leaf(values: &[f64]) -> Tensor {
        Tensor::from_slice(values).set_requires_grad(true)
    }

    /// `a * b`, whose closure counts how often it is dropped.
    fn product(a: &Tensor, b: &Tensor, dropped: &Arc<AtomicUsize>) -> Tensor {
        struct Counts(Arc<AtomicUsize>);
        impl Drop for Counts {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let (held, counts) = ((a.shallow_clone(), b.shallow_clone()), Counts(Arc::clone(dropped)));
        attach(no_grad(|| a * b), &[a, b], move |slope| {
            let _ = &counts;
            vec![Some(slope * &held.1), Some(slope * &held.0)]
        })
    }

    #[test]
    fn slopes_flow_as_torchs_own() {
        let (a, b) = (leaf(&[1.0, 2.0, 3.0]), leaf(&[4.0, 5.0, 6.0]));
        let dropped = Arc::new(AtomicUsize::new(0));
        let value = product(&(&a * 2.0), &b, &dropped).relu_();
        (value * 10.0).sum(Kind::Double).backward();
        assert_eq!(Vec::<f64>::try_from(a.grad()).unwrap(), [80.0, 100.0, 120.0]);
        assert_eq!(Vec::<f64>::try_from(b.grad()).unwrap(), [20.0, 40.0, 60.0]);
        assert_eq!(dropped.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn closures_are_dropped_with_or_without_a_graph() {
        let dropped = Arc::new(AtomicUsize::new(0));
        let (a, b) = (leaf(&[1.0]), leaf(&[2.0]));
        drop(product(&a, &b, &dropped));
        assert_eq!(dropped.load(Ordering::SeqCst), 1);
        let value = no_grad(|| product(&a, &b, &dropped));
        assert!(!value.requires_grad());
        assert_eq!(dropped.load(Ordering::SeqCst), 2);
        let value = product(&a.detach(), &b.detach(), &dropped);
        assert!(!value.requires_grad() && dropped.load(Ordering::SeqCst) == 3);
    }

    #[test]
    fn a_second_pass_and_a_panic_are_errors() {
        let dropped = Arc::new(AtomicUsize::new(0));
        let value = product(&leaf(&[1.0]), &leaf(&[2.0]), &dropped).sum(Kind::Double);
        assert!(value.f_backward().is_ok() && value.f_backward().is_err());
        let x = leaf(&[1.0]);
        let value = attach(no_grad(|| &x * 1.0), &[&x], |_| panic!("in the middle"));
        assert!(value.sum(Kind::Double).f_backward().is_err());
        let value = attach(no_grad(|| &x * 1.0), &[&x], |_| Vec::new());
        assert!(value.sum(Kind::Double).f_backward().is_err());
    }

    #[test]
    fn a_gradient_tells_when_it_is_there() {
        let (leaf, seen) = (leaf(&[1.0, 2.0]), Arc::new(std::sync::Mutex::new(Vec::new())));
        let (gradient, noted) = (leaf.shallow_clone(), Arc::clone(&seen));
        let hook = on_gradient(&leaf, move || noted.lock().unwrap().push(gradient.grad().double_value(&[1])));
        // Two uses in one pass are one gradient.
        ((&leaf * 3.0) + &leaf).sum(Kind::Double).backward();
        (&leaf * 5.0).sum(Kind::Double).backward();
        assert_eq!(*seen.lock().unwrap(), [4.0, 9.0]);
        drop(hook);
        (&leaf * 5.0).sum(Kind::Double).backward();
        assert_eq!((seen.lock().unwrap().len(), Arc::strong_count(&seen)), (2, 1));
        let fails = on_gradient(&leaf, || panic!("in the middle"));
        assert!((&leaf * 1.0).sum(Kind::Double).f_backward().is_err());
        drop(fails);
    }

    #[test]
    fn norm_slopes_are_torchs() {
        let options = (Kind::Double, Device::Cpu);
        let x = Tensor::randn([6, 3, 2, 2], options).set_requires_grad(true);
        let [weight, bias] = [0, 1].map(|_| Tensor::randn([3], options).set_requires_grad(true));
        let (mean, var) = (Tensor::randn([3], options), Tensor::rand([3], options) + 0.5);
        let y = x.batch_norm(Some(&weight), Some(&bias), Some(&mean), Some(&var), false, 0.0, 1e-5, true);
        let slope = Tensor::randn([6, 3, 2, 2], options);
        (y * &slope).sum(Kind::Double).backward();
        let got = norm_slopes(&slope, &x.detach(), &weight.detach(), &mean, &var, 1e-5);
        for (got, want) in got.iter().zip([&x, &weight, &bias]) {
            assert!((got - want.grad()).abs().max().double_value(&[]) < 1e-12);
        }
        let nothing = Tensor::zeros([0, 3, 2, 2], options);
        let [of_x, of_weight, of_bias] = norm_slopes(&nothing, &nothing, &weight.detach(), &mean, &var, 1e-5);
        assert_eq!(of_x.size(), [0, 3, 2, 2]);
        assert_eq!((of_weight, of_bias), (mean.zeros_like(), mean.zeros_like()));
    }
}
