//! Mapping a file: the crate's file-backed `unsafe`. `faults`: pages that cannot be had any more.

#[cfg(target_os = "linux")]
mod faults;

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::Path;

use memmap2::Mmap;

use super::change::Stamp;
use super::error::ShardError;
use super::format::Block;

/// Records longer than this are asked for before they are read; shorter ones lie on a page or two.
const READ_AHEAD: u32 = 4096;

/// The bytes of a file.
pub(super) struct Map {
    // Before the bytes, so that it goes first.
    #[cfg(target_os = "linux")]
    watched: faults::Watched,
    bytes: Mmap,
}

impl Map {
    /// Maps `path` for reading in random order, and says what the file is now.
    pub(super) fn open(path: &Path) -> Result<(Self, Stamp), ShardError> {
        let io = |doing| move |source| ShardError::Io { path: path.to_owned(), doing, source };
        let file = File::open(path).map_err(io("open"))?;
        let stamp = Stamp::of(&file.metadata().map_err(io("look at"))?);
        Ok((Self::of(&file).map_err(io("map"))?, stamp))
    }

    /// Maps an open file for reading in random order.
    pub(super) fn of(file: &File) -> io::Result<Self> {
        // SAFETY: shard files are not changed after they got their final name (`format.md`, "Assumptions about the medium"), and
        // a writer does not write to its own file while it reads it back. The file behind the index of a shard in object storage has no
        // name and one owner, which fills each part before anybody reads that part. The bytes are read as bytes only; whoever changes them
        // all the same is found out (`ShardFile::examine`), and no reader takes them for places in memory without a look at them.
        let map = unsafe { Mmap::map(file) }?;
        // Without the advice the kernel reads ahead around every record, which is wasted where the order is random.
        #[cfg(unix)]
        let _ = map.advise(memmap2::Advice::Random);
        Ok(Self {
            #[cfg(target_os = "linux")]
            watched: faults::Watched::new(&map),
            bytes: map,
        })
    }

    /// Whether a page of the file could not be read and is zeros now.
    pub(super) fn lost(&self) -> bool {
        #[cfg(target_os = "linux")]
        return self.watched.lost();
        #[cfg(not(target_os = "linux"))]
        false
    }

    /// A block that lies in the file.
    pub(super) fn block(&self, block: &Block) -> &[u8] {
        &self[block.offset as usize..][..block.length as usize]
    }

    /// A record that lies in the file.
    pub(super) fn record(&self, offset: u64, length: u32) -> &[u8] {
        &self[offset as usize..][..length as usize]
    }

    /// Lets the CPU begin to bring a short record into its caches; longer ones bring themselves after their first lines.
    pub(super) fn prefetch(&self, offset: u64, length: u32) {
        #[cfg(target_arch = "x86_64")]
        if length <= READ_AHEAD {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            for line in self.record(offset, length).chunks(64) {
                // SAFETY: SSE is part of every x86-64; a prefetch reads nothing and never faults.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
            }
        }
    }

    /// Lets the kernel begin to read a record whole, and returns at once: under `Advice::Random` each of its memory pages would be a
    /// read of its own. Records of 110 kB in random order, cold: 2.6 ms each without, 0.4 ms with; warm: no difference (2 cores of an
    /// EPYC, virtual disk).
    pub(super) fn read_ahead(&self, offset: u64, length: u32) {
        #[cfg(unix)]
        if length > READ_AHEAD {
            let _ = self.bytes.advise_range(memmap2::Advice::WillNeed, offset as usize, length as usize);
        }
    }
}

impl Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}
