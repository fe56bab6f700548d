//! Observers: everything that shows or writes down what happens in a run. They see events and the
//! ledger; they know nothing of executors or the schedule.

pub mod console;
pub mod events;
pub mod filter;
pub mod html;
pub mod json;
pub mod junit;
pub mod log;
pub mod markdown;
pub mod spans;
pub mod target;
pub mod trace;
pub mod words;

use std::io::{self, Write};
use std::path::Path;

use crate::event::{Event, Stamped};
pub use crate::shape::RunView;

/// Somebody who is told what happens. Called on the driver's thread: an observer that could be slow
/// must bring a thread of its own.
pub trait Observer {
    /// One event. An error is noted as a failure of jobrun itself (exit code 4); the observer is told
    /// of what follows all the same, and should not return an error again that stays as it is. A panic
    /// is noted as well, and the observer is told nothing more.
    fn observe(&mut self, event: &Stamped, run: &RunView<'_>) -> io::Result<()>;

    /// Whether [`Event::Output`] is wanted.
    fn wants_output(&self) -> bool {
        false
    }
}

/// The formats of reports that are written when a run has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The report for programs.
    Json,
    /// For systems that show test results.
    Junit,
    /// For step summaries and merge requests.
    Markdown,
    /// One page for a browser.
    Html,
    /// A time line for Perfetto and `chrome://tracing`.
    Trace,
}

impl Format {
    /// All formats, in the order of the manual.
    pub const ALL: [Self; 5] = [Self::Json, Self::Junit, Self::Markdown, Self::Html, Self::Trace];

    /// The word used in manifests and flags, for example `junit`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Junit => "junit",
            Self::Markdown => "markdown",
            Self::Html => "html",
            Self::Trace => "trace",
        }
    }

    /// The format of that name, if there is one.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.word() == word)
    }

    /// Writes the report of a run that has ended.
    pub fn write(self, out: &mut dyn Write, run: &RunView<'_>) -> io::Result<()> {
        match self {
            Self::Json => json::write(out, run),
            Self::Junit => junit::write(out, run),
            Self::Markdown => markdown::write(out, run),
            Self::Html => html::write(out, run),
            Self::Trace => trace::write(out, run),
        }
    }
}

/// An observer that writes something when the run has ended.
#[derive(Debug)]
pub struct AtEnd {
    what: What,
    target: target::Target,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Report(Format),
    Results,
}

impl AtEnd {
    /// A report in `format`, to be written to `path`; `-` is standard output.
    pub fn new(format: Format, path: &Path) -> Self {
        Self { what: What::Report(format), target: target::Target::new(path) }
    }

    /// The results, to be written to standard output.
    pub fn results() -> Self {
        Self { what: What::Results, target: target::Target::Stdout }
    }
}

impl Observer for AtEnd {
    fn observe(&mut self, event: &Stamped, run: &RunView<'_>) -> io::Result<()> {
        if !matches!(event.event, Event::JobFinished) {
            return Ok(());
        }
        let written = self.target.write(|out| match self.what {
            What::Report(format) => format.write(out, run),
            What::Results => json::write_results(out, run),
        });
        written.map_err(|error| {
            let what = match self.what {
                What::Report(format) => format!("the {} report", format.word()),
                What::Results => "the results".to_owned(),
            };
            io::Error::new(error.kind(), format!("{what} could not be written: {error}"))
        })
    }
}
