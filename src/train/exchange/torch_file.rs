//! Files of `torch.save`: the tensors of a state dict, without running the pickle that describes them.
//!
//! Both layouts are read: the zip archive of torch 1.6 and later, and the stream of pickles before it. Source: PyTorch,
//! `torch/serialization.py`, `torch/_utils.py`. `_rebuild_tensor`, `_rebuild_tensor_v2` and `_rebuild_parameter` are understood as
//! data; every other call in the pickle (hyperparameters, optimizer state) is passed over.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use tch::{Kind, Tensor};

use super::ExchangeError;
use super::storages::Storages;
use crate::shard::ingest::pickle::{Id, Pickle};

/// How a stream of the older layout begins: a pickle of the number 0x1950a86a20f9469cfc6c.
const LEGACY: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
/// How a zip archive begins.
const ZIP: &[u8] = b"PK\x03\x04";

/// Names of storages, the kind of their numbers.
const KINDS: [(&str, Kind); 10] = [
    ("FloatStorage", Kind::Float),
    ("DoubleStorage", Kind::Double),
    ("HalfStorage", Kind::Half),
    ("BFloat16Storage", Kind::BFloat16),
    ("LongStorage", Kind::Int64),
    ("IntStorage", Kind::Int),
    ("ShortStorage", Kind::Int16),
    ("CharStorage", Kind::Int8),
    ("ByteStorage", Kind::Uint8),
    ("BoolStorage", Kind::Bool),
];

/// A view of a storage.
#[derive(Clone, Debug)]
struct Entry {
    kind: Kind,
    storage: String,
    /// Numbers in the storage.
    length: usize,
    /// First number of the tensor.
    offset: usize,
    shape: Vec<i64>,
    strides: Vec<i64>,
}

/// A file of `torch.save`, in memory.
pub struct TorchFile {
    path: PathBuf,
    storages: Storages,
    entries: BTreeMap<String, Entry>,
    iter: Option<u64>,
}

impl TorchFile {
    /// Whether `bytes` begin as such a file does.
    pub fn recognises(bytes: &[u8]) -> bool {
        bytes.starts_with(ZIP) || bytes.starts_with(LEGACY)
    }

    /// Understands the file in `bytes`; `path` is for errors. A dictionary `state_dict` in the outermost one is the state.
    ///
    /// # Errors
    /// Where it is none of the two layouts, cut short, or its pickle needs more than data.
    pub fn read(path: &Path, bytes: Vec<u8>) -> Result<Self, ExchangeError> {
        let unreadable = |reason| ExchangeError::Pickle { path: path.to_owned(), reason };
        if bytes.starts_with(LEGACY) {
            return Self::read_legacy(path, bytes);
        }
        let (storages, pickle) = Storages::of_archive(path, bytes)?;
        let pickle = Pickle::parse(&pickle).map_err(unreadable)?;
        let (entries, iter) = (state(path, &pickle)?, iteration(&pickle));
        Ok(Self { path: path.to_owned(), storages, entries, iter })
    }

