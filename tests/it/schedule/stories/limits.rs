//! How many run at once, and who goes first where there is not enough for all.

use jobrun::graph::{OnReturn, OnWorkerDeath, ReturnWhen};

use crate::schedule::sim::{Job, group, one, then, wait, within};

#[test]
fn as_many_run_at_once_as_there_are_workers() {
    let story = Job::new([group("g", 60)]).workers(4).run();
    let at_once = story.iter().take_while(|line| line.starts_with("0 start")).count();
    assert_eq!((at_once, story.len()), (4, 60 + 60 + 2));
    assert_eq!(story[story.len() - 1], "15 returned all_completed after 15 well");
}

#[test]
fn executors_do_not_share_their_workers() {
    let tasks = [one("a"), one("b"), one("c").on(1), one("d").on(1)];
    assert_eq!(
        Job::new(tasks).executor(1, OnWorkerDeath::Fail).run(),
        [
            "0 start a",
            "0 start c",
            "1 a succeeded",
            "1 start b",
            "1 c succeeded",
            "1 start d",
            "2 b succeeded",
            "2 d succeeded",
            "2 returned all_completed after 2 well"
        ]
    );
}

#[test]
fn the_lowest_free_units_are_handed_out() {
    let tasks = [
        one("a").uses(&[(0, 1)]),
        one("b").uses(&[(0, 2)]),
        one("c").uses(&[(0, 1)]),
        one("d").uses(&[(0, 2)]),
    ];
    let job = Job::new(tasks).workers(9).resource("gpu", 3).takes("b", 2.0);
    assert_eq!(
        job.run(),
        [
            "0 start a gpu[0]",
            "0 start b gpu[1, 2]",
            "1 a succeeded",
            "1 start c gpu[0]",
            "2 b succeeded",
            "2 start d gpu[1, 2]",
            "2 c succeeded",
            "3 d succeeded",
            "3 returned all_completed after 3 well"
        ]
    );
}

#[test]
fn bytes_are_shared_without_numbers() {
    let tasks = [one("a").uses(&[(0, 6)]), one("b").uses(&[(0, 5)]), one("c").uses(&[(0, 4)])];
    assert_eq!(
        Job::new(tasks).workers(9).memory("memory", 10).run(),
        [
            "0 start a",
            "1 a succeeded",
            "1 start b",
            "1 start c",
            "2 b succeeded",
            "2 c succeeded",
            "2 returned all_completed after 2 well"
        ]
    );
}

#[test]
fn a_large_demand_is_not_starved_by_small_ones() {
    let tasks = [
        one("small").uses(&[(0, 1)]).priority(3),
        one("large").uses(&[(0, 2)]).priority(2),
        one("other").priority(1),
        group("flood", 3).uses(&[(0, 1)]),
    ];
    assert_eq!(
        Job::new(tasks).workers(9).resource("db", 2).run(),
        [
            "0 start small db[0]",
            "0 start other",
            "1 small succeeded",
            "1 start large db[0, 1]",
            "1 other succeeded",
            "2 large succeeded",
            "2 start flood[0] db[0]",
            "2 start flood[1] db[1]",
            "3 flood[0] succeeded",
            "3 start flood[2] db[0]",
            "3 flood[1] succeeded",
            "4 flood[2] succeeded",
            "4 flood returned all_completed after 4 well",
            "4 returned all_completed after 4 well"
        ]
    );
}

#[test]
fn whoever_waits_for_one_resource_does_not_hold_another() {
    let tasks = [
        one("a").uses(&[(0, 1)]).priority(3),
        one("both").uses(&[(1, 1), (0, 1)]).priority(2),
        one("b").uses(&[(1, 1)]).priority(1),
    ];
    let job = Job::new(tasks).workers(9).resource("x", 1).resource("y", 1).takes("a", 3.0);
    assert_eq!(
        job.run(),
        [
            "0 start a x[0]",
            "0 start b y[0]",
            "1 b succeeded",
            "3 a succeeded",
            "3 start both y[0] x[0]",
            "4 both succeeded",
            "4 returned all_completed after 4 well"
        ]
    );
}

#[test]
fn the_line_moves_on_when_its_head_is_cancelled() {
    let own = within(wait(ReturnWhen::AllCompleted), 2.0);
    let tasks = [
        one("holder").uses(&[(0, 1)]).priority(3),
        group("large", 1).wait(own).uses(&[(0, 2)]).priority(2),
        one("small").uses(&[(0, 1)]).priority(1),
    ];
    let job = Job::new(tasks).workers(9).resource("db", 2).takes("holder", 9.0);
    assert_eq!(
        job.run(),
        [
            "0 start holder db[0]",
            "2 large returned timeout after 2 badly",
            "2 large[0] cancelled by wait large",
            "2 start small db[1]",
            "3 small succeeded",
            "9 holder succeeded",
            "9 returned all_completed after 9 badly"
        ]
    );
}

