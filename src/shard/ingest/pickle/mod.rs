//! Pickles as data: parses the fixed set of opcodes that CIFAR's Python batches and PyTorch's files of weights consist of, and never
//! runs anything.
//!
//! The published batches are protocol 2 of Python 2; what Python 3 writes for the same dictionaries (protocols 2 to 4) is read
//! too. `GLOBAL`, `REDUCE` and `BUILD`, which make an unpickler import and call, only make a [`Value::Call`] that records what was
//! to be called on what; [`Pickle::bytes`] and [`Pickle::array`] know the three calls that numpy and bytes need and ignore all others.
//! Values live in an arena and refer to each other by index, so hostile cycles cannot recurse. Source: CPython `Lib/pickletools.py`.

mod machine;

use std::borrow::Cow;
use std::ops::Range;

use machine::Machine;

/// Index of a value in its [`Pickle`].
pub type Id = usize;

/// Something that is no pickle of the kind read here.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("offset {offset}: {what}")]
pub struct PickleError {
    /// Byte offset in the pickle.
    pub offset: usize,
    /// What is wrong.
    pub what: String,
}

/// A parsed value; strings are ranges of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `None`, and whatever else carries no data here.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A byte string.
    Bytes(Range<usize>),
    /// A text string (UTF-8).
    Text(Range<usize>),
    /// A list or tuple.
    List(Vec<Id>),
    /// A dictionary, in order of insertion.
    Dict(Vec<(Id, Id)>),
    /// An importable name, `module name`.
    Global(String),
    /// A call that was *not* made.
    Call {
        /// The callable.
        callable: Id,
        /// Its argument tuple.
        arguments: Id,
        /// What `BUILD` would have handed to `__setstate__`.
        state: Option<Id>,
    },
    /// Something that lies outside the pickle, by what names it.
    Persistent(Id),
}

/// A parsed pickle.
#[derive(Debug)]
pub struct Pickle<'a> {
    input: &'a [u8],
    values: Vec<Value>,
    root: Id,
    end: usize,
}

impl<'a> Pickle<'a> {
    /// Parses `input` up to its `STOP`.
    ///
    /// # Errors
    /// [`PickleError`] for any other opcode, a stack that does not fit, an end before `STOP`, too many values.
    pub fn parse(input: &'a [u8]) -> Result<Self, PickleError> {
        let (values, root, end) = Machine::new(input).run()?;
        Ok(Self { input, values, root, end })
    }

    /// The value of the whole pickle.
    pub fn root(&self) -> Id {
        self.root
    }

    /// Bytes of the pickle; what follows its `STOP` belongs to others.
    pub fn end(&self) -> usize {
        self.end
    }

    /// The entry `key` of the outermost dictionary; a key of text or bytes.
    pub fn get(&self, key: &str) -> Option<Id> {
        self.entries(self.root)?
            .iter()
            .find(|(name, _)| self.bytes(*name).is_some_and(|name| *name == *key.as_bytes()))
            .map(|&(_, id)| id)
    }

    /// Every value, in the order they were made.
    pub fn ids(&self) -> std::ops::Range<Id> {
        0..self.values.len()
    }

    /// The entries of a dictionary.
    pub fn entries(&self, id: Id) -> Option<&[(Id, Id)]> {
        match self.values.get(id)? {
            Value::Dict(entries) => Some(entries),
            _ => None,
        }
    }

    /// An importable name, `module name`.
    pub fn global(&self, id: Id) -> Option<&str> {
        match self.values.get(id)? {
            Value::Global(name) => Some(name),
            _ => None,
        }
    }

    /// A call that was not made: the callable's name and its arguments.
    pub fn call(&self, id: Id) -> Option<(&str, &[Id])> {
        let Value::Call { callable, arguments, .. } = self.values.get(id)? else { return None };
        Some((self.global(*callable)?, self.list(*arguments)?))
    }

    /// The members of the tuple that names something outside the pickle.
    pub fn persistent(&self, id: Id) -> Option<&[Id]> {
        match self.values.get(id)? {
            Value::Persistent(name) => self.list(*name),
            _ => None,
        }
    }

