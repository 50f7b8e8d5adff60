//! Compiled kernels on disk, one file each, named by the digest of all that they are made of.
//!
//! An entry is a header of 40 bytes and the code: magic and version (8 bytes), the key (16, little-endian as all
//! below), the code's length (8), its XXH3-64 (8). Entries are written to a temporary name and renamed, so that other
//! processes see none or all of one; whatever does not read back as written is compiled again. Nothing is ever removed:
//! an entry is 10 to 200 KB, and one is made for each version of the sources.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::{Architecture, Cubin, Sources};
use crate::gpu::GpuError;

const MAGIC: [u8; 8] = *b"mclcub01";
const HEADER: usize = 40;

/// Where compiled kernels are kept. The folder is the program's choice: `$XDG_CACHE_HOME/metacl/kernels` or
/// `~/.cache/metacl/kernels`. Whoever can write there decides what runs on the GPU.
#[derive(Clone, Debug, Default)]
pub struct Cache {
    /// The folder, made where it is missing; with none, every call compiles.
    pub folder: Option<PathBuf>,
}

/// Where a module came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was kept.
    Cache,
    /// It was compiled; with a folder, it is now kept.
    Compiled,
    /// An entry was there, but damaged or unreadable: compiled, and replaced.
    Replaced,
    /// It was compiled, and will be next time: the folder does not take it.
    NotKept {
        /// What the system says, for a warning.
        reason: String,
    },
}

impl Cache {
    /// Like [`compile`](super::compile), but only where no earlier call with the same sources, options, architecture
    /// and NVRTC has left its result. A first call takes a second or so, later ones a millisecond.
    ///
    /// # Errors
    /// As [`compile`](super::compile); a folder that cannot be used is none: see [`Origin::NotKept`].
    pub fn compile(
        &self,
        sources: &Sources,
        options: &[&str],
        architecture: Architecture,
    ) -> Result<(Cubin, Origin), GpuError> {
        let key = key(sources, &super::all_options(options, architecture), super::nvrtc::version()?);
        let make = || Ok(super::compile(sources, options, architecture)?.cubin.bytes);
        let (bytes, origin) = self.get_or_make(key, make)?;
        Ok((Cubin { bytes }, origin))
    }

    fn get_or_make(
        &self,
        key: u128,
        make: impl FnOnce() -> Result<Vec<u8>, GpuError>,
    ) -> Result<(Vec<u8>, Origin), GpuError> {
        let Some(folder) = &self.folder else { return Ok((make()?, Origin::Compiled)) };
        let path = folder.join(format!("{key:032x}.cubin"));
        let missing = match fs::read(&path) {
            Ok(file) => match unwrap(key, &file) {
                Some(code) => return Ok((code.to_vec(), Origin::Cache)),
                None => false,
            },
            Err(error) => error.kind() == ErrorKind::NotFound,
        };
        let code = make()?;
        let origin = match store(folder, &path, key, &code) {
            Ok(()) if missing => Origin::Compiled,
            Ok(()) => Origin::Replaced,
            Err(error) => Origin::NotKept { reason: format!("{}: {error}", path.display()) },
        };
        Ok((code, origin))
    }
}

/// Everything that decides what NVRTC writes. Each part is preceded by its length, so that no two lists of parts read
/// the same.
fn key(sources: &Sources, options: &[String], nvrtc: (u32, u32)) -> u128 {
    let mut digest = Xxh3::new();
    let mut part = |bytes: &[u8]| {
        digest.update(&(bytes.len() as u64).to_le_bytes());
        digest.update(bytes);
    };
    part(&nvrtc.0.to_le_bytes());
    part(&nvrtc.1.to_le_bytes());
    part(&(sources.headers.len() as u64).to_le_bytes());
    for (name, text) in std::iter::once(&sources.main).chain(sources.headers) {
        part(name.as_bytes());
        part(text.as_bytes());
    }
    for option in options {
        part(option.as_bytes());
    }
    digest.digest128()
}

/// The code in an entry, if the entry is what was written under this key.
fn unwrap(key: u128, file: &[u8]) -> Option<&[u8]> {
    let (found, code) = file.split_at_checked(HEADER)?;
    (found == header(key, code)).then_some(code)
}

fn header(key: u128, code: &[u8]) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(&MAGIC);
    header[8..24].copy_from_slice(&key.to_le_bytes());
    header[24..32].copy_from_slice(&(code.len() as u64).to_le_bytes());
    header[32..].copy_from_slice(&xxh3_64(code).to_le_bytes());
    header
}

