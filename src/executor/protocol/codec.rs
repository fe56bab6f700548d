//! How the fields of a frame are written as bytes and read again. Knows nothing of messages.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::outcome::{Failure, FailureKind};
use crate::value::Value;
use crate::work::{Args, Call};

/// The longest frame, in bytes.
pub const MAX_FRAME: usize = 256 << 20;

/// How deep lists and tables may lie in each other.
pub const MAX_DEPTH: u32 = 128;

/// What is wrong with a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// Longer than [`MAX_FRAME`]: so many bytes.
    TooLong(usize),
    /// Deeper than [`MAX_DEPTH`].
    TooDeep,
    /// Not a frame of this protocol, for this reason.
    Malformed(&'static str),
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(len) => {
                write!(f, "a message of {len} bytes is longer than the {MAX_FRAME} allowed")
            }
            Self::TooDeep => {
                write!(f, "lists and tables lie in each other deeper than {MAX_DEPTH}")
            }
            Self::Malformed(why) => write!(f, "a malformed message: {why}"),
        }
    }
}

impl std::error::Error for ProtocolError {}

/// A frame that is being written.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
}

impl<'a> Writer<'a> {
    /// Writes at the end of `out`.
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        let start = out.len();
        Self { out, start }
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    pub(super) fn byte(&mut self, byte: u8) {
        self.out.push(byte);
    }

    pub(super) fn number(&mut self, mut number: u128) {
        while number >= 0x80 {
            self.byte(number as u8 | 0x80);
            number >>= 7;
        }
        self.byte(number as u8);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.number(text.len() as u128);
        self.out.extend_from_slice(text.as_bytes());
    }

    pub(super) fn call(&mut self, call: &Call) -> Result<(), ProtocolError> {
        self.text(&call.function);
        self.byte(call.dir.is_some().into());
        if let Some(dir) = &call.dir {
            self.text(&dir.to_string_lossy());
        }
        match &call.args {
            Args::List(values) => {
                self.byte(0);
                self.list(values, 0)
            }
            Args::Named(entries) => {
                self.byte(1);
                self.map(entries, 0)
            }
        }
    }

    pub(super) fn failure(&mut self, failure: &Failure) {
        let kind = FailureKind::ALL.iter().position(|kind| *kind == failure.kind);
        self.byte(kind.unwrap_or_default() as u8);
        self.text(&failure.message);
    }

    pub(super) fn value(&mut self, value: &Value, depth: u32) -> Result<(), ProtocolError> {
        match value {
            Value::Null => self.byte(0),
            Value::Bool(value) => self.byte(1 + u8::from(*value)),
            Value::Int(value) => {
                self.byte(3);
                // Small numbers of either sign are short when the sign is the lowest bit.
                self.number(((value << 1) ^ (value >> 127)) as u128);
            }
            Value::Float(value) => {
                self.byte(4);
                self.out.extend_from_slice(&value.to_le_bytes());
            }
            Value::Str(text) => {
                self.byte(5);
                self.text(text);
            }
            Value::List(items) => {
                self.byte(6);
                self.list(items, depth + 1)?;
            }
            Value::Map(entries) => {
                self.byte(7);
                self.map(entries, depth + 1)?;
            }
        }
        Ok(())
    }

    fn list(&mut self, items: &[Value], depth: u32) -> Result<(), ProtocolError> {
        self.check(depth)?;
        self.number(items.len() as u128);
        items.iter().try_for_each(|item| self.value(item, depth))
    }

    fn map(&mut self, entries: &[(String, Value)], depth: u32) -> Result<(), ProtocolError> {
        self.check(depth)?;
        self.number(entries.len() as u128);
        entries.iter().try_for_each(|(name, value)| {
            self.text(name);
            self.value(value, depth)
        })
    }

    /// Ends early what is already too long.
    fn check(&self, depth: u32) -> Result<(), ProtocolError> {
        let len = self.out.len() - self.start;
        if len > MAX_FRAME {
            Err(ProtocolError::TooLong(len))
        } else if depth > MAX_DEPTH {
            Err(ProtocolError::TooDeep)
        } else {
            Ok(())
        }
    }
}

