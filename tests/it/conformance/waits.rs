//! Waits: when a set of futures returns, and what is done then.

use serde_json::json;

use super::{KINDS, on};
use crate::story::Story;

#[test]
fn c28_the_first_exception_returns_and_earlier_successes_are_done() {
    for kind in KINDS {
        let story = on(
            kind,
            3,
            r#"
            [wait]
            return_when = "first_exception"
            [[task]]
            name = "ok"
            run  = ["true"]
            [[task]]
            name  = "bad"
            run   = ["cat", "bad.gate", "missing.txt"]
            after = ["ok"]
            [[task]]
            name = "held"
            run  = ["cat", "held.gate"]
            "#,
        );
        let (bad, held) = (story.gate("bad.gate"), story.gate("held.gate"));
        let running = story.spawn();
        let _never_opened = held.reached();
        bad.open();
        let end = running.end();
        end.expect(1);
        assert_eq!(end.because(), "first_exception");
        assert_eq!(end.names("done"), ["bad", "ok"]);
        assert_eq!(end.names("not_done"), ["held"]);
        assert_eq!(end.state("held"), "cancelled");
    }
}

#[test]
fn c29_a_cancelled_future_is_no_exception() {
    for kind in KINDS {
        let story = on(
            kind,
            4,
            r#"
            [wait]
            return_when = "first_exception"
            [[task]]
            name = "race"
            run  = ["cat", "race{{ item }}.gate"]
            map  = [0, 1]
            wait = { return_when = "first_completed" }
            [[task]]
            name  = "bad"
            run   = ["cat", "bad.gate", "missing.txt"]
            after = ["race"]
            [[task]]
            name = "held"
            run  = ["cat", "held.gate"]
            "#,
        );
        let gates = ["race0.gate", "race1.gate", "bad.gate", "held.gate"];
        let gates = gates.map(|name| story.gate(name));
        let running = story.spawn();
        let _lost = gates[1].reached();
        let _held = gates[3].reached();
        gates[0].open();
        // `bad` starts: the job still runs although `race[1]` was cancelled.
        gates[2].open();
        let end = running.end();
        end.expect(1);
        assert_eq!(end.because(), "first_exception");
        assert_eq!(end.state("race[1]"), "cancelled");
        assert_eq!(end.state("bad"), "failed");
        assert!(end.names("not_done").contains(&"held"));
        assert!(end.names("done").contains(&"race[0]"));
    }
}

#[test]
fn c30_c36_a_future_counts_once_however_often_it_is_named() {
    for kind in KINDS {
        let end = on(
            kind,
            2,
            r#"
            [[task]]
            name = "a1"
            call = "echo"
            args = [1]
            [[task]]
            name  = "b"
            call  = "echo"
            args  = [2]
            after = ["a1", "a*", "?1"]
            "#,
        )
        .run();
        end.expect(0);
        assert_eq!(end.names("done"), ["a1", "b"]);
        assert_eq!(end.future("b")["after"], json!(["a1"]));
    }
}

#[test]
fn c32_when_all_are_awaited_none_is_left() {
    for kind in KINDS {
        let end = on(
            kind,
            2,
            r#"
            [[task]]
            name = "ok"
            call = "echo"
            args = [1]
            [[task]]
            name = "bad"
            call = "fail"
            args = ["no"]
            [[task]]
            name  = "lost"
            run   = ["true"]
            after = ["bad"]
            "#,
        )
        .run();
        end.expect(1);
        assert_eq!(end.because(), "all_completed");
        assert_eq!(end.names("done"), ["bad", "lost", "ok"]);
        assert!(end.names("not_done").is_empty());
    }
}

#[test]
fn c33_c37_a_wait_that_times_out_tells_how_many_are_unfinished() {
    for kind in KINDS {
        // One worker, and ranks are the order of the manifest: two end, one stands at the gate, and
        // one waits. Nothing else can be the case when the time is up, however slow the machine.
        let story = on(
            kind,
            1,
            r#"
            [wait]
            timeout = "4s"
            [[task]]
            name = "ok"
            call = "echo"
            args = [1]
            [[task]]
            name = "bad"
            call = "fail"
            args = ["no"]
            [[task]]
            name = "held"
            run  = ["cat", "held.gate"]
            [[task]]
            name = "pending"
            run  = ["true"]
            "#,
        );
        let gate = story.gate("held.gate");
        let running = story.spawn();
        let _never_opened = gate.reached();
        let end = running.end();
        end.expect(3).says("2 (of 4) futures unfinished");
        assert_eq!(end.because(), "timeout");
        assert_eq!(end.report["outcome"], "timed_out");
        assert_eq!(end.names("done"), ["bad", "ok"]);
        assert_eq!(end.names("not_done"), ["held", "pending"]);
        assert_eq!(end.state("held"), "cancelled");
        assert_eq!(end.future("held")["error"], json!(null));
        assert_eq!(end.future("held")["cause"]["kind"], "wait");
    }
}

