//! Many files as one index space.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use xxhash_rust::xxh3::Xxh3;

use super::error::ShardError;
use super::file::ShardFile;
use super::location::Location;
use super::storage::Storage;
use super::{SampleInfo, Stored, Verify, parts};

/// A split of a dataset: samples `0..len`, over one or many files. Shared freely between threads.
pub struct ShardSet {
    files: Vec<ShardFile>,
    /// Index of the first sample of each file.
    firsts: Vec<u64>,
    samples: u64,
}

impl ShardSet {
    /// Opens a split's folder, or one `.mcs` file as a set of its own.
    ///
    /// # Errors
    /// What `format.md` lists under "opening".
    pub fn open(path: &Path) -> Result<Self, ShardError> {
        let whole_split = path.is_dir();
        let paths = if whole_split { parts::shard_files(path)? } else { vec![path.to_owned()] };
        let mut files: Vec<ShardFile> = Vec::with_capacity(paths.len());
        for path in &paths {
            files.push(ShardFile::open(path, files.first())?);
        }
        if whole_split {
            parts::check(path, &files)?;
        }
        Ok(Self::of(files))
    }

    /// As [`open`](Self::open), wherever it lies.
    ///
    /// # Errors
    /// Also [`ShardError::Remote`] for what object storage refuses, [`ShardError::NotBuilt`] in a build without it.
    pub fn open_at(location: &Location, storage: &Storage) -> Result<Self, ShardError> {
        match location {
            Location::Disk(path) => Self::open(path),
            Location::Url(_) => storage.open_url(location).map(Self::of),
        }
    }

