//! The calls of `shim.cpp`: owners of a store and of a process group, and torch's text where it refuses.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tch::Tensor;

unsafe extern "C" {
    fn metacl_store_open(
        host: *const c_char,
        port: u16,
        server: c_int,
        timeout: i64,
        store: *mut *mut c_void,
    ) -> *const c_char;
    fn metacl_store_clone(store: *mut c_void, clone: *mut *mut c_void) -> *const c_char;
    fn metacl_store_close(store: *mut c_void);
    fn metacl_store_set(store: *mut c_void, key: *const c_char, bytes: *const u8, length: usize) -> *const c_char;
    fn metacl_store_add(store: *mut c_void, key: *const c_char, by: i64, value: *mut i64) -> *const c_char;
    fn metacl_store_has(store: *mut c_void, key: *const c_char, there: *mut c_int) -> *const c_char;
    fn metacl_store_get(
        store: *mut c_void,
        key: *const c_char,
        timeout: i64,
        taker: *mut c_void,
        take: unsafe extern "C" fn(*mut c_void, *const u8, usize),
    ) -> *const c_char;
    fn metacl_group_gloo(
        store: *mut c_void,
        rank: c_int,
        size: c_int,
        timeout: i64,
        interface: *const c_char,
        address: *const c_char,
        group: *mut *mut c_void,
    ) -> *const c_char;
    fn metacl_group_nccl(
        store: *mut c_void,
        rank: c_int,
        size: c_int,
        timeout: i64,
        group: *mut *mut c_void,
    ) -> *const c_char;
    fn metacl_group_abort(group: *mut c_void) -> *const c_char;
    fn metacl_group_close(group: *mut c_void, orderly: c_int) -> *const c_char;
    fn metacl_group_barrier(group: *mut c_void, cuda: c_int) -> *const c_char;
    fn metacl_group_broadcast(group: *mut c_void, tensor: *mut c_void, root: c_int) -> *const c_char;
    fn metacl_group_all_reduce(group: *mut c_void, tensor: *mut c_void, largest: c_int) -> *const c_char;
    fn metacl_group_begin_sum(group: *mut c_void, tensor: *const c_void, work: *mut *mut c_void) -> *const c_char;
    fn metacl_work_wait(work: *mut c_void) -> *const c_char;
    fn metacl_work_close(work: *mut c_void);
    fn metacl_group_all_gather(group: *mut c_void, all: *mut c_void, own: *mut c_void) -> *const c_char;
    fn metacl_group_reduce_scatter(group: *mut c_void, own: *mut c_void, all: *mut c_void) -> *const c_char;
}

/// What torch says, first line.
pub(super) type Refusal = String;

/// A connection to the key-value store that rank 0 serves.
#[derive(Debug)]
pub(super) struct Store(*mut c_void);

// SAFETY: c10d's stores lock each of their calls, and are freed by whoever holds the last reference.
unsafe impl Send for Store {}

impl Store {
    /// Connects to the store at `host:port`, or as the `server` opens it there.
    pub(super) fn open(host: &str, port: u16, server: bool, timeout: Duration) -> Result<Self, Refusal> {
        let host = string(host)?;
        let mut store = std::ptr::null_mut();
        // SAFETY: `host` lives through the call, which writes one pointer. Exceptions end inside, here and below.
        told(unsafe { metacl_store_open(host.as_ptr(), port, server.into(), millis(timeout), &raw mut store) })?;
        Ok(Self(store))
    }

    /// The same store over a connection of its own, for another thread: a waiting connection answers nobody else.
    pub(super) fn another(&self) -> Result<Self, Refusal> {
        let mut store = std::ptr::null_mut();
        // SAFETY: `self.0` is an open store; the call writes one pointer.
        told(unsafe { metacl_store_clone(self.0, &raw mut store) })?;
        Ok(Self(store))
    }

    pub(super) fn set(&self, key: &str, bytes: &[u8]) -> Result<(), Refusal> {
        let key = string(key)?;
        // SAFETY: `self.0` is an open store; key and bytes live through the call.
        told(unsafe { metacl_store_set(self.0, key.as_ptr(), bytes.as_ptr(), bytes.len()) })
    }

    /// Counts one up from 0, atomically; the new value.
    pub(super) fn count(&self, key: &str) -> Result<i64, Refusal> {
        let key = string(key)?;
        let mut value = 0;
        // SAFETY: `self.0` is an open store; the call writes one number.
        told(unsafe { metacl_store_add(self.0, key.as_ptr(), 1, &raw mut value) })?;
        Ok(value)
    }

    pub(super) fn has(&self, key: &str) -> Result<bool, Refusal> {
        let key = string(key)?;
        let mut there = 0;
        // SAFETY: `self.0` is an open store; the call writes one number.
        told(unsafe { metacl_store_has(self.0, key.as_ptr(), &raw mut there) })?;
        Ok(there != 0)
    }

    /// Waits until somebody sets `key`.
    pub(super) fn get(&self, key: &str, timeout: Duration) -> Result<Vec<u8>, Refusal> {
        unsafe extern "C" fn take(taker: *mut c_void, bytes: *const u8, length: usize) {
            if length > 0 {
                // SAFETY: the shim hands on the taker of the call below, and `length` readable bytes.
                unsafe { (*taker.cast::<Vec<u8>>()).extend_from_slice(std::slice::from_raw_parts(bytes, length)) };
            }
        }
        let key = string(key)?;
        let mut taken = Vec::new();
        // SAFETY: `self.0` is an open store; `take` is called at most once, during the call, with the vector that it expects.
        told(unsafe { metacl_store_get(self.0, key.as_ptr(), millis(timeout), (&raw mut taken).cast(), take) })?;
        Ok(taken)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // SAFETY: made by the shim, freed once.
        unsafe { metacl_store_close(self.0) }
    }
}