/// Not synced: a crash may leave an entry damaged, and a damaged one is made again.
fn store(folder: &Path, path: &Path, key: u128, code: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(&header(key, code))?;
    file.write_all(code)?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    const CODE: &[u8] = b"machine code";

    fn made() -> Result<Vec<u8>, GpuError> {
        Ok(CODE.to_vec())
    }

    fn unexpected() -> Result<Vec<u8>, GpuError> {
        panic!("compiled, though it is kept")
    }

    /// A cache in a folder two levels below `root`, which does not exist yet.
    fn cache(root: &Path) -> Cache {
        Cache { folder: Some(root.join("metacl/kernels")) }
    }

    fn entries(cache: &Cache) -> Vec<PathBuf> {
        let folder = fs::read_dir(cache.folder.as_ref().unwrap()).unwrap();
        folder.map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn what_was_made_is_kept() {
        let root = tempfile::tempdir().unwrap();
        let cache = cache(root.path());
        assert_eq!(cache.get_or_make(5, made).unwrap(), (CODE.to_vec(), Origin::Compiled));
        assert_eq!(cache.get_or_make(5, unexpected).unwrap(), (CODE.to_vec(), Origin::Cache));
        assert_eq!(cache.get_or_make(6, made).unwrap().1, Origin::Compiled);
        assert_eq!(entries(&cache).len(), 2, "one file a key, and no temporary ones");
    }

    #[test]
    fn a_failure_is_not_kept() {
        let root = tempfile::tempdir().unwrap();
        let cache = cache(root.path());
        assert_eq!(cache.get_or_make(5, || Err(GpuError::NoNvrtc)), Err(GpuError::NoNvrtc));
        assert_eq!(cache.get_or_make(5, made).unwrap().1, Origin::Compiled);
    }

    #[test]
    fn every_damage_is_seen_and_mended() {
        let root = tempfile::tempdir().unwrap();
        let cache = cache(root.path());
        cache.get_or_make(5, made).unwrap();
        let path = entries(&cache).remove(0);
        let whole = fs::read(&path).unwrap();
        assert_eq!(whole.len(), HEADER + CODE.len());
        let mut damaged: Vec<Vec<u8>> = (0..whole.len()).map(|cut| whole[..cut].to_vec()).collect();
        damaged.extend((0..whole.len()).map(|at| {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            bytes
        }));
        damaged.push([&whole[..], b"!"].concat());
        for bytes in damaged {
            fs::write(&path, &bytes).unwrap();
            assert_eq!(cache.get_or_make(5, made).unwrap(), (CODE.to_vec(), Origin::Replaced), "{bytes:?}");
            assert_eq!(cache.get_or_make(5, unexpected).unwrap().1, Origin::Cache);
        }
    }

    #[test]
    fn an_entry_under_another_name_is_no_entry() {
        let root = tempfile::tempdir().unwrap();
        let cache = cache(root.path());
        cache.get_or_make(5, made).unwrap();
        let path = entries(&cache).remove(0);
        fs::rename(&path, path.with_file_name(format!("{:032x}.cubin", 6))).unwrap();
        assert_eq!(cache.get_or_make(6, made).unwrap().1, Origin::Replaced);
    }

    #[test]
    fn a_folder_that_cannot_be_used_is_reported_and_no_error() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, b"").unwrap();
        let cache = Cache { folder: Some(file.join("kernels")) };
        for _ in 0..2 {
            let (code, origin) = cache.get_or_make(5, made).unwrap();
            assert!(code == CODE && matches!(origin, Origin::NotKept { .. }), "{origin:?}");
        }
        // An entry that is a folder can neither be read nor replaced.
        let cache = self::cache(root.path());
        fs::create_dir_all(cache.folder.as_ref().unwrap().join(format!("{:032x}.cubin", 5))).unwrap();
        assert!(matches!(cache.get_or_make(5, made).unwrap().1, Origin::NotKept { .. }));
        assert_eq!(entries(&cache).len(), 1, "the temporary file is gone");
    }

    #[test]
    fn without_a_folder_every_call_compiles() {
        for _ in 0..2 {
            assert_eq!(Cache::default().get_or_make(5, made).unwrap(), (CODE.to_vec(), Origin::Compiled));
        }
    }

    #[test]
    fn every_input_of_the_compiler_changes_the_key() {
        let sources = |headers| Sources { main: ("main.cu", "code"), headers };
        let options = ["-DX=1".to_owned(), "-DY".to_owned()];
        let keys = [
            key(&sources(&[("a", "b")]), &options, (13, 0)),
            key(&sources(&[("a", "b")]), &options, (13, 1)),
            key(&sources(&[("a", "b")]), &options[..1], (13, 0)),
            key(&sources(&[("a", "b")]), &["-DX=1-DY".to_owned()], (13, 0)),
            key(&sources(&[("a", "c")]), &options, (13, 0)),
            key(&sources(&[("ab", "")]), &options, (13, 0)),
            key(&sources(&[("a", "b"), ("c", "d")]), &options, (13, 0)),
            key(&sources(&[]), &["a".to_owned(), "b".to_owned(), "-DX=1".to_owned(), "-DY".to_owned()], (13, 0)),
            key(&Sources { main: ("main.cu", "code "), headers: &[("a", "b")] }, &options, (13, 0)),
            key(&Sources { main: ("other.cu", "code"), headers: &[("a", "b")] }, &options, (13, 0)),
        ];
        for (at, one) in keys.iter().enumerate() {
            assert!(!keys[..at].contains(one), "key {at} repeats");
        }
    }
}
