//! Ends of runs: what is queued is run or dropped, nothing hangs, nothing is left.

use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use super::{KINDS, on};
use crate::story::{Door, End, Gate, Running, Story, own_functions};

#[test]
fn c52_what_is_queued_runs_to_its_end_and_nothing_is_said() {
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
            map  = { range = [0, 20] }
            "#,
        )
        .arg("--quiet")
        .run();
        end.expect(0);
        assert_eq!(end.names("done"), ["t[0]"]);
        assert_eq!(end.result("t"), &json!((0..20).collect::<Vec<u32>>()));
        assert_eq!((end.stdout.as_str(), end.stderr.as_str()), ("", ""));
    }
}

#[test]
fn c54_of_fifty_some_ran_well_and_the_others_never_did() {
    for kind in KINDS {
        let end = on(
            kind,
            5,
            r#"
            [wait]
            return_when = "first_completed"
            on_return = "drain"
            [[task]]
            name = "t"
            run  = 'echo "$JOBRUN_INDEX"'
            map  = { range = [0, 50] }
            "#,
        )
        .run();
        end.expect(0);
        let futures = end.report["futures"].as_array().unwrap();
        let ran: Vec<_> = futures.iter().filter(|it| !it["started"].is_null()).collect();
        let cancelled: Vec<_> = futures.iter().filter(|it| it["state"] == "cancelled").collect();
        assert_eq!(ran.len() + cancelled.len(), 50);
        assert!(!ran.is_empty() && cancelled.len() > 20, "{} cancelled", cancelled.len());
        for future in ran {
            assert_eq!((&future["state"], &future["error"]), (&json!("succeeded"), &Value::Null));
            assert_eq!(future["result"], future["index"].to_string());
        }
    }
}

#[test]
fn c55_c56_nobody_waits_for_what_was_given_up() {
    for kind in KINDS {
        // The call waits for an answer that never comes, on the only worker.
        let door = Door::new();
        let story = on(
            kind,
            1,
            &format!(
                "[wait]\ntimeout = \"500ms\"\n\
                 [[task]]\nname = \"stuck\"\ncall = \"http\"\nargs = [\"{}\"]\ngrace = \"100ms\"\n\
                 [[task]]\nname = \"pending\"\ncall = \"echo\"\nargs = [1]\n",
                door.url()
            ),
        );
        let running = story.spawn();
        let _no_answer = door.knock();
        let end = running.end();
        end.expect(3);
        assert_eq!((end.state("stuck"), end.state("pending")), ("cancelled", "cancelled"));
        assert!(end.leftovers().is_empty());
    }
}

/// A call on a thread that never returns: nobody opens the gate that it reads.
fn deaf(wait: &str, grace: &str) -> (Gate, Running) {
    let story = Story::new(&format!(
        "[executor]\nmax_workers = 1\n{wait}\n\
         [[task]]\nname = \"deaf\"\ncall = \"read\"\nargs = [\"gate\"]\ngrace = \"{grace}\"\n\
         [[task]]\nname = \"pending\"\ncall = \"echo\"\nargs = [1]\n\
         [[task]]\nname = \"clean\"\nrun = [\"true\"]\nafter = [\"deaf\"]\nwhen = \"always\"\n\
         executor = \"children\"\n[executors.children]\n\
         [[callback]]\non = \"start\"\ntasks = [\"deaf\"]\nrun = \"echo > started.gate\"\n"
    ));
    let gate = story.gate("gate");
    let started = story.gate("started.gate");
    let running = story.program(own_functions()).spawn();
    started.passed();
    (gate, running)
}

/// Interrupts a run twice. Two signals of a kind may become one; of two kinds either may come first.
fn insist(running: &Running) {
    running.signal(Signal::INT);
    running.signal(Signal::TERM);
}

#[test]
fn a_function_that_does_not_listen_is_given_up_after_its_grace() {
    let (_never_opened, running) = deaf("[wait]\ntimeout = \"500ms\"", "100ms");
    let end = running.end();
    end.expect(3);
    assert_eq!((end.state("deaf"), end.state("pending")), ("cancelled", "cancelled"));
    assert_eq!(end.future("deaf")["cause"]["kind"], "wait");
    assert_eq!(end.state("clean"), "succeeded");

    let (_never_opened, running) = deaf("", "100ms");
    running.signal(Signal::TERM);
    let end = running.end();
    end.expect(143);
    assert_eq!(end.future("deaf")["cause"]["kind"], "interrupt");
    assert_eq!(end.state("clean"), "succeeded");
}

#[test]
fn nor_is_it_waited_for_when_the_user_insists() {
    let (_never_opened, running) = deaf("", "1day");
    insist(&running);
    let end = running.end();
    assert!([130, 143].contains(&end.code), "{}", end.stderr);
    assert_eq!((end.state("deaf"), end.state("clean")), ("cancelled", "cancelled"));
}

