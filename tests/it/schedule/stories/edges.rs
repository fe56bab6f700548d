//! What comes after what, and what follows from an end.

use jobrun::graph::{Executor, ExecutorKind, Graph, OnWorkerDeath, ReturnWhen, Wait, When};
use jobrun::id::{NodeId, TaskId};
use jobrun::outcome::{Cause, Failure, FailureKind, State};
use jobrun::schedule::{Action, End, Options, Schedule};
use jobrun::time::Time;

use crate::schedule::sim::{Job, group, one, wait};

#[test]
fn a_future_starts_when_all_that_it_is_after_is_done() {
    let job =
        Job::new([one("a"), one("b"), one("c").after(&["a", "b"])]).workers(4).takes("b", 3.0);
    assert_eq!(
        job.run(),
        [
            "0 start a",
            "0 start b",
            "1 a succeeded",
            "3 b succeeded",
            "3 start c",
            "4 c succeeded",
            "4 returned all_completed after 4 well"
        ]
    );
}

#[test]
fn priority_comes_before_the_critical_path_and_that_before_the_manifest() {
    let tasks = [
        one("first"),
        one("second"),
        one("long").estimate(9.0),
        one("head"),
        one("tail").estimate(20.0).after(&["head"]),
        one("urgent").priority(1),
    ];
    assert_eq!(starts(&Job::new(tasks)), ["urgent", "head", "tail", "long", "first", "second"]);
}

#[test]
fn whoever_needs_what_failed_is_cancelled_and_the_others_run() {
    let tasks = [
        one("bad"),
        one("next").after(&["bad"]),
        one("last").after(&["next"]),
        one("other"),
        one("both").after(&["other", "bad"]),
    ];
    assert_eq!(
        Job::new(tasks).fails("bad", 1.0).run(),
        [
            "0 start bad",
            "1 bad failed",
            "1 next cancelled by dependency bad",
            "1 both cancelled by dependency bad",
            "1 last cancelled by dependency bad",
            "1 start other",
            "2 other succeeded",
            "2 returned all_completed after 2 badly"
        ]
    );
}

#[test]
fn a_failure_step_runs_for_a_failure_and_is_skipped_without() {
    let tasks = [
        one("a"),
        one("b").after(&["a"]),
        one("rollback").after(&["b"]).when(When::Failure),
        one("report").after(&["rollback"]),
    ];
    let job = Job::new(tasks);
    assert_eq!(
        job.run(),
        [
            "0 start a",
            "1 a succeeded",
            "1 start b",
            "2 b succeeded",
            "2 rollback skipped",
            "2 returned all_completed after 2 well",
            "2 start report",
            "3 report succeeded"
        ]
    );
    // It is enough that what it is after was cancelled because of a failure.
    assert_eq!(
        job.fails("a", 1.0).run(),
        [
            "0 start a",
            "1 a failed",
            "1 b cancelled by dependency a",
            "1 returned all_completed after 1 badly",
            "1 start rollback",
            "2 rollback succeeded",
            "2 start report",
            "3 report succeeded"
        ]
    );
}

#[test]
fn a_failure_step_waits_for_all_that_it_is_after() {
    let tasks = [one("a"), one("b"), one("alarm").after(&["a", "b"]).when(When::Failure)];
    let job = Job::new(tasks).workers(2).fails("a", 1.0).takes("b", 5.0);
    assert_eq!(
        job.run(),
        [
            "0 start a",
            "0 start b",
            "1 a failed",
            "5 b succeeded",
            "5 returned all_completed after 5 badly",
            "5 start alarm",
            "6 alarm succeeded"
        ]
    );
}

