//! Golden tensors by name, as torch's, and the one way they are compared.

use std::collections::{BTreeMap, BTreeSet};

use tch::{Kind, Tensor};

use super::{golden_dir, report};

/// One safetensors file.
pub struct Goldens {
    file: String,
    all: BTreeMap<String, Tensor>,
}

impl Goldens {
    /// Reads `{file}.safetensors`; its absence fails the test.
    pub fn open(file: &str) -> Self {
        let path = golden_dir().join(format!("{file}.safetensors"));
        let all = Tensor::read_safetensors(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { file: file.to_owned(), all: all.into_iter().collect() }
    }

    /// What follows `{folder}/` and precedes the next slash, each once.
    pub fn groups(&self, folder: &str) -> BTreeSet<&str> {
        let inside = self.all.keys().filter_map(|name| name.strip_prefix(folder)?.strip_prefix('/')?.split_once('/'));
        inside.map(|(group, _)| group).collect()
    }

    /// The cases `{family}/{case}/..`; none fails the test.
    pub fn cases(&self, family: &str) -> Vec<Case<'_>> {
        let names = self.groups(family);
        report(family, names.len());
        names.into_iter().map(|case| self.case(&format!("{family}/{case}"))).collect()
    }

    /// The tensors `{name}/..`.
    pub fn case(&self, name: &str) -> Case<'_> {
        Case { goldens: self, name: format!("{name}/") }
    }

    /// All tensors, by their whole names.
    pub fn root(&self) -> Case<'_> {
        Case { goldens: self, name: String::new() }
    }
}

/// Tensors that share the first part of their names.
pub struct Case<'a> {
    goldens: &'a Goldens,
    /// The shared part, with its closing slash.
    pub name: String,
}

impl Case<'_> {
    pub fn find(&self, name: &str) -> Option<&Tensor> {
        self.goldens.all.get(&format!("{}{name}", self.name))
    }

    pub fn tensor(&self, name: &str) -> &Tensor {
        self.find(name).unwrap_or_else(|| panic!("{} lacks {}{name}", self.goldens.file, self.name))
    }

    /// A scalar.
    pub fn number(&self, name: &str) -> f64 {
        self.tensor(name).double_value(&[])
    }

    /// A scalar that counts.
    pub fn count(&self, name: &str) -> usize {
        usize::try_from(self.tensor(name).int64_value(&[])).expect("a count is not negative")
    }

    /// Names that begin with `start`, without it.
    pub fn names(&self, start: &str) -> Vec<&str> {
        let start = format!("{}{start}", self.name);
        self.goldens.all.keys().filter_map(|name| name.strip_prefix(&start)).collect()
    }

    /// Holds `got` to the golden `name`.
    pub fn check(&self, name: &str, got: &Tensor, tolerance: f64) {
        close(&format!("{}{name}", self.name), got, self.tensor(name), tolerance);
    }
}

/// Fails unless the norm of the difference is within `tolerance` of the golden's norm (absolute where that is zero).
pub fn close(what: &str, got: &Tensor, want: &Tensor, tolerance: f64) {
    assert_eq!(got.size(), want.size(), "{what}: shape");
    let (got, want) = (got.detach().to_kind(Kind::Double), want.to_kind(Kind::Double));
    let (distance, length) = ((got - &want).norm().double_value(&[]), want.norm().double_value(&[]));
    let relative = if length > 0.0 { distance / length } else { distance };
    // Not `>`: a NaN must fail.
    assert!(relative <= tolerance, "{what}: relative difference {relative:.3e}, allowed {tolerance:.0e}");
}
