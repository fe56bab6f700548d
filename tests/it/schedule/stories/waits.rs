//! When waits return, and what becomes of the rest.

use jobrun::executor::mock::Obedience;
use jobrun::graph::{Amount, OnReturn, ReturnWhen, When};

use crate::schedule::sim::{Job, group, one, secs, then, wait, within};

/// Stands for "not before everything else".
const LATE: f64 = 1000.0;

#[test]
fn all_completed_waits_for_failures_and_successes_alike() {
    let job = Job::new([one("ok"), one("bad"), one("next").after(&["bad"])]).fails("bad", 1.0);
    assert_eq!(
        job.run(),
        [
            "0 start ok",
            "1 ok succeeded",
            "1 start bad",
            "2 bad failed",
            "2 next cancelled by dependency bad",
            "2 returned all_completed after 2 badly"
        ]
    );
}

#[test]
fn first_completed_returns_at_the_first_end_of_any_kind() {
    let job = Job::new([one("quick"), one("gated")])
        .workers(2)
        .takes("gated", LATE)
        .wait(wait(ReturnWhen::FirstCompleted));
    assert_eq!(
        job.run(),
        [
            "0 start quick",
            "0 start gated",
            "1 quick succeeded",
            "1 returned first_completed after 1 well",
            "1 stop gated",
            "1 gated cancelled by wait"
        ]
    );
    assert_eq!(
        job.fails("quick", 1.0).run(),
        [
            "0 start quick",
            "0 start gated",
            "1 quick failed",
            "1 returned first_completed after 1 badly",
            "1 stop gated",
            "1 gated cancelled by wait"
        ]
    );
}

#[test]
fn a_cancelled_future_is_done() {
    let tasks = [one("bad"), one("after").after(&["bad"]), one("gated")];
    let job = Job::new(tasks)
        .workers(2)
        .fails("bad", 1.0)
        .takes("gated", LATE)
        .wait(wait(ReturnWhen::Completed(Amount::Count(2))));
    assert_eq!(
        job.run(),
        [
            "0 start bad",
            "0 start gated",
            "1 bad failed",
            "1 after cancelled by dependency bad",
            "1 returned completed after 1 badly",
            "1 stop gated",
            "1 gated cancelled by wait"
        ]
    );
}

#[test]
fn first_exception_keeps_earlier_successes() {
    let job = Job::new([one("ok"), one("bad"), one("gated"), one("pending")])
        .workers(2)
        .fails("bad", 2.0)
        .takes("gated", LATE)
        .wait(wait(ReturnWhen::FirstException));
    assert_eq!(
        job.run(),
        [
            "0 start ok",
            "0 start bad",
            "1 ok succeeded",
            "1 start gated",
            "2 bad failed",
            "2 returned first_exception after 2 badly",
            "2 stop gated",
            "2 pending cancelled by wait",
            "2 gated cancelled by wait"
        ]
    );
}

#[test]
fn first_exception_without_one_is_all_completed() {
    let job = Job::new([one("a"), one("b")]).wait(wait(ReturnWhen::FirstException));
    assert_eq!(
        job.run(),
        [
            "0 start a",
            "1 a succeeded",
            "1 start b",
            "2 b succeeded",
            "2 returned all_completed after 2 well"
        ]
    );
}

#[test]
fn an_allowed_failure_is_no_exception_and_no_success() {
    let tasks = [one("flaky").allow_failure(), one("ok")];
    let job = Job::new(tasks).fails("flaky", 1.0).wait(wait(ReturnWhen::FirstException));
    assert_eq!(
        job.run(),
        [
            "0 start flaky",
            "1 flaky failed",
            "1 start ok",
            "2 ok succeeded",
            "2 returned all_completed after 2 well"
        ]
    );
    assert_eq!(
        job.wait(wait(ReturnWhen::FirstSuccess)).run(),
        [
            "0 start flaky",
            "1 flaky failed",
            "1 start ok",
            "2 ok succeeded",
            "2 returned first_success after 2 well"
        ]
    );
}

