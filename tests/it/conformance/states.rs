//! States: every future reaches exactly one final state, once.

use serde_json::{Value, json};

use super::{KINDS, on};

#[test]
fn c01_a_future_that_is_cancelled_while_it_waits_never_starts() {
    for kind in KINDS {
        let end = on(
            kind,
            1,
            r#"
            [wait]
            return_when = "first_completed"
            [[task]]
            name = "a"
            call = "echo"
            args = [1]
            [[task]]
            name = "b"
            run  = "echo ran > b.txt"
            "#,
        )
        .run();
        end.expect(0);
        assert_eq!(end.state("b"), "cancelled");
        assert_eq!(end.future("b")["started"], Value::Null);
        assert_eq!(end.future("b")["cause"]["kind"], "wait");
        assert_eq!(end.future("b")["attempts"], json!([]));
        assert!(!end.path("b.txt").exists());
    }
}

#[test]
fn c02_a_running_future_is_not_cancelled_by_a_wait_that_drains() {
    for kind in KINDS {
        let story = on(
            kind,
            2,
            r#"
            [wait]
            return_when = "first_completed"
            on_return = "drain"
            [[task]]
            name = "slow"
            run  = "cat slow.gate; echo finished"
            [[task]]
            name = "quick"
            run  = "cat quick.gate"
            [[task]]
            name = "pending"
            run  = ["true"]
            [[callback]]
            on  = "return"
            run = ["cat", "returned.gate"]
            "#,
        );
        let [slow, quick, returned] =
            ["slow.gate", "quick.gate", "returned.gate"].map(|name| story.gate(name));
        let running = story.spawn();
        let at_gate = slow.reached();
        quick.open();
        returned.open();
        drop(at_gate);
        let end = running.end();
        end.expect(0);
        assert_eq!(end.state("slow"), "succeeded");
        assert_eq!(end.future("slow")["result"], "finished");
        assert_eq!(end.state("pending"), "cancelled");
        assert_eq!(end.names("done"), ["quick"]);
        assert_eq!(end.names("not_done"), ["pending", "slow"]);
    }
}

#[test]
fn c03_two_waits_that_cancel_the_same_future_end_it_once() {
    for kind in KINDS {
        let end = on(
            kind,
            1,
            r#"
            [wait]
            return_when = "first_completed"
            [[task]]
            name = "group"
            call = "echo"
            map  = [1, 2, 3]
            wait = { return_when = "first_completed" }
            [[callback]]
            on  = "cancelled"
            log = "{{ future.name }} was cancelled"
            "#,
        )
        .run();
        end.expect(0);
        for name in ["group[1]", "group[2]"] {
            assert_eq!(end.state(name), "cancelled");
            let told = end.report["callbacks"].as_array().unwrap();
            assert_eq!(told.iter().filter(|call| call["future"] == name).count(), 1);
            let order = end.report["completion_order"].as_array().unwrap();
            assert_eq!(order.iter().filter(|done| *done == name).count(), 1);
        }
    }
}

#[test]
fn c05_c09_every_final_state_has_its_word() {
    for kind in KINDS {
        let end = on(
            kind,
            4,
            r#"
            [[task]]
            name = "ok"
            call = "echo"
            args = ["fine"]
            [[task]]
            name = "bad"
            run  = ["sh", "-c", "echo why >&2; exit 3"]
            [[task]]
            name = "killed"
            run  = ["sh", "-c", "kill -9 $$"]
            [[task]]
            name = "slow"
            run  = ["sleep", "600"]
            timeout = "100ms"
            [[task]]
            name  = "needs-bad"
            run   = ["true"]
            after = ["bad"]
            [[task]]
            name  = "if-ok-failed"
            run   = ["true"]
            after = ["ok"]
            when  = "failure"
            "#,
        )
        .run();
        end.expect(1);
        let seen = |name: &str| {
            let future = end.future(name);
            (end.state(name).to_owned(), future["error"]["kind"].clone())
        };
        assert_eq!(seen("ok"), ("succeeded".to_owned(), Value::Null));
        assert_eq!(seen("bad"), ("failed".to_owned(), json!("exit")));
        assert_eq!(seen("killed"), ("failed".to_owned(), json!("signal")));
        assert_eq!(seen("slow"), ("timed_out".to_owned(), json!("timeout")));
        assert_eq!(seen("needs-bad"), ("cancelled".to_owned(), Value::Null));
        assert_eq!(seen("if-ok-failed"), ("skipped".to_owned(), Value::Null));
        assert_eq!(end.future("bad")["exit_code"], 3);
        assert_eq!(end.future("killed")["signal"], 9);
        let counts = &end.report["counts"];
        assert_eq!(
            (&counts["total"], &counts["succeeded"], &counts["failed"], &counts["timed_out"]),
            (&json!(6), &json!(1), &json!(2), &json!(1))
        );
        assert_eq!((&counts["cancelled"], &counts["skipped"]), (&json!(1), &json!(1)));
    }
}

