//! What a map's file cannot give any more, because it was cut short or its disk fails, reads as zeros and leaves a mark. Without this the
//! system would end the process with SIGBUS.
//!
//! The signal has one handler a process, so it knows all maps: a table without locks, since a handler may take none. Where a fault lies in
//! none of them, the handler that was there before is asked.

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicUsize, fence};
use std::sync::{Mutex, OnceLock, PoisonError};

/// A map that the handler knows; taken out on drop, which must come before the map's end.
pub(super) struct Watched(&'static Row);

impl Watched {
    /// Makes a map known. From the first one on, the process has the handler.
    pub(super) fn new(map: &[u8]) -> Self {
        let page = *PAGE.get_or_init(install);
        let row = free_row();
        row.lost.store(false, Relaxed);
        row.start.store(map.as_ptr().addr(), Release);
        // Faults come in whole pages, also beyond the last byte. Last, as it makes the row count.
        row.length.store(map.len().next_multiple_of(page), Release);
        Self(row)
    }

    /// Whether some page of the map is lost: at the latest once its zeros were read.
    pub(super) fn lost(&self) -> bool {
        // After what was read before, also for the compiler.
        fence(Acquire);
        self.0.lost.load(Relaxed)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.length.store(0, Release);
        FREE.lock().unwrap_or_else(PoisonError::into_inner).push(self.0);
    }
}

/// Room for one map.
struct Row {
    start: AtomicUsize,
    /// 0 where there is none.
    length: AtomicUsize,
    lost: AtomicBool,
}

impl Row {
    const fn empty() -> Self {
        Self { start: AtomicUsize::new(0), length: AtomicUsize::new(0), lost: AtomicBool::new(false) }
    }

    fn holds(&self, address: usize) -> bool {
        let length = self.length.load(Acquire);
        let start = self.start.load(Acquire);
        // The length once more: a row that meanwhile went to another map had 0 between, so equal lengths belong to this start. A map that a
        // fault lies in stays while somebody reads from it.
        address.wrapping_sub(start) < length && self.length.load(Relaxed) == length
    }
}

/// Rows are added, used again, and never given back: the handler may be looking at any of them.
struct Table {
    rows: [Row; 128],
    next: Link,
}

type Link = OnceLock<Box<Table>>;

static TABLES: Link = OnceLock::new();
/// Rows without a map.
static FREE: Mutex<Vec<&'static Row>> = Mutex::new(Vec::new());
/// Bytes of a memory page, once the handler is there.
static PAGE: OnceLock<usize> = OnceLock::new();
/// The handler before ours.
static BEFORE: OnceLock<libc::sigaction> = OnceLock::new();

fn tables() -> impl Iterator<Item = &'static Table> {
    std::iter::successors(TABLES.get(), |table| table.next.get()).map(Box::as_ref)
}

fn free_row() -> &'static Row {
    let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
    free.pop().unwrap_or_else(|| {
        let end = tables().last().map_or(&TABLES, |table| &table.next);
        let table = end.get_or_init(|| Box::new(Table { rows: [const { Row::empty() }; 128], next: OnceLock::new() }));
        free.extend(&table.rows[1..]);
        &table.rows[0]
    })
}

/// Makes ours the handler of SIGBUS; gives the bytes of a memory page.
fn install() -> usize {
    // SAFETY: plain calls of the system; a zeroed `sigaction` is one without flags and with an empty mask.
    unsafe {
        let mut before: libc::sigaction = std::mem::zeroed();
        if libc::sigaction(libc::SIGBUS, ptr::null(), &mut before) == 0 {
            let _ = BEFORE.set(before);
            let mut ours: libc::sigaction = std::mem::zeroed();
            ours.sa_sigaction = on_fault as *const () as usize;
            ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            // Where it is refused, which the manual has no reason for, a lost page ends the process, as without us.
            libc::sigaction(libc::SIGBUS, &ours, ptr::null_mut());
        }
        libc::sysconf(libc::_SC_PAGESIZE) as usize
    }
}

/// Only what a handler may do: atomics, a few calls of the system.
extern "C" fn on_fault(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the system hands a handler with SA_SIGINFO a valid `info`, whose address is set where the code says that it is a fault.
    let (is_fault, address) = unsafe { ((*info).si_code > 0, (*info).si_addr().addr()) };
    if !(is_fault && give_zeros(address)) {
        hand_on(signal, is_fault, info, context);
    }
}

/// Puts a page of zeros in the place of the one that was lost, where it is a map's.
fn give_zeros(address: usize) -> bool {
    let (Some(row), Some(page)) = (tables().flat_map(|table| &table.rows).find(|row| row.holds(address)), PAGE.get())
    else {
        return false;
    };
    row.lost.store(true, Release);
    let start = ptr::without_provenance_mut(address & !(page - 1));
    let (protection, flags) = (libc::PROT_READ, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED);
    // SAFETY: the page is of a map of ours that this thread is just reading from, so it stays a map; it becomes another page that can be read
    // and not written. On Linux `mmap` is nothing but a call of the system.
    unsafe { libc::mmap(start, *page, protection, flags, -1, 0) != libc::MAP_FAILED }
}

/// Does what would have been done without us.
fn hand_on(signal: c_int, is_fault: bool, info: *mut libc::siginfo_t, context: *mut c_void) {
    let Some(before) = BEFORE.get() else { return };
    // SAFETY: the address and its form are what the system says that the handler before us was; calls that a handler may make.
    unsafe {
        match before.sa_sigaction {
            libc::SIG_IGN if !is_fault => {}
            // Returning repeats a fault, which now ends the process, as the system would have done; a signal that was sent is sent again.
            libc::SIG_DFL | libc::SIG_IGN => {
                libc::signal(signal, libc::SIG_DFL);
                if !is_fault {
                    libc::raise(signal);
                }
            }
            handler if before.sa_flags & libc::SA_SIGINFO != 0 => {
                let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) =
                    std::mem::transmute::<usize, _>(handler);
                handler(signal, info, context);
            }
            handler => {
                let handler: extern "C" fn(c_int) = std::mem::transmute::<usize, _>(handler);
                handler(signal);
            }
        }
    }
}
