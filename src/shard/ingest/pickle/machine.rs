//! The stack machine that a pickle is a program for, cut down to making values.

use std::collections::HashMap;
use std::ops::Range;

use super::{Id, PickleError, Value};

/// CIFAR-100's training batch has about 200,000 values.
const MAX_VALUES: usize = 4_000_000;

/// The pickle machine: a stack of values with marks, and a memo.
pub(super) struct Machine<'a> {
    input: &'a [u8],
    at: usize,
    values: Vec<Value>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
}

type Step<T> = Result<T, String>;

impl<'a> Machine<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self { input, at: 0, values: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() }
    }

    /// Executes up to `STOP`: all values, which of them the pickle is, and where it ends.
    pub(super) fn run(mut self) -> Result<(Vec<Value>, Id, usize), PickleError> {
        loop {
            let start = self.at;
            match self.step() {
                Ok(None) => {}
                Ok(Some(root)) => return Ok((self.values, root, self.at)),
                Err(what) => return Err(PickleError { offset: start, what }),
            }
        }
    }

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
            0x8a => self.push_long()?,
            b'G' => {
                // BINFLOAT: nothing that is read here is a float.
                self.number(8)?;
                self.push(Value::None)?;
            }
            b'U' | b'C' => self.push_string(1, Value::Bytes)?, // SHORT_BINSTRING, SHORT_BINBYTES
            b'T' | b'B' => self.push_string(4, Value::Bytes)?, // BINSTRING, BINBYTES
            0x8e => self.push_string(8, Value::Bytes)?,        // BINBYTES8
            0x8c => self.push_string(1, Value::Text)?,         // SHORT_BINUNICODE
            b'X' => self.push_string(4, Value::Text)?,         // BINUNICODE
            0x8d => self.push_string(8, Value::Text)?,         // BINUNICODE8
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
            b'R' | 0x81 => self.call()?, // REDUCE, NEWOBJ
            b'b' => self.build()?,
            b'Q' => {
                let id = self.pop()?;
                self.push(Value::Persistent(id))?;
            }
            other => return Err(format!("opcode 0x{other:02x} is not one of those that data needs")),
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

    /// Records a call. An `OrderedDict` that starts empty is a dictionary like any other.
    fn call(&mut self) -> Step<()> {
        let arguments = self.pop()?;
        let callable = self.pop()?;
        let ordered =
            matches!(self.values.get(callable), Some(Value::Global(name)) if name == "collections OrderedDict");
        let empty = matches!(self.values.get(arguments), Some(Value::List(items)) if items.is_empty());
        if ordered && empty {
            return self.push(Value::Dict(Vec::new()));
        }
        self.push(Value::Call { callable, arguments, state: None })
    }

    fn build(&mut self) -> Step<()> {
        let new = self.pop()?;
        let top = self.top()?;
        match self.values.get_mut(top) {
            Some(Value::Call { state, .. }) => {
                *state = Some(new);
                Ok(())
            }
            // Attributes of an `OrderedDict`: PyTorch keeps versions of modules there.
            Some(Value::Dict(_)) => Ok(()),
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
            Some(Value::Call { .. }) => Ok(()), // items of an object that is not made
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
            (Some(Value::Call { .. }), _) => Ok(()), // entries of an object that is not made
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

    /// LONG1: up to 255 bytes, signed; one that does not fit 64 bits carries no data here.
    fn push_long(&mut self) -> Step<()> {
        let count = usize::from(self.byte()?);
        let bytes = self.take(count).ok_or("the file ends inside a number")?;
        let fill = if bytes.last().is_some_and(|&high| high >= 0x80) { 0xff } else { 0 };
        let mut wide = [fill; 8];
        let value = match wide.get_mut(..count) {
            Some(low) => {
                low.copy_from_slice(bytes);
                Value::Int(i64::from_le_bytes(wide))
            }
            None => Value::None,
        };
        self.push(value)
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
