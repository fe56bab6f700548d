//! Who waits learns of it: polls, futures that are done already, waiters of futures.

use serde_json::{Value, json};

use super::{KINDS, on};
use crate::story::End;

#[test]
fn c04_what_has_ended_is_not_cancelled_any_more() {
    for kind in KINDS {
        let end = on(
            kind,
            1,
            r#"
            [wait]
            return_when = { completed = 2 }
            [[task]]
            name = "ok"
            call = "echo"
            args = ["kept"]
            [[task]]
            name = "bad"
            call = "fail"
            args = ["kept too"]
            [[task]]
            name = "pending"
            run  = ["true"]
            "#,
        )
        .run();
        end.expect(1);
        assert_eq!((end.state("ok"), end.state("bad")), ("succeeded", "failed"));
        assert_eq!(end.state("pending"), "cancelled");
        assert_eq!(end.result("ok"), "kept");
        for name in ["ok", "bad"] {
            assert_eq!(end.future(name)["cause"], Value::Null);
        }
    }
}

#[test]
fn c06_c37_a_wait_that_gives_up_sorts_futures_by_their_state() {
    for kind in KINDS {
        // One worker: the race is over before the next starts, which stands at the gate.
        let story = on(
            kind,
            1,
            r#"
            [wait]
            timeout = "3s"
            [[task]]
            name = "race"
            call = "echo"
            map  = ["ok", "cancelled"]
            wait = { return_when = "first_completed" }
            [[task]]
            name  = "running"
            run   = ["cat", "running.gate"]
            after = ["race"]
            [[task]]
            name  = "pending"
            run   = ["true"]
            after = ["running"]
            "#,
        );
        let gate = story.gate("running.gate");
        let running = story.spawn();
        let _never_opened = gate.reached();
        let end = running.end();
        end.expect(3).says("2 (of 4) futures unfinished");
        assert_eq!(end.names("done"), ["race[0]", "race[1]"]);
        assert_eq!(end.names("not_done"), ["pending", "running"]);
    }
}

#[test]
fn c35_c37_a_poll_starts_what_is_ready_and_returns() {
    for kind in KINDS {
        let end = on(
            kind,
            1,
            r#"
            [wait]
            timeout = 0
            [[task]]
            name = "none"
            call = "echo"
            map  = []
            [[task]]
            name = "ready"
            run  = ["sleep", "600"]
            [[task]]
            name = "pending"
            run  = ["true"]
            "#,
        )
        .run();
        end.expect(3).says("2 (of 2) futures unfinished");
        assert_eq!(end.because(), "timeout");
        assert_eq!(end.names("done"), [""; 0]);
        assert_eq!(end.names("not_done"), ["pending", "ready"]);
        // The one was handed over and stopped, perhaps before it ran; the other was not even that.
        assert_eq!(end.state("ready"), "cancelled");
        assert_eq!(end.state("pending"), "cancelled");
        assert!(end.future("pending")["started"].is_null());
        assert!(end.leftovers().is_empty());
    }
}

#[test]
fn c35_a_wait_without_futures_has_nothing_to_give_up() {
    for kind in KINDS {
        let end = on(
            kind,
            1,
            "[wait]\ntimeout = 0\n[[task]]\nname = \"none\"\ncall = \"echo\"\nmap = []\n",
        )
        .run();
        end.expect(0);
        assert_eq!(end.because(), "all_completed");
    }
}

