//! Groups that follow another task future by future, groups whose members turn out while the job runs,
//! and conditions.

use jobrun::graph::{ReturnWhen, When};
use jobrun::schedule::Answer;

use crate::schedule::sim::{Job, group, one, open, then, wait};

#[test]
fn each_starts_as_soon_as_its_counterpart_is_done() {
    let job = Job::new([
        group("fetch", 3),
        group("parse", 0).each("fetch"),
        one("end").after(&["parse"]),
    ])
    .workers(3)
    .takes("fetch[0]", 5.0)
    .takes("fetch[1]", 1.0)
    .takes("fetch[2]", 3.0);
    let starts: Vec<String> = job.run().into_iter().filter(|line| line.contains("start")).collect();
    assert_eq!(
        starts,
        [
            "0 start fetch[0]",
            "0 start fetch[1]",
            "0 start fetch[2]",
            "1 start parse[1]",
            "3 start parse[2]",
            "5 start parse[0]",
            "6 start end",
        ]
    );
}

#[test]
fn only_the_follower_of_what_failed_does_not_run() {
    let job = Job::new([group("fetch", 2), group("parse", 0).each("fetch")]).fails("fetch[0]", 1.0);
    assert_eq!(
        job.run(),
        [
            "0 start fetch[0]",
            "1 fetch[0] failed",
            "1 parse[0] cancelled by dependency fetch[0]",
            "1 start fetch[1]",
            "2 fetch[1] succeeded",
            "2 fetch returned all_completed after 2 badly",
            "2 start parse[1]",
            "3 parse[1] succeeded",
            "3 parse returned all_completed after 1 badly",
            "3 returned all_completed after 3 badly",
        ]
    );
}

#[test]
fn who_follows_what_only_a_verdict_counts_for_counts_for_nothing_either() {
    let fetch = group("fetch", 3).wait(wait(ReturnWhen::FirstSuccess));
    let tasks = [fetch, group("parse", 0).each("fetch"), one("end").after(&["parse"])];
    let job = Job::new(tasks).fails("fetch[0]", 1.0);
    assert_eq!(
        job.run(),
        [
            "0 start fetch[0]",
            "1 fetch[0] failed",
            "1 parse[0] cancelled by dependency fetch[0]",
            "1 start fetch[1]",
            "2 fetch[1] succeeded",
            "2 fetch returned first_success after 2 well",
            "2 fetch[2] cancelled by wait fetch",
            "2 parse[2] cancelled by dependency fetch[2]",
            "2 start parse[1]",
            "3 parse[1] succeeded",
            "3 parse returned all_completed after 1 well",
            "3 start end",
            "4 end succeeded",
            "4 returned all_completed after 4 well",
        ]
    );
}

#[test]
fn each_may_handle_the_failures_alone() {
    let job = Job::new([group("fetch", 2), group("mend", 0).each("fetch").when(When::Failure)])
        .fails("fetch[0]", 1.0);
    let story = job.run();
    assert!(
        story.contains(&"1 start mend[0]".to_owned())
            || story.contains(&"2 start mend[0]".to_owned())
    );
    assert!(story.contains(&"2 mend[1] skipped".to_owned()));
}

#[test]
fn an_open_group_gets_its_members_when_its_turn_has_come() {
    let tasks = [one("list"), open("work", Some(2)).after(&["list"]), one("end").after(&["work"])];
    assert_eq!(
        Job::new(tasks).workers(2).run(),
        [
            "0 start list",
            "1 list succeeded",
            "1 expand work",
            "1 start work[0]",
            "1 start work[1]",
            "2 work[0] succeeded",
            "2 work[1] succeeded",
            "2 work returned all_completed after 1 well",
            "2 start end",
            "3 end succeeded",
            "3 returned all_completed after 3 well",
        ]
    );
}

#[test]
fn members_that_turn_out_later_keep_their_place_in_the_manifest() {
    let tasks = [one("list"), open("work", Some(2)).after(&["list"]), group("other", 3)];
    let starts: Vec<String> =
        Job::new(tasks).run().into_iter().filter(|line| line.contains("start")).collect();
    assert_eq!(
        starts,
        [
            "0 start list",
            "1 start work[0]",
            "2 start work[1]",
            "3 start other[0]",
            "4 start other[1]",
            "5 start other[2]",
        ]
    );
}

