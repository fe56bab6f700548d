//! What is tried again, when, and how often.

use jobrun::executor::mock::Obedience;
use jobrun::graph::{OnReturn, Retry, ReturnWhen};
use jobrun::outcome::FailureKind;

use crate::schedule::sim::{How, Job, group, one, retries, secs, then, wait};

#[test]
fn a_future_that_waits_for_its_next_attempt_holds_no_worker() {
    let job = Job::new([one("flaky").retry(retries(1, 5.0)), one("other")]).attempt(
        "flaky",
        1,
        1.0,
        How::Fails(FailureKind::Call),
    );
    assert_eq!(
        job.run(),
        [
            "0 start flaky",
            "1 retry flaky #2 at 6",
            "1 start other",
            "2 other succeeded",
            "6 start flaky #2",
            "7 flaky succeeded",
            "7 returned all_completed after 7 well"
        ]
    );
}

#[test]
fn an_attempt_that_was_given_up_gives_back_what_it_held_itself() {
    let tasks = [
        one("clock"),
        one("a").uses(&[(0, 1)]).timeout(2.0).retry(retries(1, 0.0)),
        one("next").uses(&[(0, 1)]).after(&["clock"]),
    ];
    let job = Job::new(tasks)
        .workers(4)
        .resource("gpu", 2)
        .obedience(Obedience::Never)
        .takes("clock", 2.5)
        .attempt("a", 1, 3.0, How::Succeeds)
        .attempt("a", 2, 1.5, How::Succeeds);
    assert_eq!(
        job.run(),
        [
            "0 start clock",
            "0 start a gpu[0]",
            "2 retry a #2 at 2",
            "2 start a #2 gpu[1]",
            "2.5 clock succeeded",
            "3 start next gpu[0]",
            "3.5 a succeeded",
            "4 next succeeded",
            "4 returned all_completed after 4 well"
        ]
    );
}

#[test]
fn after_the_last_attempt_it_has_failed() {
    let job = Job::new([one("bad").retry(retries(2, 0.0)), one("next").after(&["bad"])]);
    assert_eq!(
        job.fails("bad", 1.0).run(),
        [
            "0 start bad",
            "1 retry bad #2 at 1",
            "1 start bad #2",
            "2 retry bad #3 at 2",
            "2 start bad #3",
            "3 bad failed",
            "3 next cancelled by dependency bad",
            "3 returned all_completed after 3 badly"
        ]
    );
}

#[test]
fn pauses_grow_up_to_their_bound() {
    let retry = Retry { backoff: 2.0, max_delay: Some(secs(5.0)), ..retries(4, 1.0) };
    let story = Job::new([one("bad").retry(retry)]).fails("bad", 0.0).run();
    let pauses: Vec<&String> = story.iter().filter(|line| line.contains("retry")).collect();
    assert_eq!(
        pauses,
        [
            "0 retry bad #2 at 1",
            "1 retry bad #3 at 3",
            "3 retry bad #4 at 7",
            "7 retry bad #5 at 12"
        ]
    );
}

#[test]
fn jitter_is_between_half_and_whole_and_the_same_for_the_same_seed() {
    let retry = Retry { jitter: true, ..retries(1, 8.0) };
    let job = Job::new([group("g", 40).retry(retry)])
        .workers(40)
        .script(|_, _| (secs(0.0), How::Fails(FailureKind::Call)));
    let pauses = |seed| -> Vec<f64> {
        let story = job.clone().seed(seed).run();
        let at = story.iter().filter_map(|line| line.split_once(" at "));
        at.map(|(_, at)| at.parse().expect("a time")).collect()
    };
    let drawn = pauses(7);
    assert_eq!(drawn.len(), 40);
    assert!(drawn.iter().all(|pause| (4.0..=8.0).contains(pause)), "{drawn:?}");
    assert!(drawn.iter().any(|pause| *pause < 5.0) && drawn.iter().any(|pause| *pause > 7.0));
    assert_eq!(drawn, pauses(7));
    assert_ne!(drawn, pauses(8));
}

#[test]
fn only_the_named_kinds_are_tried_again() {
    let on = |kinds: &[FailureKind]| Retry { on: Some(kinds.to_vec()), ..retries(1, 0.0) };
    let job = |retry| Job::new([one("a").retry(retry)]).fails("a", 1.0);
    assert_eq!(job(on(&[FailureKind::Exit])).run()[1], "1 a failed");
    assert_eq!(job(on(&[FailureKind::Exit, FailureKind::Call])).run()[1], "1 retry a #2 at 1");
}

#[test]
fn exit_codes_narrow_failures_by_exit_alone() {
    let retry = Retry { on_exit: Some(vec![75]), ..retries(1, 0.0) };
    let job = Job::new([one("a").retry(retry)]);
    let story = |how| job.clone().attempt("a", 1, 1.0, how).run()[1].clone();
    assert_eq!(story(How::Exits(75)), "1 retry a #2 at 1");
    assert_eq!(story(How::Exits(1)), "1 a failed");
    assert_eq!(story(How::Fails(FailureKind::Signal)), "1 retry a #2 at 1");
}

#[test]
fn a_timeout_is_a_kind_of_failure() {
    let retry = Retry { on: Some(vec![FailureKind::Timeout]), ..retries(1, 0.0) };
    let job = Job::new([one("a").child().timeout(2.0).retry(retry)]).takes("a", 9.0);
    assert_eq!(
        job.run(),
        [
            "0 start a",
            "2 retry a #2 at 2",
            "2 start a #2",
            "4 a timed_out",
            "4 returned all_completed after 4 badly"
        ]
    );
}

#[test]
fn nothing_is_tried_again_once_the_wait_cancelled_it() {
    let job = Job::new([one("quick"), one("waits").retry(retries(3, 9.0)), one("runs")])
        .workers(3)
        .takes("quick", 2.0)
        .fails("waits", 1.0)
        .fails("runs", 3.0);
    let first = wait(ReturnWhen::FirstCompleted);
    assert_eq!(
        job.clone().wait(then(first.clone(), OnReturn::Drain)).run(),
        [
            "0 start quick",
            "0 start waits",
            "0 start runs",
            "1 retry waits #2 at 10",
            "2 quick succeeded",
            "2 returned first_completed after 2 well",
            "2 waits cancelled by wait",
            "3 runs failed"
        ]
    );
    assert_eq!(
        job.wait(first).obedience(Obedience::Never).run(),
        [
            "0 start quick",
            "0 start waits",
            "0 start runs",
            "1 retry waits #2 at 10",
            "2 quick succeeded",
            "2 returned first_completed after 2 well",
            "2 waits cancelled by wait",
            "2 stop runs",
            "3 runs cancelled by wait"
        ]
    );
}
