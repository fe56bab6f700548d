//! Callbacks: once each, in the order declared, for every end, and never in the way.

use serde_json::{Value, json};

use super::{KINDS, on};

#[test]
fn c60_c61_c62_a_callback_sees_the_result_the_error_and_the_cancellation() {
    for kind in KINDS {
        let end = on(
            kind,
            2,
            r#"
            [[task]]
            name = "ok"
            call = "echo"
            args = [[1, 2]]
            [[task]]
            name = "bad"
            call = "fail"
            args = ["no cheese"]
            [[task]]
            name  = "lost"
            run   = ["true"]
            after = ["bad"]
            [[callback]]
            on  = "done"
            run = 'cat > "$JOBRUN_FUTURE.json"; echo "$JOBRUN_STATE" > "$JOBRUN_FUTURE.state"'
            "#,
        )
        .run();
        end.expect(1);
        let told = |name: &str| -> (String, Value) {
            let state = end.file(&format!("{name}.state"));
            (state, serde_json::from_str(&end.file(&format!("{name}.json"))).unwrap())
        };
        let (state, ok) = told("ok");
        assert_eq!(state, "succeeded\n");
        assert_eq!((&ok["name"], &ok["result"]), (&json!("ok"), &json!([1, 2])));
        let (state, bad) = told("bad");
        assert_eq!(state, "failed\n");
        assert_eq!(bad["error"]["kind"], "call");
        let (state, lost) = told("lost");
        assert_eq!(state, "cancelled\n");
        assert_eq!(lost["result"], Value::Null);
        assert_eq!(end.report["callbacks"].as_array().unwrap().len(), 3);
    }
}

#[test]
fn c63_callbacks_run_in_order_and_one_that_fails_changes_nothing() {
    for kind in KINDS {
        let end = on(
            kind,
            1,
            r#"
            [[task]]
            name = "t"
            call = "echo"
            args = [1]
            [[callback]]
            on  = "success"
            run = "echo first >> order"
            [[callback]]
            on  = "success"
            run = ["sh", "-c", "exit 5"]
            [[callback]]
            on  = "success"
            run = "echo third >> order"
            "#,
        )
        .run();
        end.expect(0);
        assert_eq!(end.file("order"), "first\nthird\n");
        assert_eq!(end.state("t"), "succeeded");
        let calls = end.report["callbacks"].as_array().unwrap();
        let states: Vec<_> = calls.iter().map(|call| &call["state"]).collect();
        assert_eq!(states, ["succeeded", "failed", "succeeded"]);
        assert!(calls[1]["error"].to_string().contains('5'), "{}", calls[1]["error"]);
        assert!(calls.iter().all(|call| call["future"] == "t" && call["on"] == "success"));
    }
}

#[test]
fn c79_the_report_waits_for_the_last_callback() {
    for kind in KINDS {
        let story = on(
            kind,
            1,
            r#"
            [[task]]
            name = "t"
            call = "echo"
            args = [1]
            [[callback]]
            on  = "done"
            run = ["cat", "held.gate"]
            "#,
        );
        let gate = story.gate("held.gate");
        let running = story.spawn();
        let at_gate = gate.reached();
        assert!(!running.path("report.json").exists());
        drop(at_gate);
        let end = running.end();
        end.expect(0);
        assert_eq!(end.report["callbacks"][0]["state"], "succeeded");
    }
}

#[test]
fn a_callback_holds_no_worker() {
    for kind in KINDS {
        let story = on(
            kind,
            1,
            r#"
            [[task]]
            name = "first"
            call = "echo"
            args = [1]
            [[task]]
            name  = "second"
            run   = ["cat", "second.gate"]
            after = ["first"]
            [[callback]]
            on    = "done"
            tasks = ["first"]
            run   = ["cat", "callback.gate"]
            "#,
        );
        let (second, callback) = (story.gate("second.gate"), story.gate("callback.gate"));
        let running = story.spawn();
        // The only worker runs `second` while the callback of `first` has not ended.
        let in_callback = callback.reached();
        second.open();
        drop(in_callback);
        running.end().expect(0);
    }
}

#[test]
fn a_callback_that_takes_too_long_is_stopped() {
    for kind in KINDS {
        let end = on(
            kind,
            1,
            r#"
            [[task]]
            name = "t"
            call = "echo"
            args = [1]
            [[callback]]
            on  = "done"
            run = ["sleep", "600"]
            timeout = "100ms"
            "#,
        )
        .run();
        end.expect(0);
        assert_eq!(end.report["callbacks"][0]["state"], "failed");
        assert!(end.leftovers().is_empty());
    }
}

#[test]
fn the_job_has_callbacks_of_its_own() {
    for (task, seen) in
        [("[\"true\"]", "job_done job_success "), ("[\"false\"]", "job_done job_failure ")]
    {
        let end = on(
            "thread",
            1,
            &format!(
                r#"
                [[task]]
                name = "t"
                run  = {task}
                [[callback]]
                on  = "job_done"
                run = 'printf "job_done " >> seen; cat > job.json'
                [[callback]]
                on  = "job_success"
                run = 'printf "job_success " >> seen'
                [[callback]]
                on  = "job_failure"
                run = 'printf "job_failure " >> seen'
                "#
            ),
        )
        .run();
        assert_eq!(end.file("seen"), seen);
        let job: Value = serde_json::from_str(&end.file("job.json")).unwrap();
        assert!(job.is_object());
    }
}