#[test]
fn first_success_forgives_failures() {
    let job = Job::new([one("bad"), one("ok"), one("spare")])
        .fails("bad", 1.0)
        .wait(wait(ReturnWhen::FirstSuccess));
    assert_eq!(
        job.run(),
        [
            "0 start bad",
            "1 bad failed",
            "1 start ok",
            "2 ok succeeded",
            "2 returned first_success after 2 well",
            "2 spare cancelled by wait"
        ]
    );
}

#[test]
fn what_cannot_be_met_any_more_returns_at_once() {
    let job = Job::new([group("g", 3)])
        .fails("g[0]", 1.0)
        .fails("g[1]", 1.0)
        .wait(wait(ReturnWhen::Succeeded(Amount::Count(2))));
    assert_eq!(
        job.run(),
        [
            "0 start g[0]",
            "1 g[0] failed",
            "1 start g[1]",
            "2 g[1] failed",
            "2 returned unreachable after 2 badly",
            "2 g[2] cancelled by wait",
            "2 g returned all_completed after 2 badly"
        ]
    );
    let too_many = wait(ReturnWhen::Completed(Amount::Count(4)));
    assert_eq!(
        job.wait(too_many).run(),
        [
            "0 returned unreachable after 0 badly",
            "0 g[0] cancelled by wait",
            "0 g[1] cancelled by wait",
            "0 g[2] cancelled by wait",
            "0 g returned cancelled after 0 badly"
        ]
    );
}

#[test]
fn shares_are_rounded_up() {
    let job = Job::new([group("g", 3)]);
    let half = wait(ReturnWhen::Completed(Amount::Percent(50.0)));
    assert_eq!(
        job.wait(half).run(),
        [
            "0 start g[0]",
            "1 g[0] succeeded",
            "1 start g[1]",
            "2 g[1] succeeded",
            "2 returned completed after 2 well",
            "2 g[2] cancelled by wait",
            "2 g returned cancelled after 2 badly"
        ]
    );
}

#[test]
fn the_kth_failure_returns() {
    let job = Job::new([group("g", 4)])
        .fails("g[0]", 1.0)
        .fails("g[2]", 1.0)
        .wait(wait(ReturnWhen::Failed(Amount::Count(2))));
    assert_eq!(
        job.run(),
        [
            "0 start g[0]",
            "1 g[0] failed",
            "1 start g[1]",
            "2 g[1] succeeded",
            "2 start g[2]",
            "3 g[2] failed",
            "3 returned failed after 3 badly",
            "3 g[3] cancelled by wait",
            "3 g returned all_completed after 3 badly"
        ]
    );
}

#[test]
fn an_empty_set_returns_at_once_under_every_policy() {
    let returned = |return_when| Job::new([group("g", 0)]).wait(wait(return_when)).run();
    for return_when in [
        ReturnWhen::AllCompleted,
        ReturnWhen::FirstCompleted,
        ReturnWhen::FirstException,
        ReturnWhen::Completed(Amount::Count(3)),
        ReturnWhen::Failed(Amount::Percent(50.0)),
    ] {
        assert_eq!(
            returned(return_when),
            ["0 g returned all_completed after 0 well", "0 returned all_completed after 0 well"]
        );
    }
    for return_when in [ReturnWhen::FirstSuccess, ReturnWhen::Succeeded(Amount::Percent(80.0))] {
        assert_eq!(
            returned(return_when),
            ["0 g returned all_completed after 0 well", "0 returned unreachable after 0 badly"]
        );
    }
}

#[test]
fn a_timeout_splits_the_set_and_fails_no_future() {
    let job = Job::new([one("ok"), one("gated"), one("pending")])
        .takes("gated", LATE)
        .wait(within(wait(ReturnWhen::AllCompleted), 5.0));
    assert_eq!(
        job.run(),
        [
            "0 start ok",
            "1 ok succeeded",
            "1 start gated",
            "5 returned timeout after 5 badly",
            "5 stop gated",
            "5 pending cancelled by wait",
            "5 gated cancelled by wait"
        ]
    );
}

