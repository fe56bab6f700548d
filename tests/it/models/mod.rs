//! The whole under a virtual clock: random manifests are compiled and run by the real driver, in a world
//! in which everything goes wrong. A case is a number; `JOBRUN_TEST_SEED=NUMBER` runs that one alone, and
//! `JOBRUN_TEST_CASES=COUNT` so many.

mod dice;
mod plan;
mod stories;
mod witness;
mod world;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use jobrun::compile::load;
use jobrun::diagnostic::Source;
use jobrun::{Functions, Job, Options, Runner};

use crate::models::plan::Plan;
use crate::models::witness::{Seen, Witness};
use crate::models::world::World;

/// What `cargo test` has time for where nothing is optimized.
const CASES: u64 = 1500;

thread_local! {
    /// Whether panics on this thread are expected, and need not be printed.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// How a case went.
enum Case {
    /// What it says is no job.
    Refused,
    Held(Vec<String>),
    Broken(String),
}

/// A job of this text; `None` if it is not valid.
fn job(text: &str, functions: &Functions) -> Option<Arc<Job>> {
    let source = Arc::new(Source::new("model.toml", text));
    load(&source, functions, &Options::default()).ok().map(Arc::new)
}

fn run(plan: &Plan, functions: &Functions) -> Case {
    let Some(job) = job(&plan.manifest(), functions) else { return Case::Refused };
    let seen = Seen::of(&job.graph);
    let story = || {
        let world = World::new(&job, plan, seen.clone());
        let end = Runner::new(&job).observer(Witness(seen.clone())).run_on(world);
        seen.borrow().check_end(&end);
    };
    QUIET.set(true);
    let ended = catch_unwind(AssertUnwindSafe(story));
    QUIET.set(false);
    match ended {
        Ok(()) => Case::Held(std::mem::take(&mut seen.borrow_mut().story)),
        Err(panic) => {
            let why = panic.downcast_ref::<String>().cloned();
            let why = why.or_else(|| panic.downcast_ref::<&str>().map(|it| (*it).to_owned()));
            let story = seen.borrow().story.join("\n");
            Case::Broken(format!("{}\n{story}", why.unwrap_or_default()))
        }
    }
}

/// Runs the case of this number; whether it is one. What is wrong is told with the smallest plan that
/// shows it.
fn check(seed: u64, functions: &Functions) -> bool {
    let mut plan = Plan::of(seed);
    let mut why = match run(&plan, functions) {
        Case::Refused => return false,
        Case::Held(story) => {
            // The same plan has the same story. Some are enough to see that.
            if seed.is_multiple_of(16)
                && let Case::Held(again) = run(&plan, functions)
            {
                assert_eq!(story, again, "seed {seed}");
            }
            return true;
        }
        Case::Broken(why) => why,
    };
    // The same thing is wrong if it is said in the same words.
    let words =
        |why: &str| why.chars().filter(char::is_ascii_alphabetic).take(80).collect::<String>();
    let wrong = words(&why);
    while let Some((smaller, broken)) = plan.smaller().into_iter().find_map(|smaller| {
        let Case::Broken(why) = run(&smaller, functions) else { return None };
        (words(&why) == wrong).then_some((smaller, why))
    }) {
        (plan, why) = (smaller, broken);
    }
    panic!(
        "{why}\n\n{}\n{:?}\n\nThis case alone: JOBRUN_TEST_SEED={seed} cargo test --test it -- models",
        plan.manifest(),
        plan.trouble
    );
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn whatever_goes_wrong_every_rule_holds() {
    let hook = take_hook();
    set_hook(Box::new(move |info| {
        if !QUIET.get() {
            hook(info);
        }
    }));
    let functions = Functions::builtin();
    if let Some(seed) = variable("JOBRUN_TEST_SEED") {
        assert!(check(seed, &functions), "the case {seed} is no job");
        return;
    }
    let cases = variable("JOBRUN_TEST_CASES").unwrap_or(CASES);
    let (next, held) = (AtomicU64::new(0), AtomicU64::new(0));
    let work = || {
        while let seed = next.fetch_add(1, Ordering::Relaxed)
            && seed < cases
        {
            held.fetch_add(u64::from(check(seed, &functions)), Ordering::Relaxed);
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let held = held.into_inner();
    assert!(held * 2 > cases, "only {held} of {cases} are jobs");
}
