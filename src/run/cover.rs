//! The border that everything crosses which a run is told from outside: beyond it secrets are covered,
//! so that no observer ever sees one. Knows nothing of observers.

use std::collections::HashMap;
use std::sync::Arc;

use crate::event::Event;
use crate::id::NodeId;
use crate::mask::{self, Masker};
use crate::outcome::{Captured, Failure, Outcome, Stream};
use crate::value::Value;
use crate::work::{Done, Notice};

/// Covers the secrets in what comes in.
#[derive(Debug, Default)]
pub struct Cover {
    masker: Masker,
    /// What running futures write, each stream of its own.
    streams: HashMap<(NodeId, Stream), mask::Stream>,
}

impl Cover {
    /// Covers what `masker` does.
    pub fn new(masker: Masker) -> Self {
        Self { masker, streams: HashMap::new() }
    }

    /// A notice, with every text in it covered. A result stays as it is, for other tasks may need it;
    /// see [`result`](Self::result).
    pub fn notice(&mut self, notice: Notice) -> Notice {
        if self.masker.is_none() {
            return notice;
        }
        match notice {
            Notice::Output { node, stream, bytes } => {
                let bytes = self.output(node, stream, &bytes);
                Notice::Output { node, stream, bytes }
            }
            Notice::Ended(done) => Notice::Ended(self.done(done)),
            Notice::Broken { executor, message } => {
                Notice::Broken { executor, message: self.masker.owned(message) }
            }
            Notice::Warning(message) => Notice::Warning(self.masker.owned(message)),
            Notice::Callback { key, error, elapsed } => {
                let error = error.map(|error| self.masker.owned(error));
                Notice::Callback { key, error, elapsed }
            }
            Notice::Started { .. }
            | Notice::Recalled { .. }
            | Notice::Permit { .. }
            | Notice::Token { .. }
            | Notice::Turn
            | Notice::Cramped
            | Notice::Collapsed { .. }
            | Notice::Signal(_)
            | Notice::GoesOn => notice,
        }
    }

    /// A result to be shown in the place of `result`, if it has a secret.
    pub fn result(&self, result: &Value) -> Option<Value> {
        self.masker.value(result)
    }

    /// A failure that the run has found itself.
    pub fn failure(&self, failure: Failure) -> Failure {
        Failure { kind: failure.kind, message: self.masker.owned(failure.message) }
    }

    /// Text that the run has made itself.
    pub fn text(&self, text: String) -> String {
        self.masker.owned(text)
    }

    /// What a future's streams hold back, when it has ended.
    #[inline]
    pub fn rest(&mut self, node: NodeId) -> Vec<Event> {
        if self.streams.is_empty() { Vec::new() } else { self.held_back(node) }
    }

    fn held_back(&mut self, node: NodeId) -> Vec<Event> {
        let streams = [Stream::Stdout, Stream::Stderr].into_iter();
        let ended = streams
            .filter_map(|stream| Some((stream, self.streams.remove(&(node, stream))?.finish())));
        ended.filter_map(|(stream, rest)| output(node, stream, rest)).collect()
    }

    fn output(&mut self, node: NodeId, stream: Stream, bytes: &[u8]) -> Arc<[u8]> {
        let new = || self.masker.stream();
        self.streams.entry((node, stream)).or_insert_with(new).push(bytes).into()
    }

    fn done(&self, mut done: Done) -> Done {
        done.outcome = match done.outcome {
            Outcome::Failed(failure) => Outcome::Failed(self.failure(failure)),
            Outcome::TimedOut(failure) => Outcome::TimedOut(self.failure(failure)),
            other @ (Outcome::Succeeded(_) | Outcome::Cancelled) => other,
        };
        if let Some(child) = &mut done.child {
            self.captured(&mut child.stdout);
            self.captured(&mut child.stderr);
        }
        done
    }

    /// What is in a file was covered on its way there, and so were its ends.
    fn captured(&self, captured: &mut Captured) {
        if captured.path.is_none() && captured.lost.is_none() {
            captured.kept = self.masker.bytes(&captured.kept).into_owned();
        }
    }
}

fn output(node: NodeId, stream: Stream, bytes: Vec<u8>) -> Option<Event> {
    (!bytes.is_empty()).then(|| Event::Output { node, stream, bytes: bytes.into() })
}