#[test]
fn what_ends_with_the_timeout_is_done() {
    let job = Job::new([one("a")]).wait(within(wait(ReturnWhen::AllCompleted), 1.0));
    assert_eq!(job.run(), ["0 start a", "1 a succeeded", "1 returned all_completed after 1 well"]);
}

#[test]
fn a_timeout_of_nothing_looks_once() {
    let job = Job::new([one("a"), one("clean").when(When::Always).after(&["a"])])
        .wait(within(wait(ReturnWhen::AllCompleted), 0.0));
    assert_eq!(
        job.run(),
        [
            "0 start a",
            "0 returned timeout after 0 badly",
            "0 stop a",
            "0 a cancelled by wait",
            "0 start clean",
            "1 clean succeeded"
        ]
    );
}

#[test]
fn drain_lets_the_running_finish_and_continue_everybody() {
    let job = Job::new([one("quick"), one("slow"), one("pending")]).workers(2).takes("slow", 3.0);
    let first = wait(ReturnWhen::FirstCompleted);
    assert_eq!(
        job.clone().wait(then(first.clone(), OnReturn::Drain)).run(),
        [
            "0 start quick",
            "0 start slow",
            "1 quick succeeded",
            "1 returned first_completed after 1 well",
            "1 pending cancelled by wait",
            "3 slow succeeded"
        ]
    );
    assert_eq!(
        job.wait(then(first, OnReturn::Continue)).run(),
        [
            "0 start quick",
            "0 start slow",
            "1 quick succeeded",
            "1 returned first_completed after 1 well",
            "1 start pending",
            "2 pending succeeded",
            "3 slow succeeded"
        ]
    );
}

#[test]
fn a_failure_after_the_return_is_not_held_against_it() {
    let job = Job::new([one("quick"), one("bad")])
        .workers(2)
        .fails("bad", 3.0)
        .wait(then(wait(ReturnWhen::FirstCompleted), OnReturn::Drain));
    assert_eq!(
        job.run(),
        [
            "0 start quick",
            "0 start bad",
            "1 quick succeeded",
            "1 returned first_completed after 1 well",
            "3 bad failed"
        ]
    );
}

#[test]
fn who_is_stopped_but_finishes_has_succeeded() {
    let job = Job::new([one("quick"), one("deaf"), one("late")])
        .workers(3)
        .takes("deaf", 3.0)
        .fails("late", 4.0)
        .wait(wait(ReturnWhen::FirstCompleted))
        .obedience(Obedience::Never);
    assert_eq!(
        job.run(),
        [
            "0 start quick",
            "0 start deaf",
            "0 start late",
            "1 quick succeeded",
            "1 returned first_completed after 1 well",
            "1 stop deaf",
            "1 stop late",
            "3 deaf succeeded",
            "4 late cancelled by wait"
        ]
    );
}

#[test]
fn outside_tasks_run_after_the_job_returned() {
    let tasks = [
        one("bad"),
        one("gated"),
        one("clean").after(&["gated"]).when(When::Always),
        one("after").after(&["clean"]),
        one("alarm").after(&["gated"]).when(When::Failure),
    ];
    // The gated one was cancelled because something failed, so the alarm is given.
    let job = Job::new(tasks)
        .workers(2)
        .fails("bad", 1.0)
        .takes("gated", LATE)
        .wait(wait(ReturnWhen::FirstException))
        .obedience(Obedience::After(secs(2.0)));
    assert_eq!(
        job.run(),
        [
            "0 start bad",
            "0 start gated",
            "1 bad failed",
            "1 returned first_exception after 1 badly",
            "1 stop gated",
            "3 gated cancelled by wait",
            "3 start clean",
            "3 start alarm",
            "4 clean succeeded",
            "4 start after",
            "4 alarm succeeded",
            "5 after succeeded"
        ]
    );
}

