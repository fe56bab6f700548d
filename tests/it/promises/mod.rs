//! Faults that are injected for real, and what jobrun promises all the same: `docs/promises.md` has a
//! row for each.

mod io;
mod limits;
mod locks;
mod models;
mod output;
mod outside;
mod scarcity;
mod signals;
mod tree;
mod workers;

use crate::story::End;

/// What holds whatever happened: the run ended in time and its report can be read, or [`Story`] would
/// have failed; it ended with this exit code, and it left no process behind.
///
/// [`Story`]: crate::story::Story
#[track_caller]
fn kept(end: &End, code: i32) {
    end.expect(code);
    assert!(end.report.is_object(), "there is no report\n{}", end.stderr);
    assert_eq!(end.leftovers(), [], "processes are left\n{}", end.stderr);
}
