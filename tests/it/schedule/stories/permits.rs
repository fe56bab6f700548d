//! Stories about permits: starts that somebody outside must allow.

use jobrun::graph::OnWorkerDeath;

use crate::schedule::sim::{Job, group, one};

#[test]
fn each_start_has_a_permit_which_is_given_back_when_it_has_ended() {
    let job = Job::new([one("a"), one("b")]).guard(&[0], 0, 0.0);
    assert_eq!(
        job.run(),
        [
            "0 ask 0",
            "0 start a",
            "1 a succeeded",
            "1 give back 0",
            "1 ask 0",
            "1 start b",
            "2 b succeeded",
            "2 returned all_completed after 2 well",
            "2 give back 0",
        ]
    );
}

#[test]
fn only_as_many_run_as_there_are_permits_and_the_next_waits_for_one() {
    let job = Job::new([group("t", 3)]).workers(3).guard(&[0], 1, 0.5);
    assert_eq!(
        job.run(),
        [
            "0 ask 0",
            "0 start t[0]",
            "0 ask 0",
            "0.5 start t[1]",
            "0.5 ask 0",
            "1 t[0] succeeded",
            "1 give back 0",
            "1.5 t[1] succeeded",
            "1.5 give back 0",
            "1.5 start t[2]",
            "2.5 t[2] succeeded",
            "2.5 t returned all_completed after 2.5 well",
            "2.5 returned all_completed after 2.5 well",
            "2.5 give back 0",
        ]
    );
}

#[test]
fn executors_that_share_permits_take_turns() {
    let tasks = [group("a", 2), group("b", 2).on(1)];
    let job = Job::new(tasks).executor(1, OnWorkerDeath::Fail).guard(&[0, 1], 0, 0.0);
    let starts: Vec<String> = job.run().into_iter().filter(|line| line.contains("start")).collect();
    assert_eq!(starts, ["0 start a[0]", "1 start b[0]", "2 start a[1]", "3 start b[1]"]);
}

#[test]
fn an_executor_that_is_not_guarded_goes_on_meanwhile() {
    let tasks = [group("a", 2), group("b", 2).on(1)];
    let job = Job::new(tasks).workers(2).executor(2, OnWorkerDeath::Fail).guard(&[0], 0, 0.0);
    let starts: Vec<String> = job.run().into_iter().filter(|line| line.contains("start")).collect();
    assert_eq!(starts, ["0 start a[0]", "0 start b[0]", "0 start b[1]", "1 start a[1]"]);
}

#[test]
fn an_interrupt_forgoes_what_was_asked_for() {
    let job = Job::new([group("t", 2)]).workers(2).takes("t[0]", 9.0).guard(&[0], 0, 0.0);
    assert_eq!(
        job.signal(3.0).run(),
        [
            "0 ask 0",
            "0 start t[0]",
            "0 ask 0",
            "3 returned interrupt after 3 badly",
            "3 stop t[0]",
            "3 t[1] cancelled by interrupt",
            "3 forgo 0",
            "3 t[0] cancelled by interrupt",
            "3 t returned interrupt after 3 badly",
            "3 give back 0",
        ]
    );
}

#[test]
fn a_permit_that_comes_too_late_is_given_back() {
    let job = Job::new([group("t", 2), one("last").on(1)])
        .workers(2)
        .executor(1, OnWorkerDeath::Fail)
        .takes("last", 9.0)
        .breaks(2.0, 0)
        .takes("t[0]", 8.0)
        .guard(&[0], 1, 5.0);
    let permits: Vec<String> =
        job.run().into_iter().filter(|line| line.contains('0') && line.ends_with(" 0")).collect();
    assert_eq!(permits, ["0 ask 0", "0 ask 0", "2 forgo 0", "2 give back 0", "5 give back 0"]);
}

#[test]
fn an_exclusive_future_waits_for_its_permit_and_holds_the_others_back() {
    let tasks = [one("a"), one("alone").exclusive().priority(1), one("b").on(1)];
    let job = Job::new(tasks).executor(1, OnWorkerDeath::Fail).guard(&[0, 1], 0, 0.0);
    let starts: Vec<String> = job.run().into_iter().filter(|line| line.contains("start")).collect();
    assert_eq!(starts, ["0 start alone", "1 start a", "2 start b"]);
}

#[test]
fn nothing_is_handed_over_ahead_where_starts_need_a_permit() {
    let job = Job::new([group("t", 3)]).ahead(9).guard(&[0], 9, 0.0);
    assert!(job.run().iter().all(|line| !line.contains("ahead")));
}