#[test]
fn c12_a_result_comes_back() {
    for kind in KINDS {
        let end = on(
            kind,
            2,
            r#"
            [[task]]
            name = "function"
            call = "echo"
            args = [256]
            [[task]]
            name = "command"
            run  = ["echo", "256"]
            [[task]]
            name = "document"
            run  = ["echo", '{"n": 256}']
            result = "json"
            "#,
        )
        .run();
        end.expect(0);
        assert_eq!(end.result("function"), 256);
        assert_eq!(end.result("command"), "256");
        assert_eq!(end.result("document"), &json!({ "n": 256 }));
    }
}

#[test]
fn c13_names_that_mean_something_elsewhere_pass_through() {
    for kind in KINDS {
        let end = on(
            kind,
            1,
            r#"
            [[task]]
            name = "named"
            call = "echo"
            with = { value = { self = 1, fn = 2, task = 3, PATH = "4" } }
            [[task]]
            name = "environment"
            run  = ["/bin/sh", "-c", 'echo "$self $fn $task $PATH"']
            env  = { self = "1", fn = "2", task = "3", PATH = "/x y" }
            "#,
        )
        .run();
        end.expect(0);
        assert_eq!(end.result("named"), &json!({ "self": 1, "fn": 2, "task": 3, "PATH": "4" }));
        assert_eq!(end.result("environment"), "1 2 3 /x y");
    }
}

#[test]
fn c13_the_environment_of_a_task_wins_over_that_of_the_job_and_of_jobrun() {
    for kind in KINDS {
        let end = on(
            kind,
            1,
            r#"
            [env]
            JOB = "job"
            TASK = "job"
            [[task]]
            name = "t"
            run  = 'echo "$OUTER $JOB $TASK"'
            env  = { TASK = "task" }
            "#,
        )
        .env("OUTER", "outer")
        .env("JOB", "outer")
        .env("TASK", "outer")
        .run();
        end.expect(0);
        assert_eq!(end.result("t"), "outer job task");
        assert!(!end.events.is_empty());
    }
}

#[test]
fn a_run_inside_a_run_does_not_take_the_outer_future_for_its_own() {
    for kind in KINDS {
        let end = on(
            kind,
            1,
            r#"
            [[task]]
            name = "t"
            run  = '''env | grep -E "^(JOBRUN_|TRACEPARENT)" | grep -v STATE_DIR | cut -d = -f 1 |
                      sort | xargs; echo "$JOBRUN_TASK $JOBRUN_STATE_DIR"'''
            "#,
        )
        .env("JOBRUN_TASK", "outer")
        .env("JOBRUN_INDEX", "3")
        .env("JOBRUN_ITEM", "three")
        .env("JOBRUN_SLOT_GPU", "1")
        .run();
        end.expect(0);
        let state = end.path("state").display().to_string();
        let own = "JOBRUN_ATTEMPT JOBRUN_FUTURE JOBRUN_JOB JOBRUN_RUN_ID JOBRUN_TASK JOBRUN_WORKER";
        assert_eq!(end.result("t"), &json!(format!("{own} TRACEPARENT\nt {state}")));
    }
}

