//! The memory of a fake device: allocations of exactly their size, filled with poison before and after their life.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::collections::{BTreeMap, VecDeque};
use std::ptr::NonNull;

use super::POISON;
use crate::gpu::{GpuError, Misuse};

/// Freed memory is kept, poisoned, up to this many bytes, so that late uses are seen and addresses do not come back at
/// once.
const KEPT_DEAD: usize = 64 << 20;

/// What lies at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Device,
    Pinned,
    /// Any memory of the host: pinned, which is checked, or else unknown, which is not.
    Host,
}

/// All allocations of a device, its page-locked ones included, by their first address.
#[derive(Default)]
pub(super) struct Memory {
    blocks: BTreeMap<usize, Block>,
    /// Freed blocks, oldest first.
    dead: VecDeque<usize>,
    dead_bytes: usize,
    /// Bytes of device memory in use.
    pub(super) used: usize,
    /// Bytes of device memory that there are.
    pub(super) limit: usize,
}

struct Block {
    start: NonNull<u8>,
    layout: Layout,
    kind: Kind,
    alive: bool,
    /// Queued operations that use it.
    pending: usize,
}

// SAFETY: a block owns its bytes; the state's lock orders every access from here.
unsafe impl Send for Block {}

impl Block {
    fn new(kind: Kind, bytes: usize) -> Self {
        // As the driver aligns device memory.
        let layout = Layout::from_size_align(bytes, 256).expect("far below the address space");
        assert!(bytes > 0, "the driver refuses to allocate nothing");
        // SAFETY: the size is not 0.
        let Some(start) = NonNull::new(unsafe { alloc(layout) }) else { handle_alloc_error(layout) };
        let block = Self { start, layout, kind, alive: true, pending: 0 };
        block.poison();
        block
    }

    fn poison(&self) {
        // SAFETY: the block owns these bytes.
        unsafe { self.start.write_bytes(POISON, self.layout.size()) };
    }

    /// Whether nobody has written to it since it was poisoned.
    fn is_poisoned(&self) -> bool {
        // SAFETY: the block owns these bytes, which `poison` has initialised.
        let bytes = unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.layout.size()) };
        bytes.iter().all(|&byte| byte == POISON)
    }

    fn end(&self) -> usize {
        self.start.addr().get() + self.layout.size()
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, once.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}

impl Memory {
    /// With `limit` bytes of device memory.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, ..Self::default() }
    }

    /// The address of a new allocation; `kind` is not `Host`.
    pub(super) fn allocate(&mut self, kind: Kind, bytes: usize) -> Result<usize, GpuError> {
        let free = self.limit.saturating_sub(self.used);
        if kind == Kind::Device && bytes > free {
            return Err(GpuError::OutOfMemory { asked: bytes, free, total: self.limit });
        }
        let block = Block::new(kind, bytes);
        if kind == Kind::Device {
            self.used += bytes;
        }
        let address = block.start.as_ptr().expose_provenance();
        self.blocks.insert(address, block);
        Ok(address)
    }

    /// Ends an allocation's life; what is queued on it will find it dead.
    pub(super) fn free(&mut self, kind: Kind, address: usize) -> Result<(), Misuse> {
        let block =
            self.blocks.get_mut(&address).filter(|block| block.kind == kind).ok_or(Misuse::OutsideAllocation)?;
        if !block.alive {
            return Err(Misuse::FreedMemory);
        }
        block.alive = false;
        block.poison();
        let pending = block.pending;
        if kind == Kind::Device {
            self.used -= block.layout.size();
        }
        self.dead_bytes += block.layout.size();
        self.dead.push_back(address);
        if pending > 0 { Err(Misuse::PendingOperations) } else { Ok(()) }
    }

    /// The allocation that holds these bytes, by its first address; none for memory of the host that is not
    /// page-locked.
    pub(super) fn find(&self, (address, kind): (usize, Kind), bytes: usize) -> Result<Option<usize>, Misuse> {
        let end = address.checked_add(bytes).ok_or(Misuse::OutsideAllocation)?;
        let Some((&start, block)) = self.at(address) else {
            return if kind == Kind::Host { Ok(None) } else { Err(Misuse::OutsideAllocation) };
        };
        if (block.kind == Kind::Device) != (kind == Kind::Device) || end > block.end() {
            return Err(Misuse::OutsideAllocation);
        }
        if block.alive { Ok(Some(start)) } else { Err(Misuse::FreedMemory) }
    }

    /// The allocation that a kernel's pointer leads into (or to the end of), of either kind: page-locked memory has its
    /// own address on the device.
    pub(super) fn find_any(&self, address: usize) -> Result<usize, Misuse> {
        let behind = || self.at(address.checked_sub(1)?);
        let (&start, block) = self.at(address).or_else(behind).ok_or(Misuse::OutsideAllocation)?;
        if block.alive { Ok(start) } else { Err(Misuse::FreedMemory) }
    }

    fn at(&self, address: usize) -> Option<(&usize, &Block)> {
        self.blocks.range(..=address).next_back().filter(|(_, block)| address < block.end())
    }

    /// Counts one more queued operation on an allocation.
    pub(super) fn hold(&mut self, start: usize) {
        if let Some(block) = self.blocks.get_mut(&start) {
            block.pending += 1;
        }
    }

    /// Counts one less.
    pub(super) fn release(&mut self, start: usize) {
        if let Some(block) = self.blocks.get_mut(&start) {
            block.pending -= 1;
        }
    }

    /// Whether the allocation that begins there is alive.
    pub(super) fn is_alive(&self, start: usize) -> bool {
        self.blocks.get(&start).is_some_and(|block| block.alive)
    }

    /// How many are alive.
    pub(super) fn alive(&self) -> usize {
        self.blocks.values().filter(|block| block.alive).count()
    }

    /// First addresses of freed allocations that somebody has written to since; each is told once.
    pub(super) fn late_writes(&mut self) -> Vec<usize> {
        let written: Vec<usize> = self.dead.iter().copied().filter(|start| !self.blocks[start].is_poisoned()).collect();
        for start in &written {
            self.blocks[start].poison();
        }
        written
    }

    /// Gives the oldest dead memory back to the system. Call [`Memory::late_writes`] before.
    pub(super) fn forget_dead(&mut self) {
        while self.dead_bytes > KEPT_DEAD
            && let Some(start) = self.dead.front().copied()
            && self.blocks[&start].pending == 0
        {
            self.dead.pop_front();
            self.dead_bytes -= self.blocks[&start].layout.size();
            self.blocks.remove(&start);
        }
    }

    /// Whether [`Memory::forget_dead`] would do something.
    pub(super) fn is_full_of_dead(&self) -> bool {
        self.dead_bytes > KEPT_DEAD
    }
}
