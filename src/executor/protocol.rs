//! The frames that the runner and a worker process exchange, over any two streams of bytes. Knows
//! nothing of processes: the worker may be on another machine.
//!
//! A frame is the length of what follows the length (4 bytes, little endian), its kind (1 byte), and
//! its fields in order. Whole numbers are written seven bits a byte, the lowest first; text and
//! lists after their length. The first frame each way is a `Hello`. Whatever the bytes, decoding
//! ends in a message or an error, and allocates no more than a small multiple of what has arrived.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use crate::outcome::{Failure, FailureKind};
use crate::value::Value;
use crate::work::{Args, Call};

/// Changes whenever a frame changes.
pub const VERSION: u32 = 1;

/// The longest frame, in bytes.
pub const MAX_FRAME: usize = 256 << 20;

/// How deep lists and tables may lie in each other.
pub const MAX_DEPTH: u32 = 128;

const MAGIC: &[u8] = b"jobrun worker";

/// What the runner says to a worker.
#[derive(Clone, Debug, PartialEq)]
pub enum ToWorker<'a> {
    /// The first frame.
    Hello {
        /// Who speaks.
        hello: Hello,
        /// The folder that relative paths start from.
        dir: Cow<'a, str>,
    },
    /// Asks for this call before any other, and for a [`FromWorker::Ready`].
    Initialize(Cow<'a, Call>),
    /// Asks for a call. Calls are made in the order they come.
    Call {
        /// Names this call in all that is said of it.
        id: u64,
        /// Whether other calls may be sent before this one is done. The worker then listens while
        /// it works.
        ahead: bool,
        /// Whether a [`FromWorker::Started`] is wanted.
        announce: bool,
        /// The name of the future.
        future: Cow<'a, str>,
        /// Its attempt.
        attempt: u32,
        /// The number of the worker.
        worker: u32,
        /// What to call.
        call: Cow<'a, Call>,
    },
    /// Takes a call back, if it has not started.
    Recall {
        /// The call.
        id: u64,
    },
}

/// What a worker says to the runner.
#[derive(Clone, Debug, PartialEq)]
pub enum FromWorker {
    /// The first frame.
    Hello(Hello),
    /// The initializer ended, perhaps with a failure.
    Ready(Option<Failure>),
    /// A call began.
    Started {
        /// The call.
        id: u64,
        /// When, by the clock of the worker.
        at: Duration,
    },
    /// A call ended.
    Done {
        /// The call.
        id: u64,
        /// When it began, by the clock of the worker.
        started: Duration,
        /// When it ended.
        ended: Duration,
        /// How it ended.
        result: Result<Value, Failure>,
    },
    /// A call was taken back before it began.
    Recalled {
        /// The call.
        id: u64,
    },
}

/// Who speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The [version](VERSION) of the protocol.
    pub protocol: u32,
    /// The version of jobrun.
    pub version: String,
    /// The run; a worker repeats what it was told.
    pub run_id: String,
}

impl Hello {
    /// What this program says of itself.
    pub fn new(run_id: &str) -> Self {
        Self {
            protocol: VERSION,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            run_id: run_id.to_owned(),
        }
    }
}

/// What can be sent as a frame.
pub trait Message: Sized {
    /// Appends the frame to `out`; on an error `out` is as it was.
    ///
    /// # Errors
    /// If it would be longer than [`MAX_FRAME`] or deeper than [`MAX_DEPTH`].
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), ProtocolError> {
        let start = out.len();
        out.extend([0; 4]);
        let result = self.write(&mut Writer { out, start }).and_then(|()| {
            let len = out.len() - start - 4;
            if len > MAX_FRAME {
                return Err(ProtocolError::TooLong(len));
            }
            out[start..start + 4].copy_from_slice(&(len as u32).to_le_bytes());
            Ok(())
        });
        if result.is_err() {
            out.truncate(start);
        }
        result
    }

    /// Writes the kind and the fields.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    fn write(&self, out: &mut Writer<'_>) -> Result<(), ProtocolError>;

    /// Reads the fields of a frame of this kind.
    ///
    /// # Errors
    /// If they are not such fields.
    fn read(kind: u8, fields: &mut Fields<'_>) -> Result<Self, ProtocolError>;
}

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

