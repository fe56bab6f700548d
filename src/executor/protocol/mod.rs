//! The frames that the runner and a worker process exchange, over any two streams of bytes. Knows
//! nothing of processes: the worker may be on another machine.
//!
//! A frame is the length of what follows the length (4 bytes, little endian), its kind (1 byte), and
//! its fields in order. Whole numbers are written seven bits a byte, the lowest first; text and
//! lists after their length. The first frame each way is a `Hello`. Whatever the bytes, decoding
//! ends in a message or an error, and allocates no more than a small multiple of what has arrived.

mod codec;

use std::borrow::Cow;
use std::time::Duration;

pub use codec::{Fields, MAX_DEPTH, MAX_FRAME, ProtocolError, Writer};

use crate::outcome::Failure;
use crate::value::Value;
use crate::work::Call;

/// Changes whenever a frame changes.
pub const VERSION: u32 = 2;

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
        /// it works, and says [`FromWorker::Started`] before it begins, so that after its death it
        /// is known what it had begun.
        ahead: bool,
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
    /// A call that was sent ahead is about to begin.
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

    fn write(&self, out: &mut Writer<'_>) {
        out.bytes(MAGIC);
        out.number(self.protocol.into());
        out.text(&self.version);
        out.text(&self.run_id);
    }

    fn read(fields: &mut Fields<'_>) -> Result<Self, ProtocolError> {
        if fields.take(MAGIC.len())? != MAGIC {
            return Err(ProtocolError::Malformed("no jobrun worker speaks"));
        }
        Ok(Self { protocol: fields.number()?, version: fields.text()?, run_id: fields.text()? })
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
        let result = self.write(&mut Writer::new(out)).and_then(|()| {
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
    pub fn next_message<M: Message>(&mut self) -> Result<Option<M>, ProtocolError> {
        let rest = &self.bytes[self.at..];
        let Some((head, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
        let len = u32::from_le_bytes(*head) as usize;
        if len > MAX_FRAME {
            return Err(ProtocolError::TooLong(len));
        }
        let Some(frame) = rest.get(..len) else { return Ok(None) };
        let (&kind, fields) = frame.split_first().ok_or(ProtocolError::Malformed("it is empty"))?;
        let mut fields = Fields::new(fields);
        let message = M::read(kind, &mut fields)?;
        if !fields.is_empty() {
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
                hello.write(out);
                out.text(dir);
                Ok(())
            }
            Self::Initialize(call) => {
                out.byte(2);
                out.call(call)
            }
            Self::Call { id, ahead, future, attempt, worker, call } => {
                out.byte(3);
                out.number((*id).into());
                out.byte(u8::from(*ahead));
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
            1 => Self::Hello { hello: Hello::read(fields)?, dir: fields.text()?.into() },
            2 => Self::Initialize(Cow::Owned(fields.call()?)),
            3 => Self::Call {
                id: fields.number()?,
                ahead: fields.flag()?,
                future: fields.text()?.into(),
                attempt: fields.number()?,
                worker: fields.number()?,
                call: Cow::Owned(fields.call()?),
            },
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
                hello.write(out);
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
            101 => Self::Hello(Hello::read(fields)?),
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
