//! Promises about worker processes that misbehave.

use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};
use serde_json::json;

use crate::promises::kept;
use crate::story::{Door, End, Running, Story, example, own_functions};

/// A job on an executor of so many worker processes.
fn on_workers(workers: u32, rest: &str) -> Story {
    Story::new(&format!("[executor]\nkind = \"process\"\nmax_workers = {workers}\n{rest}"))
}

/// Calls that a hostile worker is asked for, of which one is a misdeed.
fn misdeed(word: &str, rest: &str) -> End {
    on_workers(
        1,
        &format!(
            "[[task]]\nname = \"before\"\ncall = \"echo\"\nmap = [1, 2]\n\
             [[task]]\nname = \"bad\"\ncall = \"echo\"\nargs = [\"{word}\"]\nafter = [\"before\"]\n{rest}\
             [[task]]\nname = \"after\"\ncall = \"echo\"\nmap = [3, 4]\nafter = [\"bad\"]\nwhen = \"always\"\n"
        ),
    )
    .program(example("hostile_worker"))
    .run()
}

#[track_caller]
fn others_are_unharmed(end: &End) {
    assert_eq!(end.result("before"), &json!(["1", "2"]));
    assert_eq!(end.result("after"), &json!(["3", "4"]));
}

#[test]
fn f50_a_worker_that_breaks_the_protocol_is_killed_and_its_call_fails() {
    let deeds = [
        ("garbage", "a malformed message"),
        ("oversize", "is longer than the"),
        ("half and gone", "in the middle of a message"),
        ("wrong id", "which it is not making"),
        ("hello again", "said hello out of turn"),
    ];
    for (word, why) in deeds {
        let end = misdeed(word, "");
        kept(&end, 1);
        others_are_unharmed(&end);
        let error = &end.future("bad")["error"];
        assert_eq!(error["kind"], "worker_death", "{word}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(why) && message.contains("while it ran bad"), "{message}");
    }
}

#[test]
fn f50_an_end_told_twice_counts_once() {
    let end = misdeed("twice", "");
    kept(&end, 0);
    others_are_unharmed(&end);
    assert_eq!(end.result("bad"), "twice");
    end.says("broke the protocol");
}

#[test]
fn f50_half_an_answer_is_waited_for_no_longer_than_the_future_may_take() {
    let end = misdeed("half", "timeout = \"300ms\"\n");
    kept(&end, 1);
    others_are_unharmed(&end);
    assert_eq!(end.state("bad"), "timed_out");
}

#[test]
fn f51_what_a_function_prints_does_not_disturb_the_conversation() {
    let end = on_workers(
        2,
        "[[task]]\nname = \"t\"\ncall = \"say\"\nargs = [\"{{ item }}\"]\nmap = [\"a\", \"b\", \"c\", \"d\"]\n",
    )
    .program(own_functions())
    .run();
    kept(&end, 0);
    assert_eq!(end.result("t"), &json!(["a", "b", "c", "d"]));
    for (place, text) in ["a", "b", "c", "d"].into_iter().enumerate() {
        let printed = end.future(&format!("t[{place}]"))["stderr"]["tail"].to_string();
        assert!(printed.contains(&format!("{text} out")), "{printed}");
    }
}

/// Stops the worker that makes the call that waits at the door, for good.
fn stop_the_worker(running: &Running, door: &Door) {
    let _no_answer = door.knock();
    let workers = running.workers();
    assert_eq!(workers.len(), 1);
    kill_process(workers[0], Signal::STOP).unwrap();
}

#[test]
fn f52_a_call_whose_worker_is_stopped_ends_with_its_timeout() {
    let door = Door::new();
    let running = on_workers(
        1,
        &format!(
            "[[task]]\nname = \"stuck\"\ncall = \"http\"\nargs = [\"{}\"]\ntimeout = \"1s\"\n\
             [[task]]\nname = \"next\"\ncall = \"echo\"\nargs = [7]\n",
            door.url()
        ),
    )
    .spawn();
    stop_the_worker(&running, &door);
    let end = running.end();
    kept(&end, 1);
    assert_eq!(end.state("stuck"), "timed_out");
    assert_eq!(end.result("next"), 7);
}

#[test]
fn f52_without_a_timeout_a_signal_ends_it() {
    let door = Door::new();
    let running = on_workers(
        1,
        &format!("[[task]]\nname = \"stuck\"\ncall = \"http\"\nargs = [\"{}\"]\n", door.url()),
    )
    .spawn();
    stop_the_worker(&running, &door);
    running.signal(Signal::TERM);
    let end = running.end();
    kept(&end, 143);
    assert_eq!(end.state("stuck"), "cancelled");
}

#[test]
fn f52_an_initializer_that_hangs_ends_with_the_wait() {
    let end = on_workers(
        2,
        "initializer = { call = \"sleep\", args = [\"1day\"] }\n\
         [wait]\ntimeout = \"500ms\"\n\
         [[task]]\nname = \"t\"\ncall = \"echo\"\nmap = [1, 2, 3]\n",
    )
    .run();
    kept(&end, 3);
    for member in 0..3 {
        assert_eq!(end.state(&format!("t[{member}]")), "cancelled");
    }
}

#[test]
fn f53_an_idle_worker_that_dies_is_replaced() {
    let story = on_workers(
        1,
        "[[task]]\nname = \"first\"\ncall = \"pid\"\n\
         [[task]]\nname = \"gate\"\nrun = \"cat gate\"\nafter = [\"first\"]\nexecutor = \"other\"\n\
         [[task]]\nname = \"second\"\ncall = \"pid\"\nafter = [\"gate\"]\n\
         [executors.other]\nmax_workers = 1\n",
    );
    let gate = story.gate("gate");
    let running = story.program(own_functions()).spawn();
    let at_gate = gate.reached();
    let workers = running.workers();
    assert_eq!(workers.len(), 1);
    kill_process(workers[0], Signal::KILL).unwrap();
    drop(at_gate);
    let end = running.end();
    kept(&end, 0);
    assert_eq!(end.result("first"), workers[0].as_raw_nonzero().get());
    assert_ne!(end.result("first"), end.result("second"));
}

#[test]
fn f53_workers_that_die_before_they_serve_break_their_executor_and_no_other() {
    let dies = "initializer = { call = \"exit\", args = [9] }\n";
    let never = "";
    for (setup, code) in [(dies, "exit code 9"), (never, "exit code 7")] {
        let story = on_workers(
            2,
            &format!(
                "{setup}[[task]]\nname = \"t\"\ncall = \"echo\"\nmap = [1, 2, 3, 4, 5]\n\
                 [[task]]\nname = \"other\"\nrun = [\"true\"]\nexecutor = \"other\"\n\
                 [executors.other]\nmax_workers = 1\n"
            ),
        );
        let story = if setup.is_empty() {
            story.program(example("hostile_worker")).env("HOSTILE_START", "1")
        } else {
            story.program(own_functions())
        };
        let end = story.run();
        kept(&end, 1);
        for member in 0..5 {
            let error = &end.future(&format!("t[{member}]"))["error"];
            assert_eq!(error["kind"], "broken_executor");
            assert!(error["message"].to_string().contains(code), "{error}");
        }
        assert_eq!(end.state("other"), "succeeded");
    }
}

#[test]
fn f53_five_that_die_in_a_row_cost_their_own_calls() {
    let end = on_workers(
        1,
        "[[task]]\nname = \"quits\"\ncall = \"exit\"\nmap = [1, 2, 3, 4, 5]\n\
         [[task]]\nname = \"after\"\ncall = \"echo\"\nargs = [6]\nafter = [\"quits\"]\nwhen = \"always\"\n",
    )
    .program(own_functions())
    .run();
    kept(&end, 1);
    assert_eq!(end.report["counts"]["failed"], 5);
    assert_eq!(end.result("after"), 6);
}

#[test]
fn f54_a_call_that_kills_each_of_its_workers_fails_after_three_more() {
    let started = Instant::now();
    let end = on_workers(
        2,
        "on_worker_death = \"retry\"\n\
         [[task]]\nname = \"poison\"\ncall = \"exit\"\nargs = [9]\n\
         [[task]]\nname = \"fine\"\ncall = \"echo\"\nmap = { range = [0, 20] }\n",
    )
    .program(own_functions())
    .run();
    kept(&end, 1);
    assert!(started.elapsed() < Duration::from_mins(1), "it was tried for too long");
    let poison = end.future("poison");
    assert_eq!(poison["error"]["kind"], "worker_death");
    assert_eq!(poison["attempts"].as_array().unwrap().len(), 4, "{poison}");
    assert_eq!(end.result("fine"), &json!((0..20).collect::<Vec<u32>>()));
}
