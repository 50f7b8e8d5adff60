//! Pickles as data: parses the fixed set of opcodes that CIFAR's Python batches consist of, and never runs anything.
//!
//! The published batches are protocol 2 of Python 2; what Python 3 writes for the same dictionaries (protocols 2 to 4) is read
//! too. `GLOBAL`, `REDUCE` and `BUILD`, which make an unpickler import and call, only make a [`Value::Call`] that records what was
//! to be called on what; [`Pickle::bytes`] and [`Pickle::array`] know the three calls that numpy and bytes need and ignore all others.
//! Values live in an arena and refer to each other by index, so hostile cycles cannot recurse. Source: CPython `Lib/pickletools.py`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

/// CIFAR-100's training batch has about 200,000 values.
const MAX_VALUES: usize = 4_000_000;

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
}

/// A parsed pickle.
#[derive(Debug)]
pub struct Pickle<'a> {
    input: &'a [u8],
    values: Vec<Value>,
    root: Id,
}

impl<'a> Pickle<'a> {
    /// Parses `input` up to its `STOP`.
    ///
    /// # Errors
    /// [`PickleError`] for any other opcode, a stack that does not fit, an end before `STOP`, too many values.
    pub fn parse(input: &'a [u8]) -> Result<Self, PickleError> {
        let mut machine =
            Machine { input, at: 0, values: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() };
        loop {
            let start = machine.at;
            match machine.step() {
                Ok(None) => {}
                Ok(Some(root)) => return Ok(Self { input, values: machine.values, root }),
                Err(what) => return Err(PickleError { offset: start, what }),
            }
        }
    }

    /// The entry `key` of the outermost dictionary; a key of text or bytes.
    pub fn get(&self, key: &str) -> Option<Id> {
        let Value::Dict(entries) = self.values.get(self.root)? else { return None };
        entries
            .iter()
            .find(|(name, _)| self.bytes(*name).is_some_and(|name| *name == *key.as_bytes()))
            .map(|&(_, id)| id)
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
                let text = self.bytes(*self.list(*arguments)?.first()?)?;
                let text = std::str::from_utf8(&text).ok()?;
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

/// The pickle machine: a stack of values with marks, and a memo.
struct Machine<'a> {
    input: &'a [u8],
    at: usize,
    values: Vec<Value>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
}

type Step<T> = Result<T, String>;

impl Machine<'_> {
    /// Executes one opcode; the value of the whole pickle at `STOP`.
    fn step(&mut self) -> Step<Option<Id>> {
        let opcode = self.byte()?;
        match opcode {
            0x80 => self.protocol()?,
            0x95 => drop(self.number(8)?), // FRAME: its length is a hint
            b'.' => return self.pop().map(Some),
            b'(' => self.marks.push(self.stack.len()),
            b'N' => self.push(Value::None)?,
            0x88 => self.push(Value::Bool(true))?,
            0x89 => self.push(Value::Bool(false))?,
            b'K' => self.push_number(1)?,
            b'M' => self.push_number(2)?,
            b'J' => {
                let value = self.number(4)? as u32 as i32;
                self.push(Value::Int(value.into()))?;
            }
            b'U' | b'C' => self.push_string(1, Value::Bytes)?, // SHORT_BINSTRING, SHORT_BINBYTES
            b'T' | b'B' => self.push_string(4, Value::Bytes)?, // BINSTRING, BINBYTES
            0x8e => self.push_string(8, Value::Bytes)?,        // BINBYTES8
            0x8c => self.push_string(1, Value::Text)?,         // SHORT_BINUNICODE
            b'X' => self.push_string(4, Value::Text)?,         // BINUNICODE
            b']' | b')' => self.push(Value::List(Vec::new()))?,
            b'}' => self.push(Value::Dict(Vec::new()))?,
            b't' => {
                let items = self.pop_mark()?;
                self.push(Value::List(items))?;
            }
            0x85..=0x87 => {
                let items = self.pop_many(usize::from(opcode - 0x84))?;
                self.push(Value::List(items))?;
            }
            b'a' => {
                let item = self.pop()?;
                self.extend_list(vec![item])?;
            }
            b'e' => {
                let items = self.pop_mark()?;
                self.extend_list(items)?;
            }
            b's' => {
                let entry = self.pop_many(2)?;
                self.extend_dict(&entry)?;
            }
            b'u' => {
                let entries = self.pop_mark()?;
                self.extend_dict(&entries)?;
            }
            b'q' => self.memorise(1)?,
            b'r' => self.memorise(4)?,
            0x94 => drop(self.memo.insert(self.memo.len() as u64, self.top()?)),
            b'h' => self.recall(1)?,
            b'j' => self.recall(4)?,
            b'c' => {
                let name = format!("{} {}", self.line()?, self.line()?);
                self.push(Value::Global(name))?;
            }
            0x93 => self.stack_global()?,
            b'R' => {
                let arguments = self.pop()?;
                let callable = self.pop()?;
                self.push(Value::Call { callable, arguments, state: None })?;
            }
            b'b' => self.build()?,
            other => return Err(format!("opcode 0x{other:02x} is not one of those CIFAR batches use")),
        }
        Ok(None)
    }