/// Cuts a stream of bytes into messages.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
    /// Where the first frame that was not given yet starts.
    at: usize,
}

impl Decoder {
    /// Takes bytes as they come, cut anywhere.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.at > 0 {
            self.bytes.drain(..self.at);
            self.at = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next message, if it is there as a whole.
    ///
    /// # Errors
    /// If the bytes are no message; nothing after them can then be trusted.
    pub fn next<M: Message>(&mut self) -> Result<Option<M>, ProtocolError> {
        let rest = &self.bytes[self.at..];
        let Some((head, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
        let len = u32::from_le_bytes(*head) as usize;
        if len > MAX_FRAME {
            return Err(ProtocolError::TooLong(len));
        }
        let Some(frame) = rest.get(..len) else { return Ok(None) };
        let (&kind, fields) = frame.split_first().ok_or(ProtocolError::Malformed("it is empty"))?;
        let mut fields = Fields { bytes: fields, depth: 0 };
        let message = M::read(kind, &mut fields)?;
        if !fields.bytes.is_empty() {
            return Err(ProtocolError::Malformed("it has bytes too many"));
        }
        self.at += 4 + len;
        Ok(Some(message))
    }

    /// Whether part of a message is there.
    pub fn is_halfway(&self) -> bool {
        self.at < self.bytes.len()
    }
}

impl Message for ToWorker<'_> {
    fn write(&self, out: &mut Writer<'_>) -> Result<(), ProtocolError> {
        match self {
            Self::Hello { hello, dir } => {
                out.byte(1);
                out.hello(hello);
                out.text(dir);
                Ok(())
            }
            Self::Initialize(call) => {
                out.byte(2);
                out.call(call)
            }
            Self::Call { id, ahead, announce, future, attempt, worker, call } => {
                out.byte(3);
                out.number((*id).into());
                out.byte(u8::from(*ahead) | u8::from(*announce) << 1);
                out.text(future);
                out.number((*attempt).into());
                out.number((*worker).into());
                out.call(call)
            }
            Self::Recall { id } => {
                out.byte(4);
                out.number((*id).into());
                Ok(())
            }
        }
    }

    fn read(kind: u8, fields: &mut Fields<'_>) -> Result<Self, ProtocolError> {
        Ok(match kind {
            1 => Self::Hello { hello: fields.hello()?, dir: fields.text()?.into() },
            2 => Self::Initialize(Cow::Owned(fields.call()?)),
            3 => {
                let id = fields.number()?;
                let flags = fields.byte()?;
                if flags > 3 {
                    return Err(ProtocolError::Malformed("an unknown flag"));
                }
                Self::Call {
                    id,
                    ahead: flags & 1 != 0,
                    announce: flags & 2 != 0,
                    future: fields.text()?.into(),
                    attempt: fields.number()?,
                    worker: fields.number()?,
                    call: Cow::Owned(fields.call()?),
                }
            }
            4 => Self::Recall { id: fields.number()? },
            _ => return Err(ProtocolError::Malformed("an unknown kind")),
        })
    }
}

impl Message for FromWorker {
    fn write(&self, out: &mut Writer<'_>) -> Result<(), ProtocolError> {
        match self {
            Self::Hello(hello) => {
                out.byte(101);
                out.hello(hello);
            }
            Self::Ready(failure) => {
                out.byte(102);
                out.byte(failure.is_some().into());
                if let Some(failure) = failure {
                    out.failure(failure);
                }
            }
            Self::Started { id, at } => {
                out.byte(103);
                out.number((*id).into());
                out.number(at.as_nanos());
            }
            Self::Done { id, started, ended, result } => {
                out.byte(104);
                out.number((*id).into());
                out.number(started.as_nanos());
                out.number(ended.as_nanos());
                out.byte(result.is_ok().into());
                match result {
                    Ok(value) => out.value(value, 0)?,
                    Err(failure) => out.failure(failure),
                }
            }
            Self::Recalled { id } => {
                out.byte(105);
                out.number((*id).into());
            }
        }
        Ok(())
    }

