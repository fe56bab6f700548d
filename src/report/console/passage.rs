//! What a task writes, on its way to the screen: as it is, or harmless. Knows neither tasks nor screens.

use std::borrow::Cow;

use crate::mask::{self, Masker};
use crate::report::filter::{Filter, Place};

/// One stream on its way.
pub(super) struct Passage(Option<Harmless>);

/// Secrets were covered before. Where characters are dropped, what was in pieces may become one.
struct Harmless {
    filter: Filter,
    mask: mask::Stream,
}

impl Passage {
    /// As it is.
    pub(super) fn raw() -> Self {
        Self(None)
    }

    /// Harmless there.
    pub(super) fn harmless(place: Place, masker: &Masker) -> Self {
        Self(Some(Harmless { filter: Filter::new(place), mask: masker.stream() }))
    }

    pub(super) fn is_raw(&self) -> bool {
        self.0.is_none()
    }

    /// Takes the next piece; gives what can be shown now.
    pub(super) fn push<'a>(&mut self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        match &mut self.0 {
            None => Cow::Borrowed(bytes),
            Some(Harmless { filter, mask }) => {
                Cow::Owned(mask.push(&filter.push(bytes)).into_owned())
            }
        }
    }

    /// What was held back.
    pub(super) fn finish(self) -> Vec<u8> {
        let Some(Harmless { filter, mut mask }) = self.0 else { return Vec::new() };
        let mut rest = mask.push(&filter.finish()).into_owned();
        rest.extend(mask.finish());
        rest
    }

    /// All of a stream at once.
    pub(super) fn whole(mut self, bytes: &[u8]) -> Cow<'_, [u8]> {
        let mut shown = self.push(bytes);
        if !self.is_raw() {
            shown.to_mut().extend(self.finish());
        }
        shown
    }
}