#[test]
fn c14_c82_one_that_fails_leaves_the_others_alone_and_says_why() {
    for kind in KINDS {
        let end = on(
            kind,
            2,
            r#"
            [[task]]
            name = "function"
            call = "fail"
            args = ["the disk is made of cheese"]
            [[task]]
            name = "command"
            run  = ["sh", "-c", "echo working; echo 'no cheese left' >&2; exit 3"]
            [[task]]
            name = "other"
            call = "echo"
            args = ["unharmed"]
            "#,
        )
        .run();
        end.expect(1).says("no cheese left");
        assert_eq!(end.future("function")["error"]["kind"], "call");
        let message = end.future("function")["error"]["message"].as_str().unwrap();
        assert!(message.contains("the disk is made of cheese"), "{message}");
        assert_eq!(end.future("command")["exit_code"], 3);
        assert_eq!(end.future("command")["stderr"]["tail"], "no cheese left\n");
        assert_eq!(end.result("other"), "unharmed");
    }
}

#[test]
fn c71_c78_what_needs_a_future_that_failed_is_cancelled_and_the_rest_runs() {
    for kind in KINDS {
        let end = on(
            kind,
            2,
            r#"
            [[task]]
            name = "base"
            call = "fail"
            args = ["no"]
            [[task]]
            name  = "next"
            run   = "echo ran > next.txt"
            after = ["base"]
            [[task]]
            name  = "last"
            run   = ["true"]
            after = ["next"]
            [[task]]
            name = "aside"
            run  = ["echo", "ran"]
            "#,
        )
        .run();
        end.expect(1);
        assert_eq!(end.state("next"), "cancelled");
        assert_eq!(end.future("next")["cause"], json!({ "kind": "dependency", "future": "base" }));
        assert_eq!(end.future("next")["started"], Value::Null);
        assert_eq!(end.state("last"), "cancelled");
        assert_eq!(end.result("aside"), "ran");
        assert!(!end.path("next.txt").exists());
    }
}

#[test]
fn a_failure_that_is_allowed_stops_nothing() {
    for kind in KINDS {
        let end = on(
            kind,
            2,
            r#"
            [[task]]
            name = "lint"
            call = "fail"
            args = ["ugly"]
            allow_failure = true
            [[task]]
            name  = "ship"
            run   = ["echo", "shipped"]
            after = ["lint"]
            "#,
        )
        .run();
        end.expect(0);
        assert_eq!(end.state("lint"), "failed");
        assert_eq!(end.result("ship"), "shipped");
    }
}

#[test]
fn a_clean_up_step_runs_whatever_happened() {
    for kind in KINDS {
        let end = on(
            kind,
            2,
            r#"
            [[task]]
            name = "work"
            run  = ["false"]
            [[task]]
            name  = "clean"
            run   = ["echo", "cleaned"]
            after = ["work"]
            when  = "always"
            [[task]]
            name  = "mourn"
            run   = ["echo", "mourned"]
            after = ["work"]
            when  = "failure"
            "#,
        )
        .run();
        end.expect(1);
        assert_eq!(end.result("clean"), "cleaned");
        assert_eq!(end.result("mourn"), "mourned");
    }
}

#[test]
fn another_attempt_may_succeed() {
    for kind in KINDS {
        let end = on(
            kind,
            1,
            r#"
            [[task]]
            name  = "flaky"
            run   = 'test "$JOBRUN_ATTEMPT" = 3 || exit 7; echo "at last"'
            retry = 2
            "#,
        )
        .run();
        end.expect(0);
        let attempts = end.future("flaky")["attempts"].as_array().unwrap();
        let codes: Vec<_> = attempts.iter().map(|attempt| &attempt["exit_code"]).collect();
        assert_eq!(codes, [7, 7, 0]);
        assert_eq!(end.report["counts"]["retried"], 1);
        assert_eq!(end.result("flaky"), "at last");
    }
}