#[test]
fn the_clock_of_a_group_starts_with_its_first_ready_member() {
    let own = within(wait(ReturnWhen::AllCompleted), 2.0);
    let tasks = [one("a"), group("g", 2).wait(own).after(&["a"]), one("next").after(&["g"])];
    assert_eq!(
        Job::new(tasks).takes("a", 5.0).takes("g[1]", LATE).run(),
        [
            "0 start a",
            "5 a succeeded",
            "5 start g[0]",
            "6 g[0] succeeded",
            "6 start g[1]",
            "7 g returned timeout after 2 badly",
            "7 stop g[1]",
            "7 next cancelled by dependency g",
            "7 g[1] cancelled by wait g",
            "7 returned all_completed after 7 badly"
        ]
    );
}

#[test]
fn a_poll_of_a_group_gives_up_what_has_just_started() {
    let own = within(wait(ReturnWhen::AllCompleted), 0.0);
    let tasks = [one("gated"), group("g", 2).wait(own)];
    assert_eq!(
        Job::new(tasks).run(),
        [
            "0 start gated",
            "0 g returned timeout after 0 badly",
            "0 g[0] cancelled by wait g",
            "0 g[1] cancelled by wait g",
            "1 gated succeeded",
            "1 returned all_completed after 1 badly"
        ]
    );
}

#[test]
fn a_group_with_first_success_is_a_race() {
    let own = wait(ReturnWhen::FirstSuccess);
    let tasks = [group("mirror", 3).wait(own), one("use").after(&["mirror"])];
    let job = Job::new(tasks).workers(2).fails("mirror[0]", 1.0).takes("mirror[1]", 3.0);
    // The failure counts for nothing: neither for the group nor for the job.
    assert_eq!(
        job.clone().takes("mirror[2]", LATE).run(),
        [
            "0 start mirror[0]",
            "0 start mirror[1]",
            "1 mirror[0] failed",
            "1 start mirror[2]",
            "3 mirror[1] succeeded",
            "3 mirror returned first_success after 3 well",
            "3 stop mirror[2]",
            "3 start use",
            "3 mirror[2] cancelled by wait mirror",
            "4 use succeeded",
            "4 returned all_completed after 4 well"
        ]
    );
    let fast = job.takes("mirror[2]", LATE).wait(wait(ReturnWhen::FirstException));
    assert_eq!(fast.run().last(), Some(&"4 returned all_completed after 4 well".to_owned()));
}

#[test]
fn a_failure_that_dooms_its_group_counts_for_the_job_at_once() {
    let tasks = [group("g", 3).wait(wait(ReturnWhen::AllCompleted))];
    let job = Job::new(tasks).fails("g[0]", 1.0).wait(wait(ReturnWhen::FirstException));
    assert_eq!(
        job.run(),
        [
            "0 start g[0]",
            "1 g[0] failed",
            "1 returned first_exception after 1 badly",
            "1 g[1] cancelled by wait",
            "1 g[2] cancelled by wait",
            "1 g returned all_completed after 1 badly"
        ]
    );
}

#[test]
fn a_group_that_timed_out_is_one_failure_of_the_job() {
    let own = within(wait(ReturnWhen::AllCompleted), 2.0);
    let tasks = [group("g", 2).wait(own), one("gated")];
    let job = Job::new(tasks)
        .workers(3)
        .takes("g[1]", LATE)
        .takes("gated", LATE)
        .wait(wait(ReturnWhen::FirstException));
    assert_eq!(
        job.run(),
        [
            "0 start g[0]",
            "0 start g[1]",
            "0 start gated",
            "1 g[0] succeeded",
            "2 g returned timeout after 2 badly",
            "2 stop g[1]",
            "2 returned first_exception after 2 badly",
            "2 stop gated",
            "2 g[1] cancelled by wait g",
            "2 gated cancelled by wait"
        ]
    );
}

#[test]
fn a_member_that_fails_after_its_group_returned_is_not_held_against_anybody() {
    let own = then(wait(ReturnWhen::FirstCompleted), OnReturn::Continue);
    let tasks = [group("g", 2).wait(own), one("next").after(&["g"])];
    let job = Job::new(tasks).workers(2).fails("g[1]", 3.0);
    assert_eq!(
        job.wait(wait(ReturnWhen::FirstException)).run(),
        [
            "0 start g[0]",
            "0 start g[1]",
            "1 g[0] succeeded",
            "1 g returned first_completed after 1 well",
            "1 start next",
            "2 next succeeded",
            "3 g[1] failed",
            "3 returned all_completed after 3 well"
        ]
    );
}