/// The fields of a frame that are still to be read.
#[derive(Debug)]
pub struct Fields<'a> {
    bytes: &'a [u8],
    depth: u32,
}

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, depth: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], ProtocolError> {
        let (taken, rest) = self
            .bytes
            .split_at_checked(len)
            .ok_or(ProtocolError::Malformed("it ends too early"))?;
        self.bytes = rest;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, ProtocolError> {
        self.take(1).map(|bytes| bytes[0])
    }

    pub(super) fn flag(&mut self) -> Result<bool, ProtocolError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(ProtocolError::Malformed("a flag that is neither 0 nor 1")),
        }
    }

    fn wide(&mut self) -> Result<u128, ProtocolError> {
        let mut number = 0;
        for shift in (0..128).step_by(7) {
            let byte = self.byte()?;
            let bits = u128::from(byte & 0x7f);
            if bits > u128::MAX >> shift {
                break;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(ProtocolError::Malformed("a number beyond 128 bits"))
    }

    pub(super) fn number<T: TryFrom<u128>>(&mut self) -> Result<T, ProtocolError> {
        T::try_from(self.wide()?).map_err(|_| ProtocolError::Malformed("a number out of range"))
    }

    pub(super) fn duration(&mut self) -> Result<Duration, ProtocolError> {
        self.number().map(Duration::from_nanos)
    }

    pub(super) fn text(&mut self) -> Result<String, ProtocolError> {
        let len = self.number()?;
        let text = std::str::from_utf8(self.take(len)?);
        text.map(str::to_owned).map_err(|_| ProtocolError::Malformed("text that is not UTF-8"))
    }

    /// The number of elements that follow, each of which takes at least a byte.
    fn count(&mut self) -> Result<usize, ProtocolError> {
        let count = self.number()?;
        if count > self.bytes.len() {
            return Err(ProtocolError::Malformed("a list that is longer than its frame"));
        }
        Ok(count)
    }

    pub(super) fn call(&mut self) -> Result<Call, ProtocolError> {
        let function = self.text()?.into();
        let dir = if self.flag()? { Some(PathBuf::from(self.text()?).into()) } else { None };
        let args =
            if self.flag()? { Args::Named(self.map()?) } else { Args::List(self.list()?.into()) };
        Ok(Call { function, args, dir })
    }

    pub(super) fn failure(&mut self) -> Result<Failure, ProtocolError> {
        let kind = FailureKind::ALL.get(usize::from(self.byte()?)).copied();
        let kind = kind.ok_or(ProtocolError::Malformed("an unknown kind of failure"))?;
        Ok(Failure { kind, message: self.text()? })
    }

    pub(super) fn value(&mut self) -> Result<Value, ProtocolError> {
        Ok(match self.byte()? {
            0 => Value::Null,
            1 => Value::Bool(false),
            2 => Value::Bool(true),
            3 => {
                let number = self.wide()?;
                Value::Int((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
            }
            4 => self.float()?,
            5 => Value::Str(self.text()?),
            6 => Value::List(self.deeper(Self::list)?),
            7 => Value::Map(self.deeper(Self::map)?),
            _ => return Err(ProtocolError::Malformed("an unknown kind of value")),
        })
    }

    fn float(&mut self) -> Result<Value, ProtocolError> {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(self.take(8)?);
        let value = f64::from_le_bytes(bytes);
        if value.is_finite() {
            Ok(Value::Float(value))
        } else {
            Err(ProtocolError::Malformed("a number that is not finite"))
        }
    }

    fn deeper<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, ProtocolError>,
    ) -> Result<T, ProtocolError> {
        if self.depth == MAX_DEPTH {
            return Err(ProtocolError::TooDeep);
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    fn list(&mut self) -> Result<Vec<Value>, ProtocolError> {
        let count = self.count()?;
        let mut items = Vec::with_capacity(count.min(1024));
        for _ in 0..count {
            items.push(self.value()?);
        }
        Ok(items)
    }

    fn map(&mut self) -> Result<Vec<(String, Value)>, ProtocolError> {
        let count = self.count()?;
        let mut entries = Vec::with_capacity(count.min(1024));
        for _ in 0..count {
            entries.push((self.text()?, self.value()?));
        }
        Ok(entries)
    }
}
