//! What Python's `concurrent.futures` promises, told as manifests. The numbers (`c28`) are those of
//! `docs/conformance.md`; `docs/deviations.md` says what is different on purpose.

mod callbacks;
mod ends;
mod faults;
mod interrupts;
mod limits;
mod maps;
mod polls;
mod states;
mod strain;
mod waits;
mod workers;

use crate::story::Story;

/// Both ways of running functions: what is promised holds for both.
pub const KINDS: [&str; 2] = ["thread", "process"];

/// A story with an executor of this kind and so many workers. `rest` is the rest of the manifest.
pub fn on(kind: &str, max_workers: u32, rest: &str) -> Story {
    Story::new(&format!("[executor]\nkind = \"{kind}\"\nmax_workers = {max_workers}\n\n{rest}"))
}
