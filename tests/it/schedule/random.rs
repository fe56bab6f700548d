//! Random jobs with random ends: whatever happens, the checker's rules hold, the run ends, and it
//! ends the same way again.

use std::hash::{DefaultHasher, Hash, Hasher};

use jobrun::executor::mock::Obedience;
use jobrun::graph::{Amount, OnReturn, OnWorkerDeath, ReturnWhen, Wait, When};
use jobrun::outcome::FailureKind;
use jobrun::schedule::Answer;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::schedule::sim::{How, Job, TaskSpec, group, one, open, retries, secs};

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_rule_holds_at_every_step(job in jobs()) {
        let story = job.run();
        prop_assert_eq!(story, job.run(), "the same job has the same story");
    }
}

/// More can be asked for in the environment.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|it| it.parse().ok()).unwrap_or(3000)
}

fn jobs() -> impl Strategy<Value = Job> {
    let shape = (vec(tasks(), 1..9), waits(), 1_u32..4, 0_u32..3, any::<u64>());
    let guard = option::weighted(
        0.5,
        (select(vec![&[0][..], &[1], &[0, 1]]), 0_u32..4, (0_u32..3).prop_map(f64::from)),
    );
    let trouble = (
        vec((0_u32..20).prop_map(f64::from), 0..3),
        option::weighted(0.1, ((0_u32..15).prop_map(f64::from), 0_u32..2)),
        select(vec![Obedience::AtOnce, Obedience::After(secs(2.0)), Obedience::Never]),
        select(vec![OnWorkerDeath::Fail, OnWorkerDeath::Retry, OnWorkerDeath::Break]),
        0_u32..4,
    );
    (shape, trouble, guard).prop_map(|((tasks, wait, workers, ahead, seed), trouble, guard)| {
        let (signals, broken, obedience, death, rage) = trouble;
        let named = tasks.iter().enumerate().map(|(at, (spec, after, each))| {
            let mut spec = spec.clone();
            spec.task.name = name(at);
            if let Some(each) = each.filter(|_| at > 0) {
                spec = spec.each(&name(each % at));
            }
            // Edges go back only, so that there is no cycle.
            let mut after: Vec<String> =
                after.iter().filter(|_| at > 0).map(|pick| name(pick % at.max(1))).collect();
            after.sort();
            after.dedup();
            spec.after(&after.iter().map(String::as_str).collect::<Vec<_>>())
        });
        let mut job = Job::new(named.collect::<Vec<_>>())
            .workers(workers)
            .executor(2, death)
            .on_worker_death(death)
            .resource("gpu", 3)
            .memory("ram", 100)
            .wait(wait)
            .ahead(ahead)
            .seed(seed)
            .obedience(obedience)
            .script(move |name, attempt| end(seed, name, attempt, rage))
            .answers(move |name| answer(seed, name));
        // Who sends signals early is served early; most jobs are left alone.
        for at in signals.iter().filter(|at| **at > 4.0) {
            job = job.signal(*at - 5.0);
        }
        if let Some((executors, more, delay)) = guard {
            job = job.guard(executors, more, delay);
        }
        if let Some((at, executor)) = broken {
            job = job.breaks(at, executor);
        }
        job
    })
}

fn name(at: usize) -> String {
    format!("t{at}")
}

fn end(seed: u64, name: &str, attempt: u32, rage: u32) -> (std::time::Duration, How) {
    let mut hasher = DefaultHasher::new();
    (seed, name, attempt).hash(&mut hasher);
    let draw = hasher.finish();
    let how = match (draw >> 8) % 12 {
        it if it > u64::from(rage) * 2 => How::Succeeds,
        0 => How::Fails(FailureKind::WorkerDeath),
        1 | 2 => How::Exits(3),
        _ => How::Fails(FailureKind::Call),
    };
    (secs((draw % 5) as f64), how)
}