    /// The members of a list or tuple.
    pub fn list(&self, id: Id) -> Option<&[Id]> {
        match self.values.get(id)? {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// An integer.
    pub fn int(&self, id: Id) -> Option<i64> {
        match self.values.get(id)? {
            Value::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// A string's bytes: text, bytes, or Python 3's protocol 2 form of bytes, `_codecs.encode(text, 'latin1')`.
    pub fn bytes(&self, id: Id) -> Option<Cow<'a, [u8]>> {
        match self.values.get(id)? {
            Value::Bytes(range) | Value::Text(range) => self.input.get(range.clone()).map(Cow::Borrowed),
            Value::Call { callable, arguments, .. } if self.is_global(*callable, &["_codecs encode"]) => {
                // A text, never a call again: a call among its own arguments would be followed without end.
                let Value::Text(range) = self.values.get(*self.list(*arguments)?.first()?)? else { return None };
                let text = std::str::from_utf8(self.input.get(range.clone())?).ok()?;
                text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect::<Option<Vec<u8>>>().map(Cow::Owned)
            }
            _ => None,
        }
    }

    /// A C-ordered numpy array of `u8`: shape and bytes, whose number is the shape's product.
    pub fn array(&self, id: Id) -> Option<(Vec<u64>, Cow<'a, [u8]>)> {
        let Value::Call { callable, state: Some(state), .. } = self.values.get(id)? else { return None };
        let reconstruct = ["numpy.core.multiarray _reconstruct", "numpy._core.multiarray _reconstruct"];
        let &[_version, shape, dtype, fortran, data] = self.list(*state)? else { return None };
        let c_order = self.values.get(fortran) == Some(&Value::Bool(false));
        if !self.is_global(*callable, &reconstruct) || !c_order || !self.is_u8(dtype) {
            return None;
        }
        let shape =
            self.list(shape)?.iter().map(|&side| u64::try_from(self.int(side)?).ok()).collect::<Option<Vec<u64>>>()?;
        let bytes = self.bytes(data)?;
        let count = shape.iter().try_fold(1u64, |product, &side| product.checked_mul(side))?;
        (count == bytes.len() as u64).then_some((shape, bytes))
    }

    fn is_u8(&self, id: Id) -> bool {
        let Some(Value::Call { callable, arguments, .. }) = self.values.get(id) else { return false };
        let name = self.list(*arguments).and_then(|arguments| self.bytes(*arguments.first()?));
        self.is_global(*callable, &["numpy dtype"]) && name.is_some_and(|name| *name == *b"u1")
    }

    fn is_global(&self, id: Id, names: &[&str]) -> bool {
        matches!(self.values.get(id), Some(Value::Global(name)) if names.contains(&name.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `pickle.dumps({b'data': 7}, protocol=2)` of Python 3 and its Python 2 counterpart read the same.
    #[test]
    fn keys_of_both_pythons() {
        let python2 = b"\x80\x02}q\x01U\x04dataK\x07s.";
        let python3 = b"\x80\x02}q\x00c_codecs\nencode\nq\x01X\x04\x00\x00\x00dataq\x02X\x06\x00\x00\x00latin1q\x03\x86q\x04Rq\x05K\x07s.";
        for input in [&python2[..], python3] {
            let pickle = Pickle::parse(input).unwrap();
            assert_eq!(pickle.get("data").and_then(|id| pickle.int(id)), Some(7));
            assert_eq!(pickle.get("labels"), None);
        }
    }

    #[test]
    fn every_cut_is_refused() {
        let input = b"\x80\x02}q\x01(U\x04data]q\x02(K\x01M\x02\x01J\xff\xff\xff\xffeX\x01\x00\x00\x00n\x89u.";
        let whole = Pickle::parse(input).unwrap();
        let list = whole.list(whole.get("data").unwrap()).unwrap();
        assert_eq!(list.iter().map(|&id| whole.int(id).unwrap()).collect::<Vec<_>>(), [1, 258, -1]);
        for cut in 0..input.len() {
            assert!(Pickle::parse(&input[..cut]).is_err(), "accepted a pickle cut to {cut} bytes");
        }
    }

    #[test]
    fn hostile_pickles_are_refused_or_inert() {
        for input in [&b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R."[..], b"\x80\x02]q\x00h\x00a."] {
            let inert = Pickle::parse(input).unwrap();
            assert_eq!((inert.get("data"), inert.array(inert.root)), (None, None));
        }
        // An `encode` whose argument is itself.
        let circle = Pickle::parse(b"\x80\x02]q\x00c_codecs\nencode\nh\x00Rq\x01\x85h\x00h\x01a.").unwrap();
        assert!(circle.ids().all(|id| circle.bytes(id).is_none()));
        for input in [
            &b"cos\nsystem\n(S'ls'\ntR."[..],
            b"\x80\x05N.",
            b"a.",
            b"u",
            b"s",
            b"e",
            b"b",
            b"R",
            b"h\x00",
            b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            assert!(Pickle::parse(input).is_err());
        }
    }
}