#[test]
fn a_clean_up_step_runs_whatever_happened() {
    let tasks = [one("a"), one("clean").after(&["a"]).when(When::Always)];
    let job = Job::new(tasks);
    assert_eq!(
        job.run(),
        [
            "0 start a",
            "1 a succeeded",
            "1 returned all_completed after 1 well",
            "1 start clean",
            "2 clean succeeded"
        ]
    );
    assert_eq!(
        job.clone().fails("a", 1.0).run(),
        [
            "0 start a",
            "1 a failed",
            "1 returned all_completed after 1 badly",
            "1 start clean",
            "2 clean succeeded"
        ]
    );
    assert_eq!(
        job.takes("a", 9.0).signal(2.0).run(),
        [
            "0 start a",
            "2 returned interrupt after 2 badly",
            "2 stop a",
            "2 a cancelled by interrupt",
            "2 start clean",
            "3 clean succeeded"
        ]
    );
}

#[test]
fn an_allowed_failure_fails_nobody() {
    let tasks = [one("flaky").allow_failure(), one("next").after(&["flaky"])];
    assert_eq!(
        Job::new(tasks).fails("flaky", 1.0).run(),
        [
            "0 start flaky",
            "1 flaky failed",
            "1 start next",
            "2 next succeeded",
            "2 returned all_completed after 2 well"
        ]
    );
}

#[test]
fn an_allowed_failure_still_lets_a_failure_step_run() {
    let tasks = [one("flaky").allow_failure(), one("look").after(&["flaky"]).when(When::Failure)];
    assert_eq!(
        Job::new(tasks).fails("flaky", 1.0).run(),
        [
            "0 start flaky",
            "1 flaky failed",
            "1 returned all_completed after 1 well",
            "1 start look",
            "2 look succeeded"
        ]
    );
}

#[test]
fn what_could_not_run_is_not_forgiven() {
    let tasks =
        [one("bad"), one("maybe").allow_failure().after(&["bad"]), one("next").after(&["maybe"])];
    assert_eq!(
        Job::new(tasks).fails("bad", 1.0).run(),
        [
            "0 start bad",
            "1 bad failed",
            "1 maybe cancelled by dependency bad",
            "1 next cancelled by dependency bad",
            "1 returned all_completed after 1 badly"
        ]
    );
}

#[test]
fn a_group_is_left_when_all_its_members_are_done() {
    let tasks = [group("g", 3), one("next").after(&["g"])];
    assert_eq!(
        Job::new(tasks).workers(3).takes("g[1]", 4.0).run(),
        [
            "0 start g[0]",
            "0 start g[1]",
            "0 start g[2]",
            "1 g[0] succeeded",
            "1 g[2] succeeded",
            "4 g[1] succeeded",
            "4 g returned all_completed after 4 well",
            "4 start next",
            "5 next succeeded",
            "5 returned all_completed after 5 well"
        ]
    );
}

#[test]
fn what_is_after_a_group_names_the_member_that_failed() {
    let tasks = [group("g", 3), one("next").after(&["g"])];
    assert_eq!(
        Job::new(tasks).fails("g[1]", 1.0).run(),
        [
            "0 start g[0]",
            "1 g[0] succeeded",
            "1 start g[1]",
            "2 g[1] failed",
            "2 start g[2]",
            "3 g[2] succeeded",
            "3 g returned all_completed after 3 badly",
            "3 next cancelled by dependency g[1]",
            "3 returned all_completed after 3 badly"
        ]
    );
}

#[test]
fn a_group_that_can_never_run_names_what_failed_before_it() {
    let own = wait(ReturnWhen::FirstCompleted);
    let tasks = [one("bad"), group("g", 2).wait(own).after(&["bad"]), one("next").after(&["g"])];
    assert_eq!(
        Job::new(tasks).fails("bad", 1.0).run(),
        [
            "0 start bad",
            "1 bad failed",
            "1 g[0] cancelled by dependency bad",
            "1 g[1] cancelled by dependency bad",
            "1 g returned first_completed after 0 badly",
            "1 next cancelled by dependency bad",
            "1 returned all_completed after 1 badly"
        ]
    );
}