#[test]
fn map_that_stops_at_the_first_error_cancels_the_pending() {
    let own = wait(ReturnWhen::FirstException);
    let job = Job::new([group("g", 4).wait(own)]).fails("g[2]", 1.0);
    assert_eq!(
        job.run(),
        [
            "0 start g[0]",
            "1 g[0] succeeded",
            "1 start g[1]",
            "2 g[1] succeeded",
            "2 start g[2]",
            "3 g[2] failed",
            "3 g returned first_exception after 3 badly",
            "3 g[3] cancelled by wait g",
            "3 returned all_completed after 3 badly"
        ]
    );
}

#[test]
fn a_group_that_the_job_cancels_is_left_when_its_members_have_stopped() {
    let own = wait(ReturnWhen::FirstCompleted);
    let tasks =
        [one("bad"), group("g", 2).wait(own), one("clean").after(&["g"]).when(When::Always)];
    let job = Job::new(tasks)
        .workers(3)
        .fails("bad", 1.0)
        .takes("g[0]", LATE)
        .takes("g[1]", LATE)
        .wait(wait(ReturnWhen::FirstException))
        .obedience(Obedience::After(secs(2.0)));
    assert_eq!(
        job.run(),
        [
            "0 start bad",
            "0 start g[0]",
            "0 start g[1]",
            "1 bad failed",
            "1 returned first_exception after 1 badly",
            "1 stop g[0]",
            "1 stop g[1]",
            "3 g[0] cancelled by wait",
            "3 g[1] cancelled by wait",
            "3 g returned cancelled after 3 badly",
            "3 start clean",
            "4 clean succeeded"
        ]
    );
}

#[test]
fn what_needs_a_group_does_not_run_when_the_job_cancelled_it() {
    let tasks = [
        one("quick"),
        group("g", 2),
        one("clean").after(&["quick"]).when(When::Always),
        // It stands outside, for it is after the clean-up step.
        one("publish").after(&["clean", "g"]),
    ];
    let job = Job::new(tasks).wait(wait(ReturnWhen::FirstCompleted));
    assert_eq!(
        job.run(),
        [
            "0 start quick",
            "1 quick succeeded",
            "1 returned first_completed after 1 well",
            "1 g[0] cancelled by wait",
            "1 g[1] cancelled by wait",
            "1 g returned cancelled after 1 badly",
            "1 publish cancelled by dependency g[0]",
            "1 start clean",
            "2 clean succeeded"
        ]
    );
}

#[test]
fn an_interrupt_cancels_what_is_inside_and_clean_up_still_runs() {
    let tasks = [
        one("gated"),
        one("pending").after(&["gated"]),
        one("clean").after(&["gated"]).when(When::Always),
        one("alarm").after(&["gated"]).when(When::Failure),
    ];
    let job = Job::new(tasks).takes("gated", LATE).signal(2.0);
    assert_eq!(
        job.run(),
        [
            "0 start gated",
            "2 returned interrupt after 2 badly",
            "2 stop gated",
            "2 pending cancelled by interrupt",
            "2 gated cancelled by interrupt",
            "2 alarm skipped",
            "2 start clean",
            "3 clean succeeded"
        ]
    );
}

#[test]
fn a_second_signal_stops_clean_up_too() {
    let tasks = [
        one("gated"),
        one("clean").after(&["gated"]).when(When::Always),
        one("more").after(&["clean"]).when(When::Always),
    ];
    let job = Job::new(tasks).takes("gated", LATE).takes("clean", LATE).signal(2.0).signal(4.0);
    assert_eq!(
        job.run(),
        [
            "0 start gated",
            "2 returned interrupt after 2 badly",
            "2 stop gated",
            "2 gated cancelled by interrupt",
            "2 start clean",
            "4 kill clean",
            "4 more cancelled by interrupt",
            "4 clean cancelled by interrupt"
        ]
    );
}