    fn protocol(&mut self) -> Step<()> {
        match self.byte()? {
            2..=4 => Ok(()),
            other => Err(format!("pickle protocol {other}, not 2 to 4")),
        }
    }

    fn stack_global(&mut self) -> Step<()> {
        let names = self.pop_many(2)?;
        let text = |id: &Id| match self.values.get(*id) {
            Some(Value::Text(range)) => Ok(String::from_utf8_lossy(&self.input[range.clone()])),
            _ => Err("a global without a name".to_owned()),
        };
        let name = names.iter().map(text).collect::<Step<Vec<_>>>()?.join(" ");
        self.push(Value::Global(name))
    }

    fn build(&mut self) -> Step<()> {
        let new = self.pop()?;
        let top = self.top()?;
        match self.values.get_mut(top) {
            Some(Value::Call { state, .. }) => {
                *state = Some(new);
                Ok(())
            }
            _ => Err("a state for something that is no object".to_owned()),
        }
    }

    fn extend_list(&mut self, items: Vec<Id>) -> Step<()> {
        let top = self.top()?;
        match self.values.get_mut(top) {
            Some(Value::List(list)) => {
                list.extend(items);
                Ok(())
            }
            _ => Err("items for something that is no list".to_owned()),
        }
    }

    fn extend_dict(&mut self, entries: &[Id]) -> Step<()> {
        let top = self.top()?;
        match (self.values.get_mut(top), entries.as_chunks::<2>()) {
            (Some(Value::Dict(dict)), (pairs, [])) => {
                dict.extend(pairs.iter().map(|&[key, value]| (key, value)));
                Ok(())
            }
            _ => Err("entries for something that is no dictionary".to_owned()),
        }
    }

    fn memorise(&mut self, bytes: usize) -> Step<()> {
        let key = self.number(bytes)?;
        let top = self.top()?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, bytes: usize) -> Step<()> {
        let key = self.number(bytes)?;
        let id = *self.memo.get(&key).ok_or_else(|| format!("memo {key} is not set"))?;
        self.stack.push(id);
        Ok(())
    }

    fn push_number(&mut self, bytes: usize) -> Step<()> {
        let value = self.number(bytes)?;
        self.push(Value::Int(value as i64))
    }

    fn push_string(&mut self, length_bytes: usize, make: fn(Range<usize>) -> Value) -> Step<()> {
        let length = self.number(length_bytes)?;
        let start = self.at;
        usize::try_from(length).ok().and_then(|length| self.take(length)).ok_or("the file ends inside a string")?;
        self.push(make(start..self.at))
    }

    fn push(&mut self, value: Value) -> Step<()> {
        if self.values.len() >= MAX_VALUES {
            return Err(format!("more than {MAX_VALUES} values"));
        }
        self.stack.push(self.values.len());
        self.values.push(value);
        Ok(())
    }

    /// The topmost value above the last mark.
    fn top(&self) -> Step<Id> {
        let floor = self.marks.last().copied().unwrap_or(0);
        self.stack.get(floor..).and_then(<[Id]>::last).copied().ok_or_else(|| "the stack is empty".to_owned())
    }

    fn pop(&mut self) -> Step<Id> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_many(&mut self, count: usize) -> Step<Vec<Id>> {
        let mut items = (0..count).map(|_| self.pop()).collect::<Step<Vec<Id>>>()?;
        items.reverse();
        Ok(items)
    }

    fn pop_mark(&mut self) -> Step<Vec<Id>> {
        let mark = self.marks.pop().ok_or("no mark on the stack")?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn byte(&mut self) -> Step<u8> {
        self.take(1).map(|bytes| bytes[0]).ok_or_else(|| "the file ends before the pickle does".to_owned())
    }

    /// A little-endian number of 1 to 8 bytes.
    fn number(&mut self, bytes: usize) -> Step<u64> {
        let taken = self.take(bytes).ok_or("the file ends inside a number")?;
        Ok(taken.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    fn line(&mut self) -> Step<String> {
        let rest = self.input.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|&byte| byte == b'\n').ok_or("the file ends inside a name")?;
        self.at += length + 1;
        Ok(String::from_utf8_lossy(&rest[..length]).into_owned())
    }

    fn take(&mut self, count: usize) -> Option<&[u8]> {
        let end = self.at.checked_add(count)?;
        let taken = self.input.get(self.at..end)?;
        self.at = end;
        Some(taken)
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