#[test]
fn an_empty_group_hands_on_what_it_is_told() {
    let tasks = [one("a"), group("g", 0).after(&["a"]), one("next").after(&["g"])];
    let job = Job::new(tasks);
    assert_eq!(
        job.run(),
        [
            "0 start a",
            "1 a succeeded",
            "1 g returned all_completed after 0 well",
            "1 start next",
            "2 next succeeded",
            "2 returned all_completed after 2 well"
        ]
    );
    assert_eq!(
        job.fails("a", 1.0).run(),
        [
            "0 start a",
            "1 a failed",
            "1 g returned all_completed after 0 badly",
            "1 next cancelled by dependency a",
            "1 returned all_completed after 1 badly"
        ]
    );
}

#[test]
fn a_group_that_was_skipped_has_not_failed() {
    let own = wait(ReturnWhen::FirstSuccess);
    let tasks = [
        one("a"),
        group("rescue", 2).wait(own.clone()).after(&["a"]).when(When::Failure),
        group("none", 0).wait(own).after(&["a"]).when(When::Failure),
        one("next").after(&["rescue", "none"]),
    ];
    assert_eq!(
        Job::new(tasks).run(),
        [
            "0 start a",
            "1 a succeeded",
            "1 rescue[0] skipped",
            "1 rescue[1] skipped",
            "1 rescue returned all_completed after 0 well",
            "1 none returned all_completed after 0 well",
            "1 returned all_completed after 1 well",
            "1 start next",
            "2 next succeeded"
        ]
    );
}

#[test]
fn an_end_told_twice_counts_once() {
    let graph = Job::new([one("a"), one("b")]).graph();
    let mut schedule = Schedule::new(&graph, Options::default());
    schedule.start(Time::ZERO);
    let failure = Failure::new(FailureKind::Call, "no");
    schedule.ended(Time(1), NodeId(0), End::Succeeded);
    let started = schedule.next_action();
    assert!(started.is_some(), "an end before the start is passed over");
    schedule.ended(Time(2), NodeId(0), End::Succeeded);
    schedule.ended(Time(3), NodeId(0), End::Failed { failure: &failure, exit_code: None });
    schedule.recalled(Time(3), NodeId(0));
    schedule.overran(Time(3), NodeId(0));
    schedule.freed(Time(3), NodeId(0), 1);
    let settled = Action::Settle { node: NodeId(0), state: State::Succeeded, cause: None };
    assert_eq!(schedule.next_action(), Some(settled));
    assert!(matches!(schedule.next_action(), Some(Action::Start { node: NodeId(1), .. })));
    assert_eq!(schedule.next_action(), None);
}

#[test]
fn a_long_chain_falls_without_deep_recursion() {
    const LENGTH: u32 = 200_000;
    let template = one("x").task;
    let tasks = (0..LENGTH).map(|id| {
        let mut task = template.clone();
        task.name = format!("t{id}");
        task.after = id.checked_sub(1).map(TaskId).into_iter().collect();
        task
    });
    let executor = Executor {
        name: "default".to_owned(),
        kind: ExecutorKind::Thread,
        max_workers: 1,
        on_worker_death: OnWorkerDeath::Fail,
    };
    let graph = Graph::new(tasks.collect(), vec![executor], Vec::new(), Wait::default())
        .expect("it is valid");
    let mut schedule = Schedule::new(&graph, Options::default());
    schedule.start(Time::ZERO);
    assert!(matches!(schedule.next_action(), Some(Action::Start { node: NodeId(0), .. })));
    let failure = Failure::new(FailureKind::Call, "no");
    schedule.ended(Time(1), NodeId(0), End::Failed { failure: &failure, exit_code: None });
    let root = Some(Cause::Dependency(NodeId(0)));
    let cancelled = std::iter::from_fn(|| schedule.next_action()).filter(
        |it| matches!(it, Action::Settle { state: State::Cancelled, cause, .. } if *cause == root),
    );
    assert_eq!(cancelled.count(), LENGTH as usize - 1);
    assert!(schedule.is_finished());
}

fn starts(job: &Job) -> Vec<String> {
    let story = job.run();
    story.iter().filter_map(|line| line.split_once("start ")).map(|it| it.1.to_owned()).collect()
}