#[test]
fn a_follower_of_an_open_group_grows_with_it() {
    let tasks = [
        open("work", Some(2)),
        one("slow"),
        group("check", 0).each("work").after(&["slow"]),
        one("end").after(&["check"]),
    ];
    let job = Job::new(tasks).workers(3).takes("slow", 4.0);
    assert_eq!(
        job.run(),
        [
            "0 expand work",
            "0 start work[0]",
            "0 start work[1]",
            "0 start slow",
            "1 work[0] succeeded",
            "1 work[1] succeeded",
            "1 work returned all_completed after 1 well",
            "4 slow succeeded",
            "4 start check[0]",
            "4 start check[1]",
            "5 check[0] succeeded",
            "5 check[1] succeeded",
            "5 check returned all_completed after 1 well",
            "5 start end",
            "6 end succeeded",
            "6 returned all_completed after 6 well",
        ]
    );
}

#[test]
fn members_that_cannot_be_found_out_are_one_that_failed() {
    let tasks = [open("work", None), group("check", 0).each("work"), one("other")];
    assert_eq!(
        Job::new(tasks).run(),
        [
            "0 expand work",
            "0 work[0] failed",
            "0 check[0] cancelled by dependency work[0]",
            "0 work returned all_completed after 0 badly",
            "0 check returned all_completed after 0 badly",
            "0 start other",
            "1 other succeeded",
            "1 returned all_completed after 1 badly",
        ]
    );
}

#[test]
fn no_members_are_no_work_and_no_failure() {
    let tasks =
        [open("work", Some(0)), group("check", 0).each("work"), one("end").after(&["check"])];
    assert_eq!(
        Job::new(tasks).run(),
        [
            "0 expand work",
            "0 work returned all_completed after 0 well",
            "0 check returned all_completed after 0 well",
            "0 start end",
            "1 end succeeded",
            "1 returned all_completed after 1 well",
        ]
    );
}

#[test]
fn an_empty_follower_waits_for_what_the_other_waits_for() {
    let tasks = [
        one("setup"),
        group("none", 0).after(&["setup"]),
        group("check", 0).each("none"),
        one("end").after(&["check"]),
    ];
    let story = Job::new(tasks).run();
    assert!(story.contains(&"1 start end".to_owned()), "{story:#?}");
}

#[test]
fn a_job_that_returned_does_not_wait_for_members_that_nobody_knows() {
    let tasks = [one("first"), one("list"), open("work", Some(3)).after(&["list"])];
    let job = Job::new(tasks).workers(2).takes("list", 9.0).wait(wait(ReturnWhen::FirstCompleted));
    assert_eq!(
        job.run(),
        [
            "0 start first",
            "0 start list",
            "1 first succeeded",
            "1 returned first_completed after 1 well",
            "1 stop list",
            "1 work returned cancelled after 0 badly",
            "1 list cancelled by wait",
        ]
    );
}

#[test]
fn a_share_of_the_job_is_known_when_all_members_are() {
    let half = ReturnWhen::Completed(jobrun::graph::Amount::Percent(50.0));
    let tasks = [one("list"), open("work", Some(7)).after(&["list"])];
    let job = Job::new(tasks).wait(then(wait(half), jobrun::graph::OnReturn::Drain));
    let story = job.run();
    assert!(story.contains(&"4 returned completed after 4 well".to_owned()), "{story:#?}");
}

#[test]
fn a_condition_is_asked_about_when_its_turn_has_come_and_takes_no_worker() {
    let tasks =
        [one("first"), group("maybe", 3).asks().after(&["first"]), one("end").after(&["maybe"])];
    let job = Job::new(tasks).answers(|name| match name {
        "maybe[0]" => Answer::No,
        _ => Answer::Yes,
    });
    assert_eq!(
        job.run(),
        [
            "0 start first",
            "1 first succeeded",
            "1 ask about maybe[0]",
            "1 ask about maybe[1]",
            "1 ask about maybe[2]",
            "1 maybe[0] skipped",
            "1 start maybe[1]",
            "2 maybe[1] succeeded",
            "2 start maybe[2]",
            "3 maybe[2] succeeded",
            "3 maybe returned all_completed after 2 well",
            "3 start end",
            "4 end succeeded",
            "4 returned all_completed after 4 well",
        ]
    );
}

#[test]
fn a_condition_that_nobody_can_tell_is_a_failure() {
    let tasks = [one("maybe").asks(), one("end").after(&["maybe"])];
    assert_eq!(
        Job::new(tasks).answers(|_| Answer::Unclear).run(),
        [
            "0 ask about maybe",
            "0 maybe failed",
            "0 end cancelled by dependency maybe",
            "0 returned all_completed after 0 badly",
        ]
    );
}