    /// Pickles of a magic number, a version, the machine, the object and the storages' keys; then each storage's length and numbers.
    fn read_legacy(path: &Path, bytes: Vec<u8>) -> Result<Self, ExchangeError> {
        let mut at = 0;
        let mut next = || {
            let pickle = Pickle::parse(bytes.get(at..).unwrap_or_default());
            let pickle = pickle.map_err(|reason| ExchangeError::Pickle { path: path.to_owned(), reason })?;
            at += pickle.end();
            Ok::<_, ExchangeError>(pickle)
        };
        let (_magic, version, _machine, object, keys) = (next()?, next()?, next()?, next()?, next()?);
        let version = version.int(version.root());
        if version != Some(1001) {
            return Err(ExchangeError::damaged(
                path,
                format!("version {version:?} of torch.save's old layout, not 1001"),
            ));
        }
        let sizes = storage_sizes(&object);
        let ends = || ExchangeError::damaged(path, "cut short: it ends before its numbers do");
        let mut places = HashMap::new();
        for &key in keys.list(keys.root()).unwrap_or_default() {
            let key = keys.bytes(key).map(|key| String::from_utf8_lossy(&key).into_owned()).unwrap_or_default();
            let size = sizes.get(&key).copied().ok_or_else(|| {
                ExchangeError::damaged(path, format!("storage {key:?} is listed, but nothing says of what kind it is"))
            })?;
            let length = bytes.get(at..).and_then(<[u8]>::first_chunk).ok_or_else(ends)?;
            at += size_of::<u64>();
            let length = usize::try_from(u64::from_le_bytes(*length)).ok().and_then(|n| n.checked_mul(size));
            let end = length.and_then(|length| at.checked_add(length)).filter(|&end| end <= bytes.len());
            let end = end.ok_or_else(ends)?;
            places.insert(key, at..end);
            at = end;
        }
        let (entries, iter) = (state(path, &object)?, iteration(&object));
        Ok(Self { path: path.to_owned(), storages: Storages::Flat { bytes, places }, entries, iter })
    }

    /// Names and shapes of all tensors of the state.
    pub fn shapes(&self) -> BTreeMap<String, Vec<i64>> {
        self.entries.iter().map(|(name, entry)| (name.clone(), entry.shape.clone())).collect()
    }

    /// The iteration that the published code saves beside the state.
    pub fn iter(&self) -> Option<u64> {
        self.iter
    }

    /// The tensor `name`, copied.
    ///
    /// # Errors
    /// Where there is none, or its numbers are not in the file.
    pub fn tensor(&mut self, name: &str) -> Result<Tensor, ExchangeError> {
        let wrong = |what: String| ExchangeError::tensor(&self.path, name, what);
        let entry = self.entries.get(name).ok_or_else(|| wrong("missing".to_owned()))?;
        let bytes = entry.length.checked_mul(entry.kind.elt_size_in_bytes());
        let bytes = bytes.ok_or_else(|| wrong(format!("its storage has {} numbers", entry.length)))?;
        entry.check().map_err(wrong)?;
        let data = self.storages.read(&self.path, &entry.storage, bytes)?;
        let refused = |reason: tch::TchError| ExchangeError::tensor(&self.path, name, reason.to_string());
        let storage = Tensor::f_from_data_size(&data, &[entry.length as i64], entry.kind).map_err(refused)?;
        let view = storage.f_as_strided(&entry.shape, &entry.strides, entry.offset as i64).map_err(refused)?;
        view.f_contiguous().map_err(refused)
    }
}

impl Entry {
    /// Whether the view lies within its storage and has no more numbers than it: a shape cannot ask for more memory than the file has.
    fn check(&self) -> Result<(), String> {
        let outside = || {
            format!("shape {:?}, strides {:?} and offset {} leave its storage", self.shape, self.strides, self.offset)
        };
        let sides = self.shape.iter().zip(&self.strides);
        if self.shape.len() != self.strides.len() || sides.clone().any(|(&side, &stride)| side < 0 || stride < 0) {
            return Err(outside());
        }
        let count = self.shape.iter().try_fold(1i64, |count, &side| count.checked_mul(side)).ok_or_else(outside)?;
        if count == 0 {
            return Ok(());
        }
        let start = i64::try_from(self.offset).map_err(|_| outside())?;
        let last = sides
            .into_iter()
            .try_fold(start, |last, (side, stride)| last.checked_add((side - 1).checked_mul(*stride)?));
        let length = i64::try_from(self.length).map_err(|_| outside())?;
        if count <= length && last.is_some_and(|last| last < length) { Ok(()) } else { Err(outside()) }
    }
}

