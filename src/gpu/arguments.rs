//! The arguments of a kernel, laid where a launch reads them: no caller casts.

use std::ffi::c_void;

use bytemuck::NoUninit;

use super::DeviceBuffer;

/// The arguments of one launch, in the order of the kernel's parameters.
///
/// ```
/// use metacl::gpu::Arguments;
/// // extern "C" __global__ void scale(float* rows, u32 count, float factor)
/// # let rows = 0x7f00_0000_0000;
/// let arguments = Arguments::new().pointer(rows).value(1024_u32).value(0.5_f32);
/// assert_eq!(arguments.sizes(), [8, 4, 4]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Arguments {
    /// Every argument begins a word, so that it is aligned for whatever type the kernel declares.
    words: Vec<u128>,
    places: Vec<Place>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    word: usize,
    bytes: usize,
    pointer: bool,
}

impl Arguments {
    /// No arguments yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an address of device memory (or page-locked host memory), 0 for none.
    #[must_use]
    pub fn pointer(self, address: u64) -> Self {
        self.push(&address.to_ne_bytes(), true)
    }

    /// Adds the address of a buffer's first byte.
    #[must_use]
    pub fn buffer(self, buffer: &DeviceBuffer) -> Self {
        self.pointer(buffer.address())
    }

    /// Adds a value: an integer, a float, or a `repr(C)` struct of those whose alignment is at most 16.
    #[must_use]
    pub fn value<T: NoUninit>(self, value: T) -> Self {
        const { assert!(align_of::<T>() <= align_of::<u128>() && size_of::<T>() > 0) };
        self.push(bytemuck::bytes_of(&value), false)
    }

    fn push(mut self, value: &[u8], pointer: bool) -> Self {
        let word = self.words.len();
        self.words.resize(word + value.len().div_ceil(size_of::<u128>()), 0);
        bytemuck::cast_slice_mut(&mut self.words[word..])[..value.len()].copy_from_slice(value);
        self.places.push(Place { word, bytes: value.len(), pointer });
        self
    }

    /// Sizes of the arguments in bytes.
    pub fn sizes(&self) -> Vec<usize> {
        self.places.iter().map(|place| place.bytes).collect()
    }

    /// Where the arguments' values lie, for as long as `self` is borrowed. Only to be read.
    pub fn pointers(&self) -> Vec<*const c_void> {
        self.places.iter().map(|place| (&raw const self.words[place.word]).cast()).collect()
    }

    /// The addresses among the arguments.
    pub fn addresses(&self) -> impl Iterator<Item = u64> {
        // An address fills the lower half of its word, on the little-endian machines that CUDA runs on.
        self.places
            .iter()
            .filter(|place| place.pointer)
            .map(|place| bytemuck::cast::<u128, [u64; 2]>(self.words[place.word])[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_lie_aligned_where_the_pointers_say() {
        let arguments = Arguments::new().value(7_u32).pointer(0xdead_beef_0000).value([1.5_f32; 5]).value(-3_i64);
        assert_eq!(arguments.sizes(), [4, 8, 20, 8]);
        let pointers = arguments.pointers();
        for pointer in &pointers {
            assert_eq!(pointer.addr() % 16, 0);
        }
        // SAFETY: the pointers are to values of these types, in this order, and `arguments` is alive.
        unsafe {
            assert_eq!(*pointers[0].cast::<u32>(), 7);
            assert_eq!(*pointers[1].cast::<u64>(), 0xdead_beef_0000);
            assert_eq!(*pointers[2].cast::<[f32; 5]>(), [1.5; 5]);
            assert_eq!(*pointers[3].cast::<i64>(), -3);
        }
        assert_eq!(arguments.addresses().collect::<Vec<_>>(), [0xdead_beef_0000]);
    }
}
