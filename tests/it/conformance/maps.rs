//! Maps: one future an item, results in the order of submission.

use serde_json::{Value, json};

use super::{KINDS, on};

#[test]
fn c40_c43_all_items_run_and_results_keep_their_order() {
    for kind in KINDS {
        for workers in [1, 3, 40] {
            let end = on(
                kind,
                workers,
                r#"
                [[task]]
                name = "square"
                call = "echo"
                map  = { range = [0, 40] }
                args = ["{{ item * item }}"]
                "#,
            )
            .run();
            end.expect(0);
            let squares: Vec<u32> = (0..40).map(|n| n * n).collect();
            assert_eq!(end.result("square"), &json!(squares));
        }
    }
}

#[test]
fn c41_the_first_exception_of_a_map_cancels_what_has_not_started() {
    for kind in KINDS {
        let end = on(
            kind,
            1,
            r#"
            [[task]]
            name = "t"
            run  = 'test "$JOBRUN_ITEM" != err; echo "$JOBRUN_ITEM"'
            map  = ["a", "b", "err", "c"]
            wait = { return_when = "first_exception" }
            "#,
        )
        .run();
        end.expect(1);
        assert_eq!(end.result("t"), &json!(["a", "b", null, null]));
        assert_eq!(end.state("t[2]"), "failed");
        assert_eq!(end.state("t[3]"), "cancelled");
        assert_eq!(end.future("t[3]")["started"], Value::Null);
        assert_eq!(end.report["groups"]["t"]["verdict"], "failed");
        assert_eq!(end.report["groups"]["t"]["returned_because"], "first_exception");
    }
}

#[test]
fn without_a_wait_of_its_own_one_failure_of_a_map_cancels_nothing() {
    for kind in KINDS {
        let end = on(
            kind,
            1,
            r#"
            [[task]]
            name = "t"
            run  = 'test "$JOBRUN_ITEM" != err; echo "$JOBRUN_ITEM"'
            map  = ["a", "err", "c"]
            "#,
        )
        .run();
        end.expect(1);
        assert_eq!(end.result("t"), &json!(["a", null, "c"]));
    }
}

#[test]
fn c42_c44_a_map_that_times_out_keeps_what_it_has_and_starts_no_more() {
    for kind in KINDS {
        let story = on(
            kind,
            1,
            r#"
            [[task]]
            name = "t"
            run  = 'test "$JOBRUN_INDEX" -lt 2 || cat held.gate; echo "$JOBRUN_ITEM"'
            map  = ["a", "b", "c", "d", "e"]
            wait = { timeout = "4s" }
            [[task]]
            name  = "after"
            run   = ["true"]
            after = ["t"]
            "#,
        );
        let gate = story.gate("held.gate");
        let running = story.spawn();
        let _never_opened = gate.reached();
        let end = running.end();
        // The timeout of a group is its failure, not that of the job.
        end.expect(1);
        assert_eq!(end.result("t"), &json!(["a", "b", null, null, null]));
        assert_eq!(end.report["groups"]["t"]["returned_because"], "timeout");
        assert_eq!(end.state("t[2]"), "cancelled");
        for name in ["t[3]", "t[4]", "after"] {
            assert_eq!(end.state(name), "cancelled");
            assert_eq!(end.future(name)["started"], Value::Null);
        }
    }
}

#[test]
fn what_is_after_a_group_starts_when_its_wait_returns() {
    for kind in KINDS {
        let story = on(
            kind,
            3,
            r#"
            [[task]]
            name = "race"
            run  = ["cat", "{{ item }}.gate"]
            map  = [0, 1]
            wait = { return_when = "first_completed" }
            [[task]]
            name  = "prize"
            run   = ["echo", "won"]
            after = ["race"]
            "#,
        );
        let gates = [story.gate("0.gate"), story.gate("1.gate")];
        let running = story.spawn();
        let _loser = gates[0].reached();
        gates[1].open();
        let end = running.end();
        end.expect(0);
        assert_eq!(end.state("race[0]"), "cancelled");
        assert_eq!(end.result("prize"), "won");
        assert_eq!(end.report["groups"]["race"]["verdict"], "succeeded");
    }
}

#[test]
fn a_group_that_the_job_gives_up_has_neither_succeeded_nor_failed() {
    for kind in KINDS {
        let story = on(
            kind,
            2,
            r#"
            [wait]
            return_when = "first_success"
            [[task]]
            name = "slow"
            run  = ["cat", "{{ item }}.gate"]
            map  = [0]
            wait = { return_when = "all_completed" }
            [[task]]
            name = "quick"
            run  = ["cat", "quick.gate"]
            "#,
        );
        let (slow, quick) = (story.gate("0.gate"), story.gate("quick.gate"));
        let running = story.spawn();
        let _never_opened = slow.reached();
        quick.open();
        let end = running.end();
        end.expect(0);
        assert_eq!(end.state("slow[0]"), "cancelled");
        assert_eq!(end.report["groups"]["slow"]["verdict"], "cancelled");
        assert_eq!(end.report["groups"]["slow"]["returned_because"], "cancelled");
        assert!(!end.stderr.contains("FAIL"), "{}", end.stderr);
    }
}

#[test]
fn whole_numbers_stay_exact() {
    for kind in KINDS {
        let end = on(
            kind,
            2,
            r#"
            [[task]]
            name = "sum"
            call = "sum_to"
            map  = [10_000, 9_000_000_000_000_000_000]
            "#,
        )
        .arg("--results")
        .run();
        end.expect(0);
        let exact = 9_000_000_000_000_000_000_i128 * 9_000_000_000_000_000_001 / 2;
        assert!(end.stdout.contains(&exact.to_string()), "{}", end.stdout);
        assert!(end.stdout.contains("50005000"), "{}", end.stdout);
        assert!(end.file("report.json").contains(&exact.to_string()));
    }
}

#[test]
fn c53_c98_ten_thousand_futures_all_end() {
    for kind in KINDS {
        let end = on(
            kind,
            5,
            r#"
            [[task]]
            name = "t"
            call = "echo"
            map  = { range = [0, 10_000] }
            "#,
        )
        .run();
        end.expect(0);
        assert_eq!(end.report["counts"]["succeeded"], 10_000);
        assert_eq!(end.result("t")[9_999], 9_999);
    }
}

#[test]
fn c99_c100_the_same_manifest_ends_the_same_everywhere() {
    let manifest = r#"
        [[task]]
        name = "sum"
        call = "sum_to"
        map  = [10, 100, 1000]
        [[task]]
        name = "bad"
        call = "fail"
        args = ["no"]
        [[task]]
        name  = "lost"
        run   = ["true"]
        after = ["bad"]
        [[task]]
        name  = "report"
        run   = ["echo", "done"]
        after = ["sum"]
    "#;
    let outcomes = |kind, workers| {
        let end = on(kind, workers, manifest).run();
        end.expect(1);
        let futures = end.report["futures"].as_array().unwrap();
        let told: Vec<Value> = futures
            .iter()
            .map(|future| {
                json!([
                    future["name"],
                    future["state"],
                    future["result"],
                    future["error"],
                    future["cause"],
                    future["after"]
                ])
            })
            .collect();
        json!([told, end.report["results"], end.report["counts"], end.names("done")])
    };
    let first = outcomes("thread", 1);
    for (kind, workers) in [("thread", 4), ("process", 1), ("process", 4)] {
        assert_eq!(outcomes(kind, workers), first, "{kind} with {workers}");
    }
}