/// A process group.
#[derive(Debug)]
pub(super) struct Group {
    group: *mut c_void,
    aborted: AtomicBool,
}

// SAFETY: a process group may be called from any thread.
unsafe impl Send for Group {}
// SAFETY: `mod.rs` locks its operations, one at a time; `abort` alone is called beside them, which c10d allows.
unsafe impl Sync for Group {}

impl Group {
    fn open(group: *mut c_void) -> Self {
        Self { group, aborted: AtomicBool::new(false) }
    }

    /// Gloo, which listens at `interface`, else at `address`; waits for the other ranks.
    pub(super) fn gloo(
        store: &Store,
        rank: u32,
        size: u32,
        timeout: Duration,
        interface: Option<&str>,
        address: &str,
    ) -> Result<Self, Refusal> {
        let (interface, address) = (interface.map(string).transpose()?, string(address)?);
        let interface = interface.as_ref().map_or(std::ptr::null(), |interface| interface.as_ptr());
        let mut group = std::ptr::null_mut();
        let (rank, size, timeout) = (rank as c_int, size as c_int, millis(timeout));
        // SAFETY: the store is open, the strings live through the call, which writes one pointer.
        told(unsafe { metacl_group_gloo(store.0, rank, size, timeout, interface, address.as_ptr(), &raw mut group) })?;
        Ok(Self::open(group))
    }

    /// NCCL; libtorch's CUDA half is open.
    pub(super) fn nccl(store: &Store, rank: u32, size: u32, timeout: Duration) -> Result<Self, Refusal> {
        let mut group = std::ptr::null_mut();
        // SAFETY: the store is open; the call writes one pointer.
        told(unsafe { metacl_group_nccl(store.0, rank as c_int, size as c_int, millis(timeout), &raw mut group) })?;
        Ok(Self::open(group))
    }

    /// Ends what is running, where the backend can (NCCL); operations that wait on it fail.
    pub(super) fn abort(&self) -> Result<(), Refusal> {
        self.aborted.store(true, Ordering::SeqCst);
        // SAFETY: the group is open.
        told(unsafe { metacl_group_abort(self.group) })
    }

    pub(super) fn barrier(&self, cuda: Option<usize>) -> Result<(), Refusal> {
        // SAFETY: the group is open.
        told(unsafe { metacl_group_barrier(self.group, cuda.map_or(-1, |ordinal| ordinal as c_int)) })
    }

    pub(super) fn broadcast(&self, tensor: &mut Tensor, root: u32) -> Result<(), Refusal> {
        // SAFETY: the group is open; the tensor lives through the call, which keeps a reference of its own while it needs one. So below.
        told(unsafe { metacl_group_broadcast(self.group, tensor.as_mut_ptr().cast(), root as c_int) })
    }

    pub(super) fn all_reduce(&self, tensor: &mut Tensor, largest: bool) -> Result<(), Refusal> {
        // SAFETY: as in `broadcast`.
        told(unsafe { metacl_group_all_reduce(self.group, tensor.as_mut_ptr().cast(), largest.into()) })
    }

    /// Begins to sum `tensor` over ranks, which waits for what is queued on it.
    pub(super) fn begin_sum(&self, tensor: &Tensor) -> Result<Running, Refusal> {
        let mut work = std::ptr::null_mut();
        // SAFETY: as in `broadcast`; the call writes one pointer.
        told(unsafe { metacl_group_begin_sum(self.group, tensor.as_ptr().cast(), &raw mut work) })?;
        Ok(Running(work))
    }

    pub(super) fn all_gather(&self, all: &mut Tensor, own: &mut Tensor) -> Result<(), Refusal> {
        // SAFETY: as in `broadcast`.
        told(unsafe { metacl_group_all_gather(self.group, all.as_mut_ptr().cast(), own.as_mut_ptr().cast()) })
    }

    pub(super) fn reduce_scatter(&self, own: &mut Tensor, all: &mut Tensor) -> Result<(), Refusal> {
        // SAFETY: as in `broadcast`.
        told(unsafe { metacl_group_reduce_scatter(self.group, own.as_mut_ptr().cast(), all.as_mut_ptr().cast()) })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let orderly = !self.aborted.load(Ordering::SeqCst);
        // SAFETY: made by the shim, freed once. What the backend says is of no use any more.
        let _ = told(unsafe { metacl_group_close(self.group, orderly.into()) });
    }
}

/// An operation of a group on its way.
#[derive(Debug)]
pub(in crate::dist) struct Running(*mut c_void);

// SAFETY: c10d's work may be waited for by any thread; it is by one.
unsafe impl Send for Running {}

impl Running {
    /// Until it is done; with NCCL, torch's current stream waits and the host goes on.
    pub(super) fn wait(&self) -> Result<(), Refusal> {
        // SAFETY: `self.0` is a work of the shim's.
        told(unsafe { metacl_work_wait(self.0) })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // SAFETY: made by the shim, freed once.
        unsafe { metacl_work_close(self.0) }
    }
}

fn millis(duration: Duration) -> i64 {
    duration.as_millis().try_into().unwrap_or(i64::MAX)
}

fn string(text: &str) -> Result<CString, Refusal> {
    CString::new(text).map_err(|_| format!("a zero byte in {text:?}"))
}

/// The first line of the shim's text, an error where there is one.
fn told(failure: *const c_char) -> Result<(), Refusal> {
    if failure.is_null() {
        return Ok(());
    }
    // SAFETY: not null, it is a C string that lasts until this thread's next call of a shim; it is copied at once.
    let text = unsafe { CStr::from_ptr(failure) }.to_string_lossy();
    Err(text.lines().next().unwrap_or_default().to_owned())
}