#[test]
fn c59_a_result_is_whole_or_there_is_none() {
    for kind in KINDS {
        let story = on(
            kind,
            3,
            r#"
            [wait]
            return_when = "first_completed"
            [[task]]
            name = "whole"
            run  = 'echo begin; cat whole.gate; echo end'
            [[task]]
            name = "half"
            run  = 'echo begin; cat half.gate; echo end'
            "#,
        );
        let [whole, half] = ["whole.gate", "half.gate"].map(|name| story.gate(name));
        let running = story.spawn();
        let _never_opened = half.reached();
        whole.open();
        let end = running.end();
        end.expect(0);
        assert_eq!(end.report["results"], json!({ "whole": "begin\nend", "half": null }));
        assert_eq!(end.state("half"), "cancelled");
        assert_eq!(end.future("half")["stdout"]["tail"], "begin\n", "what there was is told");
    }
}

#[test]
fn c86_no_worker_is_started_after_the_stop() {
    for _ in 0..5 {
        let door = Door::new();
        let story = on(
            "process",
            3,
            &format!(
                "max_tasks_per_child = 1\n[[task]]\nname = \"t\"\ncall = \"http\"\n\
                 args = [\"{}\"]\nmap = {{ range = [0, 100] }}\n",
                door.url()
            ),
        );
        let running = story.spawn();
        let knocks: Vec<_> = (0..3).map(|_| door.knock()).collect();
        // All three are replaced while the run is stopped.
        for knock in knocks {
            knock.answer("go");
        }
        insist(&running);
        let end = running.end();
        assert!([130, 143].contains(&end.code), "{}", end.stderr);
        assert!(end.leftovers().is_empty());
    }
}

#[test]
fn c88_to_stop_what_has_not_started_is_no_error() {
    for kind in KINDS {
        let story = on(
            kind,
            1,
            r#"
            [executors.unused]
            kind = "process"
            [[task]]
            name = "held"
            run  = ["cat", "held.gate"]
            [[task]]
            name = "never"
            call = "echo"
            args = [1]
            after = ["held"]
            executor = "unused"
            "#,
        );
        let gate = story.gate("held.gate");
        let running = story.spawn();
        let _never_opened = gate.reached();
        running.signal(Signal::TERM);
        let end = running.end();
        end.expect(143);
        assert_eq!(end.state("never"), "cancelled");
        assert!(!end.stderr.contains("warn") && !end.stderr.contains("broken"), "{}", end.stderr);
    }
}

#[test]
fn c88_nor_is_to_stop_what_has_died() {
    let door = Door::new();
    let story = on(
        "process",
        1,
        &format!(
            "[executors.children]\n\
             [[task]]\nname = \"t\"\ncall = \"http\"\nargs = [\"{}\"]\n\
             [[task]]\nname = \"held\"\nrun = [\"cat\", \"held.gate\"]\nexecutor = \"children\"\n\
             [[callback]]\non = \"failure\"\nrun = \"echo > dead.gate\"\n",
            door.url()
        ),
    );
    let [held, dead] = ["held.gate", "dead.gate"].map(|name| story.gate(name));
    let running = story.spawn();
    let _lost = door.knock();
    let worker = running.workers();
    let _never_opened = held.reached();
    kill_process(worker[0], Signal::KILL).unwrap();
    dead.passed();
    running.signal(Signal::TERM);
    let end = running.end();
    end.expect(143);
    assert_eq!((end.state("t"), end.state("held")), ("failed", "cancelled"));
}

#[test]
fn c95_a_worker_may_die_while_the_run_ends() {
    let door = Door::new();
    let story = on(
        "process",
        2,
        &format!(
            "[wait]\nreturn_when = \"first_completed\"\non_return = \"drain\"\n\
             [[task]]\nname = \"lost\"\ncall = \"http\"\nargs = [\"{}\"]\n\
             [[task]]\nname = \"quick\"\nrun = [\"cat\", \"quick.gate\"]\n\
             [[callback]]\non = \"return\"\nrun = \"echo > returned.gate\"\n",
            door.url()
        ),
    );
    let [quick, returned] = ["quick.gate", "returned.gate"].map(|name| story.gate(name));
    let running = story.spawn();
    let _lost = door.knock();
    quick.open();
    returned.passed();
    kill_process(running.workers()[0], Signal::KILL).unwrap();
    let end = running.end();
    // What happens after the return is not held against it.
    end.expect(0);
    assert_eq!(end.future("lost")["error"]["kind"], "worker_death");
    assert_eq!(end.names("not_done"), ["lost"]);
}

#[test]
fn c96_a_result_that_cannot_be_sent_may_end_the_run() {
    let end = broken_off(
        r#"
        [wait]
        return_when = "first_exception"
        [[task]]
        name = "idle"
        call = "sleep"
        args = ["1day"]
        [[task]]
        name = "bad"
        call = "deep"
        args = [200]
        "#,
    );
    assert_eq!(end.because(), "first_exception");
    assert_eq!(end.state("idle"), "cancelled");
    let message = end.future("bad")["error"]["message"].to_string();
    assert!(message.contains("cannot be sent"), "{message}");
}

/// The end of a job of our own program that fails and leaves nothing.
fn broken_off(manifest: &str) -> End {
    let end = on("process", 2, manifest).program(own_functions()).run();
    end.expect(1);
    assert!(end.leftovers().is_empty());
    end
}