#[test]
fn a_wait_of_no_time_looks_once_and_returns() {
    for kind in KINDS {
        let end = on(
            kind,
            2,
            r#"
            [wait]
            timeout = 0
            [[task]]
            name = "sleeper"
            run  = ["sleep", "600"]
            map  = { range = [0, 4] }
            "#,
        )
        .run();
        end.expect(3).says("4 (of 4) futures unfinished");
        assert_eq!(end.names("not_done").len(), 4);
    }
}

#[test]
fn c34_all_are_in_the_list_of_completions_once() {
    for kind in KINDS {
        let story = on(
            kind,
            5,
            r#"
            [[task]]
            name = "t"
            run  = ["cat", "{{ item }}.gate"]
            map  = [0, 1, 2, 3, 4]
            "#,
        );
        let gates: Vec<_> = (0..5).map(|n| story.gate(&format!("{n}.gate"))).collect();
        let running = story.spawn();
        // All run before any is let through.
        let mut held: Vec<_> = gates.iter().map(|gate| Some(gate.reached())).collect();
        for n in [3, 0, 4, 1, 2] {
            held[n].take();
        }
        let end = running.end();
        end.expect(0);
        assert_eq!(end.names("completion_order"), ["t[0]", "t[1]", "t[2]", "t[3]", "t[4]"]);
    }
}

#[test]
fn c38_without_failures_the_first_exception_is_the_end_of_all() {
    for kind in KINDS {
        let end = on(
            kind,
            2,
            r#"
            [wait]
            return_when = "first_exception"
            [[task]]
            name = "t"
            call = "echo"
            map  = [1, 2, 3]
            "#,
        )
        .run();
        end.expect(0);
        assert!(end.names("not_done").is_empty());
        assert_eq!(end.result("t"), &json!([1, 2, 3]));
    }
}

#[test]
fn c15_an_empty_set_returns_at_once_under_every_policy() {
    for kind in KINDS {
        for (policy, code) in [
            ("all_completed", 0),
            ("first_completed", 0),
            ("first_exception", 0),
            ("first_success", 1),
        ] {
            let wait = format!("[wait]\nreturn_when = \"{policy}\"\n");
            let task = "[[task]]\nname = \"none\"\ncall = \"echo\"\nmap = []\n";
            let end = on(kind, 2, &format!("{wait}{task}")).run();
            end.expect(code);
            assert_eq!(end.result("none"), &json!([]));
            assert_eq!(end.report["counts"]["total"], 0);
        }
    }
}

#[test]
fn so_many_of_them_are_enough() {
    for kind in KINDS {
        for (policy, code, because) in [
            ("\"first_success\"", 0, "first_success"),
            ("{ succeeded = 2 }", 0, "succeeded"),
            ("{ succeeded = \"50%\" }", 0, "succeeded"),
            ("{ succeeded = 4 }", 1, "unreachable"),
            ("{ completed = 3 }", 1, "completed"),
            ("{ failed = 2 }", 1, "failed"),
        ] {
            let wait = format!("[wait]\nreturn_when = {policy}\n");
            let tasks = r#"
                [[task]]
                name = "bad"
                call = "fail"
                map  = ["one", "two"]
                [[task]]
                name = "ok"
                call = "echo"
                map  = [1, 2, 3]
            "#;
            let end = on(kind, 1, &format!("{wait}{tasks}")).run();
            end.expect(code);
            assert_eq!(end.because(), because, "{policy}");
        }
    }
}

#[test]
fn what_is_not_done_may_go_on_to_the_end() {
    for kind in KINDS {
        let end = on(
            kind,
            1,
            r#"
            [wait]
            return_when = "first_completed"
            on_return = "continue"
            [[task]]
            name = "t"
            call = "echo"
            map  = [1, 2, 3]
            "#,
        )
        .run();
        end.expect(0);
        assert_eq!(end.names("done"), ["t[0]"]);
        assert_eq!(end.names("not_done"), ["t[1]", "t[2]"]);
        assert_eq!(end.result("t"), &json!([1, 2, 3]));
    }
}

#[test]
fn flags_say_the_same_as_keys() {
    let manifest = r#"
        [executor]
        max_workers = 1
        [[task]]
        name = "t"
        call = "fail"
        map  = ["a", "b", "c"]
    "#;
    let end = Story::new(manifest).arg("--fail-fast").run();
    end.expect(1);
    assert_eq!(end.because(), "first_exception");
    assert_eq!(end.report["wait"]["return_when"], "first_exception");
    let end = Story::new(manifest).args(&["--return-when", "first_completed"]).run();
    end.expect(1);
    assert_eq!(end.names("done"), ["t[0]"]);
}
