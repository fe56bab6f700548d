//! W3C trace context: which trace a run belongs to, and what each child is told of it. Knows
//! nothing of spans.

use crate::id::NodeId;

/// The trace of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    run_id: String,
    id: String,
    flags: String,
    parent: Option<String>,
}

impl Trace {
    /// The trace that `traceparent`, the environment's `TRACEPARENT`, names; where there is none, or
    /// none that is valid, a new one for this run.
    pub fn from_env(traceparent: Option<&str>, run_id: &str) -> Self {
        let run_id = run_id.to_owned();
        if let Some((id, parent, flags)) = traceparent.and_then(parse) {
            let (id, flags) = (id.to_owned(), flags.to_owned());
            return Self { run_id, id, flags, parent: Some(parent.to_owned()) };
        }
        let id = derive(&[b"trace", run_id.as_bytes()], 32);
        Self { run_id, id, flags: "01".to_owned(), parent: None }
    }

    /// The id of the trace: 32 hexadecimal digits.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The span of the caller, if the run was started within a trace: 16 hexadecimal digits.
    pub fn parent(&self) -> Option<&str> {
        self.parent.as_deref()
    }

    /// The `TRACEPARENT` of one attempt of a future; attempts count from 1. Every attempt of a run
    /// has a span id of its own, and always the same one.
    pub fn of_attempt(&self, node: NodeId, attempt: u32) -> String {
        let (node, attempt) = (node.0.to_le_bytes(), attempt.to_le_bytes());
        self.line(&derive(&[b"attempt", self.run_id.as_bytes(), &node, &attempt], 16))
    }

    /// The `TRACEPARENT` of a callback, by the key it was started under.
    pub fn of_callback(&self, key: u64) -> String {
        self.line(&derive(&[b"callback", self.run_id.as_bytes(), &key.to_le_bytes()], 16))
    }

    fn line(&self, span: &str) -> String {
        format!("00-{}-{span}-{}", self.id, self.flags)
    }
}

/// Trace id, parent id and flags of a valid line. A later version than 00 may have more fields.
fn parse(line: &str) -> Option<(&str, &str, &str)> {
    let mut fields = line.trim().split('-');
    let version = fields.next()?;
    let (id, parent, flags) = (fields.next()?, fields.next()?, fields.next()?);
    let more = fields.next().is_some();
    let valid = is_hex(version, 2)
        && version != "ff"
        && !(version == "00" && more)
        && is_hex(id, 32)
        && is_hex(parent, 16)
        && is_hex(flags, 2)
        && id.bytes().any(|digit| digit != b'0')
        && parent.bytes().any(|digit| digit != b'0');
    valid.then_some((id, parent, flags))
}

fn is_hex(text: &str, len: usize) -> bool {
    text.len() == len && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// So many hexadecimal digits that depend on all parts. That all are zero, which would not be valid,
/// does not happen.
fn derive(parts: &[&[u8]], digits: usize) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().to_hex()[..digits].to_owned()
}