    fn read(kind: u8, fields: &mut Fields<'_>) -> Result<Self, ProtocolError> {
        Ok(match kind {
            101 => Self::Hello(fields.hello()?),
            102 => Self::Ready(if fields.flag()? { Some(fields.failure()?) } else { None }),
            103 => Self::Started { id: fields.number()?, at: fields.duration()? },
            104 => Self::Done {
                id: fields.number()?,
                started: fields.duration()?,
                ended: fields.duration()?,
                result: if fields.flag()? { Ok(fields.value()?) } else { Err(fields.failure()?) },
            },
            105 => Self::Recalled { id: fields.number()? },
            _ => return Err(ProtocolError::Malformed("an unknown kind")),
        })
    }
}

/// A frame that is being written.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
}

impl Writer<'_> {
    fn byte(&mut self, byte: u8) {
        self.out.push(byte);
    }

    fn number(&mut self, mut number: u128) {
        while number >= 0x80 {
            self.byte(number as u8 | 0x80);
            number >>= 7;
        }
        self.byte(number as u8);
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u128);
        self.out.extend_from_slice(text.as_bytes());
    }

    fn hello(&mut self, hello: &Hello) {
        self.out.extend_from_slice(MAGIC);
        self.number(hello.protocol.into());
        self.text(&hello.version);
        self.text(&hello.run_id);
    }

    fn call(&mut self, call: &Call) -> Result<(), ProtocolError> {
        self.text(&call.function);
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

    fn failure(&mut self, failure: &Failure) {
        let kind = FailureKind::ALL.iter().position(|kind| *kind == failure.kind);
        self.byte(kind.unwrap_or_default() as u8);
        self.text(&failure.message);
    }

    fn value(&mut self, value: &Value, depth: u32) -> Result<(), ProtocolError> {
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
    fn take(&mut self, len: usize) -> Result<&'a [u8], ProtocolError> {
        let (taken, rest) = self
            .bytes
            .split_at_checked(len)
            .ok_or(ProtocolError::Malformed("it ends too early"))?;
        self.bytes = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, ProtocolError> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn flag(&mut self) -> Result<bool, ProtocolError> {
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

    fn number<T: TryFrom<u128>>(&mut self) -> Result<T, ProtocolError> {
        T::try_from(self.wide()?).map_err(|_| ProtocolError::Malformed("a number out of range"))
    }

    fn duration(&mut self) -> Result<Duration, ProtocolError> {
        self.number().map(Duration::from_nanos)
    }

    fn text(&mut self) -> Result<String, ProtocolError> {
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

    fn hello(&mut self) -> Result<Hello, ProtocolError> {
        if self.take(MAGIC.len())? != MAGIC {
            return Err(ProtocolError::Malformed("no jobrun worker speaks"));
        }
        Ok(Hello { protocol: self.number()?, version: self.text()?, run_id: self.text()? })
    }

    fn call(&mut self) -> Result<Call, ProtocolError> {
        let function = self.text()?.into();
        let args = if self.flag()? { Args::Named(self.map()?) } else { Args::List(self.list()?) };
        Ok(Call { function, args })
    }

    fn failure(&mut self) -> Result<Failure, ProtocolError> {
        let kind = FailureKind::ALL.get(usize::from(self.byte()?)).copied();
        let kind = kind.ok_or(ProtocolError::Malformed("an unknown kind of failure"))?;
        Ok(Failure { kind, message: self.text()? })
    }

    fn value(&mut self) -> Result<Value, ProtocolError> {
        Ok(match self.byte()? {
            0 => Value::Null,
            1 => Value::Bool(false),
            2 => Value::Bool(true),
            3 => {
                let number = self.wide()?;
                Value::Int((number >> 1) as i128 ^ -((number & 1) as i128))
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