    /// Opens `dataset/split`; where `dataset` itself holds shard files or is one, that.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_split(dataset: &Path, split: &str) -> Result<Self, ShardError> {
        let is_split = dataset.is_file() || (dataset.is_dir() && !parts::shard_files(dataset)?.is_empty());
        if is_split { Self::open(dataset) } else { Self::open(&dataset.join(split)) }
    }

    /// As [`open_split`](Self::open_split), wherever it lies.
    ///
    /// # Errors
    /// As [`open_at`](Self::open_at).
    pub fn open_split_at(dataset: &Location, split: &str, storage: &Storage) -> Result<Self, ShardError> {
        match dataset {
            Location::Disk(path) => Self::open_split(path, split),
            Location::Url(_) if storage.has_shards(dataset)? => Self::open_at(dataset, storage),
            Location::Url(_) => Self::open_at(&dataset.join(split), storage),
        }
    }

    fn of(files: Vec<ShardFile>) -> Self {
        let mut samples = 0;
        let mut firsts = Vec::with_capacity(files.len());
        for file in &files {
            firsts.push(samples);
            samples += file.samples(); // at most 2^32, as the files' `total`
        }
        Self { files, firsts, samples }
    }

    /// Compares the records' checksums as `verify` says; at every read unless this is called.
    pub fn with_verify(mut self, verify: Verify) -> Self {
        for file in &mut self.files {
            file.set_verify(verify);
        }
        self
    }

    /// Brings the whole index here, which is otherwise fetched page by page when a sample is first asked for; on disk it is there.
    ///
    /// # Errors
    /// What the check of the pages finds.
    pub fn fetch_index(&self) -> Result<(), ShardError> {
        #[cfg(feature = "remote")]
        if self.files.iter().any(ShardFile::is_remote) {
            let pages: Vec<_> =
                self.files.iter().flat_map(|file| (0..file.pages()).map(move |page| (file, page))).collect();
            let touch = |number: u64| {
                let (file, page) = pages[number as usize];
                file.touch(page)
            };
            return super::remote::side_by_side(pages.len() as u64, touch).into_iter().collect();
        }
        Ok(())
    }

    /// Number of samples.
    pub fn len(&self) -> u64 {
        self.samples
    }

    /// Whether there are none; an open set has at least one.
    pub fn is_empty(&self) -> bool {
        self.samples == 0
    }

    /// Names of the classes; a label is an index into them.
    pub fn classes(&self) -> &[String] {
        &self.files[0].meta().classes
    }

    /// Free metadata of the split.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.files[0].meta().pairs
    }

    /// The files, in order.
    pub fn shards(&self) -> &[ShardFile] {
        &self.files
    }

    /// Digest over all files: the same data, the same identity.
    pub fn identity(&self) -> u128 {
        let mut hash = Xxh3::new();
        for file in &self.files {
            hash.update(&file.identity().to_le_bytes());
        }
        hash.digest128()
    }

    /// Size, codec and label of a sample.
    ///
    /// # Errors
    /// [`ShardError::OutOfRange`], and what the index page's check finds at its first touch.
    pub fn info(&self, index: u64) -> Result<SampleInfo, ShardError> {
        let (file, sample) = self.locate(index)?;
        file.info(sample)
    }

    /// Name of a sample: its path in the source.
    ///
    /// # Errors
    /// As [`info`](Self::info).
    pub fn name(&self, index: u64) -> Result<&str, ShardError> {
        let (file, sample) = self.locate(index)?;
        file.name(sample)
    }

    /// The file that holds a sample, and the first byte of its record there.
    ///
    /// # Errors
    /// As [`info`](Self::info).
    pub fn place(&self, index: u64) -> Result<(String, u64), ShardError> {
        let (file, sample) = self.locate(index)?;
        Ok((file.path().display().to_string(), file.info(sample)?.offset))
    }

    /// The stored bytes of a sample.
    ///
    /// # Errors
    /// As [`info`](Self::info), and [`ShardError::Refused`] where the checksum does not hold.
    pub fn record(&self, index: u64) -> Result<Cow<'_, [u8]>, ShardError> {
        let (file, sample) = self.locate(index)?;
        file.record(sample)
    }

    /// A sample for decoding: what the index says and the stored bytes, in one lookup and without a call of the system.
    ///
    /// # Errors
    /// As [`record`](Self::record).
    pub fn stored(&self, index: u64) -> Result<Stored<'_>, ShardError> {
        let (file, sample) = self.locate(index)?;
        file.stored(sample)
    }

    /// To be asked after the bytes of a sample were used: whether they were those that were written. A load of memory, unless the system
    /// could not read some page of the file or the caller has reason for `doubt`, such as a record that does not decode; then the file is
    /// looked at.
    ///
    /// # Errors
    /// [`ShardError::Changed`] where somebody wrote to the file since it was opened; [`ShardError::Refused`] with [`Refusal::Unreadable`]
    /// where the disk gave nothing in the place of this record.
    ///
    /// [`Refusal::Unreadable`]: super::Refusal::Unreadable
    pub fn examine(&self, index: u64, doubt: bool) -> Result<(), ShardError> {
        let (file, sample) = self.locate(index)?;
        file.examine(sample, doubt)
    }

    /// Asks the system about one of the files, the next one at each `turn`: whether it is still the one that was opened. One that was written
    /// to is checked anew, as far as it was checked before.
    ///
    /// # Errors
    /// [`ShardError::Changed`] where it has another length or identity now.
    pub fn look_again(&self, turn: u64) -> Result<(), ShardError> {
        self.files[(turn % self.files.len() as u64) as usize].look_again()
    }

    /// As [`info`](Self::info); also lets the system begin to read the record, which will soon be wanted, and does not wait for it.
    ///
    /// # Errors
    /// As [`info`](Self::info).
    pub fn read_ahead(&self, index: u64) -> Result<SampleInfo, ShardError> {
        let (file, sample) = self.locate(index)?;
        file.read_ahead(sample)
    }

    /// Lets the CPU begin to read the record of the sample that this thread comes to next, from memory; does not wait. Of a sample that cannot
    /// be read, nothing: reading it will say why.
    pub fn prefetch(&self, index: u64) {
        if let Ok((file, sample)) = self.locate(index) {
            file.prefetch(sample);
        }
    }

    fn locate(&self, index: u64) -> Result<(&ShardFile, u64), ShardError> {
        if index >= self.samples {
            return Err(ShardError::OutOfRange { index, samples: self.samples });
        }
        let file = self.firsts.partition_point(|&first| first <= index) - 1;
        Ok((&self.files[file], index - self.firsts[file]))
    }
}