#[test]
fn a_second_signal_ends_the_grace() {
    let job = Job::new([one("slow"), one("pending")])
        .takes("slow", LATE)
        .obedience(Obedience::After(secs(60.0)))
        .signal(2.0)
        .signal(4.0);
    assert_eq!(
        job.run(),
        [
            "0 start slow",
            "2 returned interrupt after 2 badly",
            "2 stop slow",
            "2 pending cancelled by interrupt",
            "4 kill slow",
            "4 slow cancelled by interrupt"
        ]
    );
}

#[test]
fn an_interrupted_group_says_so() {
    let tasks = [group("g", 2), one("next").after(&["g"])];
    assert_eq!(
        Job::new(tasks).takes("g[1]", LATE).signal(2.0).run(),
        [
            "0 start g[0]",
            "1 g[0] succeeded",
            "1 start g[1]",
            "2 returned interrupt after 2 badly",
            "2 stop g[1]",
            "2 next cancelled by interrupt",
            "2 g[1] cancelled by interrupt",
            "2 g returned interrupt after 2 badly"
        ]
    );
}

#[test]
fn an_interrupt_is_the_reason_also_where_the_executor_had_broken() {
    let own = wait(ReturnWhen::Succeeded(Amount::Count(2)));
    let job = Job::new([group("g", 2).wait(own)]).workers(2).fails("g[1]", 4.0);
    assert_eq!(
        job.obedience(Obedience::Never).breaks(2.0, 0).signal(3.0).run(),
        [
            "0 start g[0]",
            "0 start g[1]",
            "1 g[0] succeeded",
            "2 kill g[1]",
            "3 returned interrupt after 3 badly",
            "3 stop g[1]",
            "4 g[1] cancelled by interrupt",
            "4 g returned interrupt after 4 badly"
        ]
    );
}

#[test]
fn a_group_that_had_gone_wrong_before_it_was_cancelled_has_failed() {
    let own = wait(ReturnWhen::AllCompleted);
    let forgiving = wait(ReturnWhen::Succeeded(Amount::Count(2)));
    let job = Job::new([group("g", 2).wait(own), group("h", 2).wait(forgiving)])
        .workers(4)
        .wait(within(wait(ReturnWhen::AllCompleted), 2.0))
        .fails("g[0]", 1.0)
        .takes("g[1]", LATE)
        .takes("h[1]", LATE);
    assert_eq!(
        job.run(),
        [
            "0 start g[0]",
            "0 start g[1]",
            "0 start h[0]",
            "0 start h[1]",
            "1 g[0] failed",
            "1 h[0] succeeded",
            "2 returned timeout after 2 badly",
            "2 stop g[1]",
            "2 stop h[1]",
            "2 g[1] cancelled by wait",
            "2 g returned all_completed after 2 badly",
            "2 h[1] cancelled by wait",
            "2 h returned cancelled after 2 badly"
        ]
    );
}

#[test]
fn an_interrupt_after_the_return_ends_what_goes_on() {
    let job = Job::new([one("quick"), one("gated")])
        .workers(2)
        .takes("gated", LATE)
        .wait(then(wait(ReturnWhen::FirstCompleted), OnReturn::Continue))
        .signal(5.0);
    assert_eq!(
        job.run(),
        [
            "0 start quick",
            "0 start gated",
            "1 quick succeeded",
            "1 returned first_completed after 1 well",
            "5 stop gated",
            "5 gated cancelled by interrupt"
        ]
    );
}

#[test]
fn fifty_futures_are_cancelled_or_have_run() {
    let tasks = [group("g", 50)];
    let story = Job::new(tasks).workers(5).wait(within(wait(ReturnWhen::AllCompleted), 2.5)).run();
    let count = |what: &str| story.iter().filter(|line| line.contains(what)).count();
    assert_eq!((count("start"), count("succeeded"), count("cancelled by wait")), (15, 10, 40));
}