fn answer(seed: u64, name: &str) -> Answer {
    let mut hasher = DefaultHasher::new();
    (seed, name).hash(&mut hasher);
    match hasher.finish() % 6 {
        0 => Answer::Unclear,
        1 | 2 => Answer::No,
        _ => Answer::Yes,
    }
}

/// How many futures a task has.
#[derive(Clone, Debug)]
enum Width {
    One,
    Group(u32),
    Open(Option<u32>),
    /// As many as that one, if there is one before.
    Each(usize),
}

fn widths() -> impl Strategy<Value = (Width, Option<Wait>)> {
    let group = prop_oneof![
        4 => (0_u32..5).prop_map(Width::Group),
        2 => option::weighted(0.8, 0_u32..4).prop_map(Width::Open),
        2 => (0_usize..8).prop_map(Width::Each),
    ];
    prop_oneof![
        1 => Just((Width::One, None)),
        1 => (group, option::of(waits())),
    ]
}

fn tasks() -> impl Strategy<Value = (TaskSpec, Vec<usize>, Option<usize>)> {
    let place = (
        widths(),
        vec(0_usize..8, 0..4),
        select(vec![When::Success, When::Success, When::Success, When::Failure, When::Always]),
        0_u32..2,
        -1_i64..2,
        vec((0_u32..2, 1_u64..4), 0..2),
    );
    let odds = (
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.15),
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.7),
        option::weighted(0.3, (0_u32..3, (0_u32..3).prop_map(f64::from))),
        option::weighted(0.2, (1_u32..4).prop_map(f64::from)),
        any::<bool>(),
    );
    (place, odds).prop_map(|((size, after, when, executor, priority, uses), odds)| {
        let (exclusive, asks, allow_failure, is_call, retry, timeout, by_exit) = odds;
        let (width, wait) = size;
        let (mut spec, each) = match width {
            Width::One => (one(""), None),
            Width::Group(members) => (group("", members), None),
            Width::Open(members) => (open("", members), None),
            Width::Each(leader) => (group("", 2), Some(leader)),
        };
        if let Some(wait) = wait {
            spec = spec.wait(wait);
        }
        if asks {
            spec = spec.asks();
        }
        // Memory comes in other amounts than units.
        let uses: Vec<(u32, u64)> =
            uses.iter().map(|&(id, n)| (id, if id == 0 { n } else { n * 30 })).collect();
        spec = spec.when(when).on(executor).priority(priority).uses(&uses);
        if exclusive {
            spec = spec.exclusive();
        }
        if allow_failure {
            spec = spec.allow_failure();
        }
        if !is_call {
            spec = spec.child();
        }
        if let Some((count, delay)) = retry {
            let mut retry = retries(count, delay);
            retry.backoff = 2.0;
            retry.on_exit = by_exit.then(|| vec![3]);
            retry.jitter = !by_exit;
            spec = spec.retry(retry);
        }
        if let Some(timeout) = timeout {
            spec = spec.timeout(timeout);
        }
        (spec, after, each)
    })
}

fn waits() -> impl Strategy<Value = Wait> {
    let amount = prop_oneof![
        (0_u32..6).prop_map(Amount::Count),
        select(vec![10.0, 50.0, 80.0, 100.0]).prop_map(Amount::Percent),
    ];
    let when = (0_u32..10, amount).prop_map(|(which, amount)| match which {
        0 => ReturnWhen::FirstCompleted,
        1 => ReturnWhen::FirstException,
        2 => ReturnWhen::FirstSuccess,
        3 => ReturnWhen::Completed(amount),
        4 => ReturnWhen::Succeeded(amount),
        5 => ReturnWhen::Failed(amount),
        _ => ReturnWhen::AllCompleted,
    });
    let timeout = option::weighted(0.3, (0_u32..12).prop_map(|it| secs(f64::from(it))));
    let on_return = select(vec![OnReturn::Cancel, OnReturn::Drain, OnReturn::Continue]);
    (when, timeout, on_return).prop_map(|(return_when, timeout, on_return)| Wait {
        return_when,
        timeout,
        on_return,
    })
}
