//! What a valid manifest says that was most likely not meant. Knows nothing of how anything is done,
//! and changes nothing.
//!
//! A rule is a function in the table below. It looks at the manifest and the job made from it, and adds
//! what it finds; a rule that is in doubt says nothing.

mod machine;
mod never;
mod posts;
mod programs;
mod scene;
mod time;
mod unused;
mod waits;

use crate::diagnostic::{Faults, Sources};
use crate::job::Job;
use crate::manifest::Manifest;

pub use machine::{Here, Machine};

use scene::{Found, Scene};

/// Looks for one kind of thing.
type Rule = fn(&Scene<'_>, &mut Found<'_>);

/// All rules, each under the code of what it finds.
const RULES: [(&str, Rule); 16] = [
    ("above-timeout", time::job_above_timeout),
    ("above-timeout", time::estimate_above_timeout),
    ("duplicate", unused::twice_in_a_list),
    ("empty-map", never::no_members),
    ("never-runs", never::nothing_can_fail),
    ("never-runs", never::callback_of_what_cannot_happen),
    ("no-effect", waits::rest_of_nothing),
    ("no-effect", waits::more_failures_than_futures),
    ("no-effect", waits::failures_that_are_allowed),
    ("no-effect", time::retry_of_nothing),
    ("no-such-path", programs::folders),
    ("program-not-found", programs::programs),
    ("refused-host", posts::refused),
    ("unused", unused::executors_and_resources),
    ("unused", unused::vars),
    ("when-without-after", never::after_nothing),
];

/// The codes of the warnings that are found while a manifest is compiled.
const OF_COMPILE: [&str; 2] = ["no-effect", "unset-variable"];

/// The codes of all warnings, sorted.
pub fn codes() -> Vec<&'static str> {
    let mut codes: Vec<_> = RULES.iter().map(|(code, _)| *code).chain(OF_COMPILE).collect();
    codes.sort_unstable();
    codes.dedup();
    codes
}

/// The warnings about `job`, which was made of `manifest` and all that it includes, read from `sources`,
/// sorted by place.
pub fn lint(manifest: &Manifest, job: &Job, sources: &Sources, machine: &dyn Machine) -> Faults {
    let scene = Scene::new(manifest, job, sources, machine);
    let mut faults = Faults::of(sources.clone());
    for (code, look) in RULES {
        look(&scene, &mut Found::new(code, &mut faults));
    }
    faults.sorted()
}