#[test]
fn a_demand_for_more_than_there_is_takes_it_all() {
    let tasks = [one("a").uses(&[(0, 1)]), one("greedy").uses(&[(0, 99)])];
    assert_eq!(
        Job::new(tasks).workers(9).resource("db", 2).run(),
        [
            "0 start a db[0]",
            "1 a succeeded",
            "1 start greedy db[0, 1]",
            "2 greedy succeeded",
            "2 returned all_completed after 2 well"
        ]
    );
}

#[test]
fn an_exclusive_future_runs_alone() {
    let tasks =
        [one("a").priority(2), one("solo").exclusive().priority(1).on(1), one("b"), one("c").on(1)];
    let job = Job::new(tasks).workers(3).executor(3, OnWorkerDeath::Fail).takes("a", 2.0);
    assert_eq!(
        job.run(),
        [
            "0 start a",
            "2 a succeeded",
            "2 start solo",
            "3 solo succeeded",
            "3 start b",
            "3 start c",
            "4 b succeeded",
            "4 c succeeded",
            "4 returned all_completed after 4 well"
        ]
    );
}

#[test]
fn plain_calls_are_handed_over_before_a_worker_is_free() {
    let tasks = [group("g", 5)];
    assert_eq!(
        Job::new(tasks).workers(2).ahead(2).run(),
        [
            "0 start g[0]",
            "0 start g[1]",
            "0 start g[2] ahead",
            "0 start g[3] ahead",
            "1 g[0] succeeded",
            "1 start g[4] ahead",
            "1 g[1] succeeded",
            "2 g[2] succeeded",
            "2 g[3] succeeded",
            "3 g[4] succeeded",
            "3 g returned all_completed after 3 well",
            "3 returned all_completed after 3 well"
        ]
    );
}

#[test]
fn what_is_not_plain_waits_for_its_worker_and_is_not_passed() {
    let tasks = [one("a"), one("timed").timeout(9.0), one("b")];
    assert_eq!(
        Job::new(tasks).ahead(2).run(),
        [
            "0 start a",
            "1 a succeeded",
            "1 start timed",
            "1 start b ahead",
            "2 timed succeeded",
            "3 b succeeded",
            "3 returned all_completed after 3 well"
        ]
    );
    let tasks = [one("a"), one("child").child(), one("b")];
    assert_eq!(
        Job::new(tasks).ahead(2).run(),
        [
            "0 start a",
            "1 a succeeded",
            "1 start child",
            "2 child succeeded",
            "2 start b",
            "3 b succeeded",
            "3 returned all_completed after 3 well"
        ]
    );
}

#[test]
fn nobody_is_handed_over_early_while_a_wait_may_return_early() {
    let job = Job::new([group("g", 3)]).ahead(2);
    let first = then(wait(ReturnWhen::FirstCompleted), OnReturn::Continue);
    // Once it has returned, there is nothing left to be exact about.
    assert_eq!(
        job.wait(first).run(),
        [
            "0 start g[0]",
            "1 g[0] succeeded",
            "1 returned first_completed after 1 well",
            "1 start g[1]",
            "1 start g[2] ahead",
            "2 g[1] succeeded",
            "3 g[2] succeeded",
            "3 g returned all_completed after 3 well"
        ]
    );
}

#[test]
fn what_was_handed_over_early_is_taken_back() {
    let timed = within(wait(ReturnWhen::AllCompleted), 2.0);
    let job = Job::new([group("g", 4)]).ahead(2).takes("g[0]", 5.0);
    assert_eq!(
        job.clone().wait(timed.clone()).run(),
        [
            "0 start g[0]",
            "0 start g[1] ahead",
            "0 start g[2] ahead",
            "2 returned timeout after 2 badly",
            "2 stop g[0]",
            "2 stop g[1]",
            "2 stop g[2]",
            "2 g[3] cancelled by wait",
            "2 g[1] cancelled by wait",
            "2 g[2] cancelled by wait",
            "2 g[0] cancelled by wait",
            "2 g returned cancelled after 2 badly"
        ]
    );
    assert_eq!(
        job.wait(then(timed, OnReturn::Drain)).run(),
        [
            "0 start g[0]",
            "0 start g[1] ahead",
            "0 start g[2] ahead",
            "2 returned timeout after 2 badly",
            "2 recall g[1]",
            "2 recall g[2]",
            "2 g[3] cancelled by wait",
            "2 g[1] cancelled by wait",
            "2 g[2] cancelled by wait",
            "5 g[0] succeeded",
            "5 g returned cancelled after 5 badly"
        ]
    );
}

#[test]
fn the_number_of_workers_does_not_change_how_things_end() {
    let ends = |workers| {
        let tasks = [
            one("a"),
            one("bad").after(&["a"]),
            one("b").after(&["bad"]),
            group("g", 6).after(&["a"]),
            one("c").after(&["g"]),
        ];
        let story = Job::new(tasks).workers(workers).fails("bad", 1.0).fails("g[4]", 1.0).run();
        let without_time = story.iter().filter_map(|line| line.split_once(' '));
        let mut ends: Vec<String> =
            without_time.map(|(_, it)| it.to_owned()).filter(|it| !it.contains("after")).collect();
        ends.sort();
        ends
    };
    assert_eq!(ends(1), ends(4));
}
