//! Those who are told what happens in a run. Knows nothing of what they do with it.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::event::Stamped;
use crate::functions::panic_message;
use crate::report::Observer;
use crate::shape::RunView;

/// The observers of a run, by their places, in the order in which they are told.
pub(super) struct Audience<'a> {
    /// `None` once it has panicked.
    observers: Vec<Option<Box<dyn Observer + 'a>>>,
}

impl<'a> Audience<'a> {
    pub(super) fn new(observers: Vec<Box<dyn Observer + 'a>>) -> Self {
        Self { observers: observers.into_iter().map(Some).collect() }
    }

    pub(super) fn places(&self) -> std::ops::Range<usize> {
        0..self.observers.len()
    }

    /// Whether any of them wants output as it comes.
    pub(super) fn wants_output(&self) -> bool {
        self.observers.iter().flatten().any(|observer| observer.wants_output())
    }

    /// Tells one of them. A panic stops here: what the observer knows may be half of something after
    /// that, so it is told nothing more.
    ///
    /// # Errors
    /// What went wrong, for people.
    pub(super) fn tell(
        &mut self,
        place: usize,
        event: &Stamped,
        view: &RunView<'_>,
    ) -> Result<(), String> {
        let Some(observer) = &mut self.observers[place] else { return Ok(()) };
        match catch_unwind(AssertUnwindSafe(|| observer.observe(event, view))) {
            Ok(told) => told.map_err(|error| error.to_string()),
            Err(payload) => {
                let observer = self.observers[place].take();
                if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(observer))) {
                    mem::forget(another);
                }
                Err(format!("a report panicked: {}", panic_message(payload)))
            }
        }
    }
}
