//! Reads a folder of golden vectors: `tests/golden`, or `METACL_GOLDEN_DIR`.
//!
//! Everything panics with the folder, file and tensor in its message: a missing golden is a failed test.
#![allow(dead_code, unreachable_pub, reason = "shared by test files, each of which uses its part")]

pub mod nets;
#[cfg(feature = "torch")]
pub mod tensors;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};

/// The folder of golden vectors; it exists.
pub fn golden_dir() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let folder = std::env::var_os("METACL_GOLDEN_DIR").map_or(here, PathBuf::from);
    assert!(folder.is_dir(), "golden folder {} does not exist", folder.display());
    folder
}

/// `cases.json` of the folder.
pub fn cases() -> serde_json::Value {
    let path = golden_dir().join("cases.json");
    let text = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// All tensors of one file of the folder.
pub fn load(file: &str) -> Golden {
    let path = golden_dir().join(file);
    let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let parsed = SafeTensors::deserialize(&bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let tensors = parsed.iter().map(|(name, view)| {
        let tensor = Tensor { dtype: view.dtype(), shape: view.shape().to_vec(), bytes: view.data().to_vec() };
        (name.to_owned(), tensor)
    });
    Golden { tensors: tensors.collect(), path }
}

/// Prints how many cases a family has; none is a failure.
pub fn report(family: &str, cases: usize) {
    println!("golden {family}: {cases} cases");
    assert!(cases > 0, "golden family {family} has no cases");
}

/// The tensors of one file, by name.
pub struct Golden {
    path: PathBuf,
    tensors: BTreeMap<String, Tensor>,
}

impl Golden {
    /// The tensor `name`.
    pub fn get(&self, name: &str) -> &Tensor {
        self.tensors.get(name).unwrap_or_else(|| panic!("{}: no tensor {name}", self.path.display()))
    }

    /// The tensor `name`, where there is one.
    pub fn find(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The cases of a family stored as `family/case/tensor`, sorted, as `family/case`; reported, at least one.
    pub fn family(&self, family: &str) -> Vec<String> {
        let prefix = format!("{family}/");
        let case = |name: &str| {
            let (case, _) = name.strip_prefix(&prefix)?.split_once('/')?;
            Some(format!("{prefix}{case}"))
        };
        let cases: BTreeSet<String> = self.names().filter_map(case).collect();
        report(family, cases.len());
        cases.into_iter().collect()
    }
}

/// One tensor.
pub struct Tensor {
    dtype: Dtype,
    /// Extents, outermost first.
    pub shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Tensor {
    /// Its bytes.
    pub fn u8(&self) -> &[u8] {
        assert_eq!(self.dtype, Dtype::U8);
        &self.bytes
    }

    /// Its integers.
    pub fn i64(&self) -> Vec<i64> {
        assert_eq!(self.dtype, Dtype::I64);
        self.bytes.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b)).collect()
    }

    /// Its values as f64, whatever they are stored as.
    pub fn f64(&self) -> Vec<f64> {
        match self.dtype {
            Dtype::F64 => self.bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect(),
            Dtype::F32 => self.bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b).into()).collect(),
            Dtype::I64 => self.i64().into_iter().map(|v| v as f64).collect(),
            Dtype::U8 => self.bytes.iter().map(|v| f64::from(*v)).collect(),
            other => panic!("no reader for {other:?}"),
        }
    }

    /// Its values as f32.
    pub fn f32(&self) -> Vec<f32> {
        self.f64().into_iter().map(|v| v as f32).collect()
    }

    /// The value of a tensor of one element.
    pub fn scalar(&self) -> f64 {
        let values = self.f64();
        assert_eq!(values.len(), 1, "a scalar of shape {:?}", self.shape);
        values[0]
    }
}

/// `unit(name, count)` of the folder's README: values in 0..1, in f64.
pub fn unit(name: &str, count: usize) -> Vec<f64> {
    let fnv = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
    let seed = name.bytes().fold(0xCBF2_9CE4_8422_2325, fnv);
    let value = |j: usize| {
        let mut s = seed.wrapping_add((j as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        s = (s ^ s >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        s = (s ^ s >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        s ^= s >> 31;
        (s >> 11) as f64 / (1u64 << 53) as f64
    };
    (0..count).map(value).collect()
}