/// The tensors of the state dict in `pickle`.
fn state(path: &Path, pickle: &Pickle<'_>) -> Result<BTreeMap<String, Entry>, ExchangeError> {
    let root = pickle.get("state_dict").unwrap_or(pickle.root());
    let Some(entries) = pickle.entries(root) else {
        let what = "torch.save was given no state dict but another object: save model.state_dict()".to_owned();
        return Err(ExchangeError::Format { path: path.to_owned(), what });
    };
    let mut state = BTreeMap::new();
    for &(key, value) in entries {
        let Some(name) = pickle.bytes(key) else { continue };
        let name = String::from_utf8_lossy(&name).into_owned();
        match entry(pickle, value) {
            Ok(Some(entry)) => drop(state.insert(name, entry)),
            Ok(None) => {} // not a tensor: a learning rate, say
            Err(what) => return Err(ExchangeError::tensor(path, &name, what)),
        }
    }
    Ok(state)
}

fn iteration(pickle: &Pickle<'_>) -> Option<u64> {
    pickle.get("iter").and_then(|id| pickle.int(id)).and_then(|iter| u64::try_from(iter).ok())
}

/// The tensor that the call `id` would make; `None` where it would make something else.
fn entry(pickle: &Pickle<'_>, id: Id) -> Result<Option<Entry>, String> {
    let Some((callable, arguments)) = pickle.call(id) else { return Ok(None) };
    match (callable, arguments) {
        // Parameters hold plain tensors; were one to hold a parameter again, it would be no file of torch.save.
        ("torch._utils _rebuild_parameter", &[tensor, ..]) => match pickle.call(tensor) {
            Some(("torch._utils _rebuild_parameter", _)) => Err("a parameter of a parameter".to_owned()),
            _ => entry(pickle, tensor),
        },
        (
            "torch._utils _rebuild_tensor_v2" | "torch._utils _rebuild_tensor",
            &[storage, offset, shape, strides, ..],
        ) => {
            let numbers = |id| pickle.list(id)?.iter().map(|&side| pickle.int(side)).collect::<Option<Vec<i64>>>();
            let view = || Some((usize::try_from(pickle.int(offset)?).ok()?, numbers(shape)?, numbers(strides)?));
            let (offset, shape, strides) = view().ok_or("its shape cannot be read")?;
            let (storage, kind, length) = storage_of(pickle, storage)?;
            Ok(Some(Entry { kind, storage, length, offset, shape, strides }))
        }
        (name, _) if name.starts_with("torch") && name.contains("_rebuild") => {
            Err(format!("made by {name}: only plain tensors are read; save it as float32"))
        }
        _ => Ok(None),
    }
}

/// Key, kind and length of the storage that `id` names: `('storage', type, key, location, length)`.
fn storage_of(pickle: &Pickle<'_>, id: Id) -> Result<(String, Kind, usize), String> {
    let Some(&[_, class, key, _, length, ..]) = pickle.persistent(id) else {
        return Err("its storage is not described as torch.save does".to_owned());
    };
    let class = pickle.global(class).unwrap_or_default();
    let kind = KINDS.iter().find(|(name, _)| class.strip_prefix("torch ") == Some(*name)).map(|(_, kind)| *kind);
    let kind = kind.ok_or_else(|| format!("numbers of {class:?} are not read; save it as float32"))?;
    let key = pickle.bytes(key).map(|key| String::from_utf8_lossy(&key).into_owned());
    let length = pickle.int(length).and_then(|length| usize::try_from(length).ok());
    Ok((key.ok_or("its storage has no key")?, kind, length.ok_or("its storage has no length")?))
}

/// Bytes of a number in every storage that any tensor of the pickle names.
fn storage_sizes(pickle: &Pickle<'_>) -> HashMap<String, usize> {
    let storages = pickle.ids().filter_map(|id| storage_of(pickle, id).ok());
    storages.map(|(key, kind, _)| (key, kind.elt_size_in_bytes())).collect()
}
