//! Covers secrets in a stream. Holds back no more than what may be the beginning of a secret.

use std::borrow::Cow;

use super::{MASK, Masker, Secrets};

/// A stream on its way through a [`Masker`]. All that comes out, put together, is what the masker
/// makes of all that went in, wherever it was cut.
#[derive(Debug, Default)]
pub struct Stream {
    masker: Masker,
    /// What may be the beginning of a secret.
    held: Vec<u8>,
    /// So many bytes of `held` belong to a secret for which the mask was already given.
    covered: usize,
}

impl Stream {
    pub(super) fn new(masker: Masker) -> Self {
        Self { masker, held: Vec::new(), covered: 0 }
    }

    /// Takes the next piece; gives what can be shown now.
    pub fn push<'a>(&mut self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let Some(secrets) = self.masker.0.clone() else { return Cow::Borrowed(bytes) };
        if self.held.is_empty() {
            let unsure = secrets.unsure(bytes);
            if unsure == bytes.len() && secrets.covered(bytes).is_empty() {
                return Cow::Borrowed(bytes);
            }
            self.held.extend_from_slice(bytes);
            return Cow::Owned(self.pass(&secrets, unsure));
        }
        self.held.extend_from_slice(bytes);
        let unsure = secrets.unsure(&self.held);
        Cow::Owned(self.pass(&secrets, unsure))
    }

    /// The stream has ended: gives what was held back.
    pub fn finish(&mut self) -> Vec<u8> {
        match self.masker.0.clone() {
            Some(secrets) if !self.held.is_empty() => self.pass(&secrets, self.held.len()),
            _ => Vec::new(),
        }
    }

    /// Lets go of what comes before `unsure`. A secret that begins there is whole.
    fn pass(&mut self, secrets: &Secrets, unsure: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(unsure);
        let mut at = self.covered;
        for run in secrets.covered(&self.held) {
            if run.start < at {
                // It overlaps with what was covered before.
                at = at.max(run.end);
            } else if run.start < unsure {
                out.extend_from_slice(&self.held[at..run.start]);
                out.extend_from_slice(MASK.as_bytes());
                at = run.end;
            } else {
                break;
            }
        }
        if at < unsure {
            out.extend_from_slice(&self.held[at..unsure]);
            at = unsure;
        }
        self.held.drain(..unsure);
        self.covered = at - unsure;
        out
    }
}
