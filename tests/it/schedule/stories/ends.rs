//! Timeouts, dead workers and broken executors.

use jobrun::executor::mock::Obedience;
use jobrun::graph::{OnWorkerDeath, When};
use jobrun::outcome::FailureKind;

use crate::schedule::sim::{How, Job, one, retries, secs};

#[test]
fn a_call_that_overran_keeps_its_worker_until_it_returns() {
    let tasks = [one("slow").timeout(2.0), one("next")];
    let job = Job::new(tasks).takes("slow", 6.0);
    assert_eq!(
        job.clone().obedience(Obedience::Never).run(),
        [
            "0 start slow",
            "2 slow timed_out",
            "6 start next",
            "7 next succeeded",
            "7 returned all_completed after 7 badly"
        ]
    );
    assert_eq!(
        job.obedience(Obedience::After(secs(1.0))).run(),
        [
            "0 start slow",
            "2 slow timed_out",
            "3 start next",
            "4 next succeeded",
            "4 returned all_completed after 4 badly"
        ]
    );
}

#[test]
fn a_call_that_overran_keeps_its_resources_and_its_solitude() {
    let tasks = [
        one("slow").timeout(2.0).uses(&[(0, 1)]).priority(1),
        one("next").uses(&[(0, 1)]),
        one("free"),
    ];
    let job = Job::new(tasks).workers(3).resource("db", 1).takes("slow", 6.0);
    assert_eq!(
        job.obedience(Obedience::Never).run(),
        [
            "0 start slow db[0]",
            "0 start free",
            "1 free succeeded",
            "2 slow timed_out",
            "6 start next db[0]",
            "7 next succeeded",
            "7 returned all_completed after 7 badly"
        ]
    );
    let tasks = [one("solo").timeout(2.0).exclusive().priority(1), one("next")];
    let job = Job::new(tasks).workers(3).takes("solo", 6.0);
    assert_eq!(
        job.obedience(Obedience::Never).run(),
        [
            "0 start solo",
            "2 solo timed_out",
            "6 start next",
            "7 next succeeded",
            "7 returned all_completed after 7 badly"
        ]
    );
}

#[test]
fn the_run_is_over_before_an_abandoned_call_returns() {
    let tasks = [one("slow").timeout(2.0)];
    let story = Job::new(tasks).takes("slow", 600.0).obedience(Obedience::Never).run();
    assert_eq!(
        story,
        ["0 start slow", "2 slow timed_out", "2 returned all_completed after 2 badly"]
    );
}

#[test]
fn a_dead_worker_fails_what_it_ran() {
    assert_eq!(
        death(OnWorkerDeath::Fail).run(),
        [
            "0 start deadly",
            "0 start beside",
            "1 deadly failed",
            "1 start pending",
            "2 beside succeeded",
            "2 pending succeeded",
            "2 returned all_completed after 2 badly"
        ]
    );
}

#[test]
fn what_a_dead_worker_ran_is_run_again_three_times() {
    let job = death(OnWorkerDeath::Retry);
    assert_eq!(
        job.run(),
        [
            "0 start deadly",
            "0 start beside",
            "1 retry deadly #2 at 1",
            "1 start deadly #2",
            "2 beside succeeded",
            "2 start pending",
            "2 retry deadly #3 at 2",
            "2 start deadly #3",
            "3 pending succeeded",
            "3 retry deadly #4 at 3",
            "3 start deadly #4",
            "4 deadly failed",
            "4 returned all_completed after 4 badly"
        ]
    );
    // These do not count as retries.
    let job = Job::new([one("a").retry(retries(1, 0.0))])
        .on_worker_death(OnWorkerDeath::Retry)
        .script(|_, attempt| match attempt {
            1..=3 => (secs(1.0), How::Fails(FailureKind::WorkerDeath)),
            4 => (secs(1.0), How::Fails(FailureKind::Call)),
            _ => (secs(1.0), How::Succeeds),
        });
    assert_eq!(job.run().last(), Some(&"5 returned all_completed after 5 well".to_owned()));
}

#[test]
fn a_dead_worker_breaks_its_executor() {
    assert_eq!(
        death(OnWorkerDeath::Break).run(),
        [
            "0 start deadly",
            "0 start beside",
            "1 deadly failed",
            "1 kill beside",
            "1 pending failed",
            "1 beside failed",
            "1 returned all_completed after 1 badly"
        ]
    );
}

#[test]
fn a_broken_executor_fails_all_that_is_its_and_nothing_else() {
    let tasks = [
        one("running"),
        one("pending"),
        one("blocked").after(&["pending"]),
        one("retrying").retry(retries(1, 60.0)).priority(1),
        one("clean").after(&["pending"]).when(When::Always).on(1),
        one("needs").after(&["pending"]).on(1),
        one("other").on(1),
    ];
    let job = Job::new(tasks)
        .executor(2, OnWorkerDeath::Fail)
        .fails("retrying", 1.0)
        .takes("running", 5.0)
        .takes("other", 5.0)
        .breaks(3.0, 0);
    assert_eq!(
        job.run(),
        [
            "0 start retrying",
            "0 start other",
            "1 retry retrying #2 at 61",
            "1 start running",
            "3 kill running",
            "3 pending failed",
            "3 blocked failed",
            "3 retrying failed",
            "3 needs cancelled by dependency pending",
            "3 start clean",
            "3 running failed",
            "4 clean succeeded",
            "5 other succeeded",
            "5 returned all_completed after 5 badly"
        ]
    );
}

/// A worker dies whenever it runs `deadly`, beside another one.
fn death(what: OnWorkerDeath) -> Job {
    Job::new([one("deadly"), one("beside"), one("pending")])
        .workers(2)
        .on_worker_death(what)
        .takes("beside", 2.0)
        .script(|name, _| match name {
            "deadly" => (secs(1.0), How::Fails(FailureKind::WorkerDeath)),
            _ => (secs(1.0), How::Succeeds),
        })
}