#[test]
fn c07_c08_who_waits_for_a_future_wakes_at_its_end_whatever_it_is() {
    for kind in KINDS {
        let story = on(
            kind,
            2,
            r#"
            [[task]]
            name = "value"
            run  = 'cat value.gate; echo 5'
            [[task]]
            name = "error"
            run  = 'cat error.gate; exit 5'
            [[task]]
            name  = "cancelled"
            run   = ["true"]
            after = ["error"]
            [[task]]
            name  = "of-value"
            run   = ["true"]
            after = ["value"]
            when  = "always"
            [[task]]
            name  = "of-error"
            run   = ["true"]
            after = ["error"]
            when  = "failure"
            [[task]]
            name  = "of-cancelled"
            run   = ["true"]
            after = ["cancelled"]
            when  = "always"
            "#,
        );
        let gates = ["value.gate", "error.gate"].map(|name| story.gate(name));
        let running = story.spawn();
        let held = [gates[0].reached(), gates[1].reached()];
        drop(held);
        let end = running.end();
        end.expect(1);
        for awaited in ["value", "error", "cancelled"] {
            let waiter = format!("of-{awaited}");
            assert_eq!(end.state(&waiter), "succeeded");
            assert!(place(&end, "finished", awaited) < place(&end, "started", &waiter));
        }
        assert_eq!(end.state("cancelled"), "cancelled");
    }
}

/// The number of this event of this future.
#[track_caller]
fn place(end: &End, event: &str, future: &str) -> usize {
    let is = |line: &Value| line["event"] == event && line["future"] == future;
    let found = end.events.iter().position(is);
    found.unwrap_or_else(|| panic!("{future} has no {event}"))
}

#[test]
fn c11_whoever_looks_sees_what_was_or_what_is_and_nothing_in_between() {
    for kind in KINDS {
        let end = on(
            kind,
            4,
            r#"
            [[task]]
            name = "t"
            call = "echo"
            map  = { range = [1000, 2000] }
            [[callback]]
            on  = ["start", "done"]
            log = "{{ future.item }} {{ future.state }} {{ future.result }}"
            "#,
        )
        .run();
        end.expect(0);
        let logs: Vec<&str> =
            end.events.iter().filter_map(|line| line["message"].as_str()).collect();
        assert_eq!(logs.len(), 2000);
        for log in logs {
            let words: Vec<&str> = log.split(' ').collect();
            match words[1] {
                "running" => assert_eq!(words[2], "null", "{log}"),
                state => assert_eq!((state, words[2]), ("succeeded", words[0]), "{log}"),
            }
        }
    }
}

#[test]
fn c26_a_cancelled_future_is_done_and_may_be_the_first() {
    for kind in KINDS {
        let story = on(
            kind,
            3,
            r#"
            [wait]
            return_when = "first_completed"
            [[task]]
            name = "given-up"
            run  = ["sleep", "600"]
            map  = [1]
            wait = { timeout = "500ms" }
            [[task]]
            name = "held"
            run  = ["cat", "held.gate"]
            "#,
        );
        let gate = story.gate("held.gate");
        let running = story.spawn();
        let _never_opened = gate.reached();
        let end = running.end();
        assert_eq!(end.because(), "first_completed");
        assert_eq!(end.names("done"), ["given-up[0]"]);
        assert_eq!(end.names("not_done"), ["held"]);
        assert_eq!(end.state("given-up[0]"), "cancelled");
        assert_eq!(
            end.future("given-up[0]")["cause"],
            json!({ "kind": "wait", "future": "given-up" })
        );
    }
}

#[test]
fn c26_cancelled_futures_count_towards_every_number() {
    for kind in KINDS {
        let story = on(
            kind,
            2,
            r#"
            [wait]
            return_when = { completed = 3 }
            [[task]]
            name = "held"
            run  = ["cat", "held.gate"]
            [[task]]
            name = "race"
            run  = ["cat", "race.gate"]
            map  = ["quick", "cancelled", "cancelled"]
            wait = { return_when = "first_completed" }
            "#,
        );
        let [held, race] = ["held.gate", "race.gate"].map(|name| story.gate(name));
        let running = story.spawn();
        let _never_opened = held.reached();
        race.open();
        let end = running.end();
        end.expect(0);
        assert_eq!(end.because(), "completed");
        assert_eq!(end.names("done"), ["race[0]", "race[1]", "race[2]"]);
        assert_eq!(end.names("not_done"), ["held"]);
    }
}
