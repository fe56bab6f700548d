//! Puts `***` in the place of secrets, in whole texts, in values and in streams that come cut
//! anywhere. Knows neither where secrets come from nor who asks.
//!
//! Whatever belongs to any form of any secret is covered, also where two of them overlap: `***`
//! stands for each run of bytes that secrets share.

mod forms;
mod stream;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use crate::value::Value;

pub use stream::Stream;

/// What is shown in the place of a secret.
pub const MASK: &str = "***";

/// A secret of fewer bytes is none: its bytes are everywhere, so that covering them would spoil all
/// output and hide nothing.
pub const SHORTEST: usize = 4;

/// Covers secrets. Copies are cheap; one without secrets costs nothing.
#[derive(Clone, Default)]
pub struct Masker(Option<Arc<Secrets>>);

struct Secrets {
    /// Finds all forms at once. `None` where they are too many for that: then everything is covered.
    search: Option<AhoCorasick>,
    /// All forms, sorted, so that those that begin in one way are found together.
    forms: Vec<Vec<u8>>,
    /// The bytes that forms begin with.
    first: [bool; 256],
    longest: usize,
}

impl Masker {
    /// Covers these. Values shorter than [`SHORTEST`] are left out.
    pub fn new(values: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Self {
        let mut forms = BTreeSet::new();
        for value in values {
            forms::add(value.as_ref(), &mut forms);
        }
        if forms.is_empty() {
            return Self::none();
        }
        let mut builder = AhoCorasick::builder();
        builder.kind(Some(AhoCorasickKind::ContiguousNFA)).match_kind(MatchKind::Standard);
        let search = builder.build(&forms).ok();
        let mut first = [false; 256];
        for form in &forms {
            first[usize::from(form[0])] = true;
        }
        let longest = forms.iter().map(Vec::len).max().unwrap_or_default();
        let forms = forms.into_iter().collect();
        Self(Some(Arc::new(Secrets { search, forms, first, longest })))
    }

    /// Covers nothing.
    pub const fn none() -> Self {
        Self(None)
    }

    /// Whether there is nothing to cover.
    pub const fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// The text with its secrets covered.
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.is_none() {
            return Cow::Borrowed(text);
        }
        match self.bytes(text.as_bytes()) {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            Cow::Owned(masked) => Cow::Owned(match String::from_utf8(masked) {
                Ok(text) => text,
                // A secret that is no text can begin or end within a character.
                Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
            }),
        }
    }

    /// The same for a text that nobody else has.
    pub fn owned(&self, text: String) -> String {
        match self.text(&text) {
            Cow::Borrowed(_) => text,
            Cow::Owned(masked) => masked,
        }
    }

    /// The same for bytes.
    pub fn bytes<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let Some(secrets) = &self.0 else { return Cow::Borrowed(bytes) };
        let covered = secrets.covered(bytes);
        if covered.is_empty() {
            return Cow::Borrowed(bytes);
        }
        let mut masked = Vec::with_capacity(bytes.len());
        let mut at = 0;
        for range in covered {
            masked.extend_from_slice(&bytes[at..range.start]);
            masked.extend_from_slice(MASK.as_bytes());
            at = range.end;
        }
        masked.extend_from_slice(&bytes[at..]);
        Cow::Owned(masked)
    }

    /// The value with its secrets covered, in texts and in the keys of maps at any depth. A number
    /// with the digits of a secret becomes text. `None` if there are none in it.
    pub fn value(&self, value: &Value) -> Option<Value> {
        if self.is_none() {
            return None;
        }
        match value {
            Value::Null | Value::Bool(_) => None,
            Value::Int(_) | Value::Float(_) => self.changed(&value.to_string()),
            Value::Str(text) => self.changed(text),
            Value::List(items) => self.list(items).map(Value::List),
            Value::Map(entries) => self.map(entries).map(Value::Map),
        }
    }

    /// Covers secrets in what comes piece by piece.
    pub fn stream(&self) -> Stream {
        Stream::new(self.clone())
    }

    fn changed(&self, text: &str) -> Option<Value> {
        match self.text(text) {
            Cow::Borrowed(_) => None,
            Cow::Owned(masked) => Some(Value::Str(masked)),
        }
    }

    fn list(&self, items: &[Value]) -> Option<Vec<Value>> {
        let masked: Vec<_> = items.iter().map(|item| self.value(item)).collect();
        let one = |(masked, item): (Option<Value>, &Value)| masked.unwrap_or_else(|| item.clone());
        masked.iter().any(Option::is_some).then(|| masked.into_iter().zip(items).map(one).collect())
    }

    fn map(&self, entries: &[(String, Value)]) -> Option<Vec<(String, Value)>> {
        let clean = entries.iter().all(|(name, value)| {
            matches!(self.text(name), Cow::Borrowed(_)) && self.value(value).is_none()
        });
        let one = |(name, value): &(String, Value)| {
            let value = self.value(value).unwrap_or_else(|| value.clone());
            (self.text(name).into_owned(), value)
        };
        (!clean).then(|| entries.iter().map(one).collect())
    }
}

/// Says nothing of what it covers.
impl fmt::Debug for Masker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_none() { "Masker(nothing)" } else { "Masker(***)" })
    }
}

impl Secrets {
    /// The runs of bytes that belong to secrets, in order. Two that only touch stay apart.
    fn covered(&self, bytes: &[u8]) -> Vec<Range<usize>> {
        let mut runs: Vec<Range<usize>> = Vec::new();
        let Some(search) = &self.search else {
            runs.extend((!bytes.is_empty()).then_some(0..bytes.len()));
            return runs;
        };
        // They come sorted by their ends; a long one may reach back over several others.
        for found in search.find_overlapping_iter(bytes) {
            let mut run = found.range();
            while let Some(before) = runs.pop_if(|before| run.start < before.end) {
                run.start = run.start.min(before.start);
            }
            runs.push(run);
        }
        runs
    }

    /// Where the rest of `bytes` begins that may turn out to be the beginning of a secret; its length
    /// if it may not.
    fn unsure(&self, bytes: &[u8]) -> usize {
        let from = bytes.len().saturating_sub(self.longest - 1);
        let begins =
            |at: &usize| self.first[usize::from(bytes[*at])] && self.is_begun(&bytes[*at..]);
        (from..bytes.len()).find(begins).unwrap_or(bytes.len())
    }

    /// Whether a form starts with `bytes` and goes on.
    fn is_begun(&self, bytes: &[u8]) -> bool {
        let next = self.forms.partition_point(|form| form.as_slice() <= bytes);
        self.forms.get(next).is_some_and(|form| form.starts_with(bytes))
    }
}
