//! Promises about the whole, under a virtual clock and across threads.

use std::io;
use std::sync::Arc;

use jobrun::event::{Event, Stamped};
use jobrun::{Exit, Observer, RunView, Runner};

use crate::compile::job;
use crate::promises::kept;
use crate::story::{Story, example};

/// A child that runs until it is killed, and something that ends as soon as it runs.
const BESIDE_A_CHILD: &str = r#"
[executor]
max_workers = 2

[[task]]
name = "child"
run  = "echo > gate; exec sleep 1000"

[[task]]
name = "end"
run  = "cat gate"
"#;

#[test]
fn f68_a_panic_of_the_driver_ends_children_and_is_an_error_of_jobrun() {
    let story = Story::new(BESIDE_A_CHILD).program(example("misbehaves"));
    story.gate("gate");
    let end = story.env("PANICS_AT", "future ended").run();
    // There is no report: who would write it has panicked.
    end.expect(4).says("error: jobrun itself failed").says("the subscriber hears");
    assert_eq!(end.leftovers(), []);
}

#[test]
fn f68_a_panic_of_a_thread_of_jobrun_is_not_waited_out() {
    let manifest = BESIDE_A_CHILD.replace("name = \"end\"\nrun  = \"cat gate\"", CALLS);
    let story = Story::new(&manifest).program(example("misbehaves"));
    story.gate("gate");
    let end = story.env("PANICS_ON", "default-").run();
    // There is no report: who would write it does not go on.
    end.expect(4).says("the thread `default-").says("` has panicked");
    assert_eq!(end.leftovers(), []);
}

/// Comes after the child was seen to run.
const CALLS: &str = r#"
name = "wait"
run  = "cat gate"

[[task]]
name  = "call"
call  = "echo"
args  = [1]
after = ["wait"]
"#;

#[test]
fn f68_a_panic_around_a_callback_is_an_error_of_the_callback() {
    let end = Story::new(
        r#"
        [[task]]
        name = "a"
        call = "echo"
        args = [1]
        [[task.callback]]
        on   = "done"
        call = "echo"
        [[task.callback]]
        on   = "done"
        post = "http://127.0.0.1:1/"
        "#,
    )
    .program(example("misbehaves"))
    .env("PANICS_ON", "callback")
    .run();
    kept(&end, 0);
    for callback in end.report["callbacks"].as_array().unwrap() {
        let error = callback["error"].as_str().unwrap();
        assert!(error.starts_with("its thread "), "{error}");
    }
}

#[test]
fn f68_a_runner_that_aborts_leaves_nothing_behind() {
    let manifest =
        BESIDE_A_CHILD.replace("run  = \"cat gate\"", "call = \"abort\"\nafter = [\"w\"]");
    let manifest = format!("{manifest}\n[[task]]\nname = \"w\"\nrun  = \"cat gate\"\n");
    let story = Story::new(&manifest).program(example("misbehaves"));
    story.gate("gate");
    let end = story.run();
    // There is no report: who would write it is gone.
    end.expect(128 + 6).says("the runner was killed by SIGABRT").says("so was all it had started");
    assert_eq!(end.leftovers(), []);
}

#[test]
fn f68_functions_and_callbacks_that_panic_are_data() {
    let end = Story::new(
        r#"
        [[task]]
        name = "first"
        call = "poison"
        [[task.callback]]
        on   = "failure"
        call = "bomb"
        args = []

        [[task]]
        name  = "poisoned"
        call  = "poison"
        after = ["first"]
        when  = "always"

        [[task]]
        name = "bomb"
        call = "bomb"
        map  = [[], [], []]
        args = []

        [[task]]
        name  = "well"
        call  = "echo"
        args  = [1]
        after = ["poisoned", "bomb"]
        when  = "always"
        "#,
    )
    .program(example("misbehaves"))
    .run();
    kept(&end, 1);
    let error = |name: &str| end.future(name)["error"].clone();
    assert_eq!(error("first")["kind"], "panic");
    assert_eq!(error("first")["message"], "poison: panicked: it holds the lock");
    assert_eq!(error("poisoned")["kind"], "panic");
    for member in ["bomb[0]", "bomb[1]", "bomb[2]"] {
        assert_eq!(error(member)["message"], "bomb: panicked: no message");
    }
    assert_eq!(end.state("well"), "succeeded");
    assert_eq!(end.report["callbacks"][0]["state"], "failed");
    assert_eq!(end.report["callbacks"][0]["error"], "bomb: panicked: no message");
}

/// Panics at the first end of a future, and once more when it is dropped.
struct Touchy;

impl Observer for Touchy {
    fn observe(&mut self, event: &Stamped, _: &RunView<'_>) -> io::Result<()> {
        assert!(!matches!(event.event, Event::Finished { .. }), "it cannot bear the end");
        Ok(())
    }
}

impl Drop for Touchy {
    fn drop(&mut self) {
        panic!("nor its own");
    }
}

/// Counts the ends of futures.
struct Patient<'a>(&'a mut u32);

impl Observer for Patient<'_> {
    fn observe(&mut self, event: &Stamped, _: &RunView<'_>) -> io::Result<()> {
        *self.0 += u32::from(matches!(event.event, Event::Finished { .. }));
        Ok(())
    }
}

#[test]
fn f68_a_report_that_panics_is_an_error_and_the_others_are_written() {
    let job = job("story.toml", "[[task]]\nname = 'a'\ncall = 'echo'\nmap = [1, 2, 3]\n").unwrap();
    let mut ends = 0;
    let runner = Runner::new(&Arc::new(job)).observer(Touchy).observer(Patient(&mut ends));
    let finished = runner.run().unwrap();
    assert_eq!(finished.exit, Exit::Error);
    assert_eq!(finished.ledger.errors, ["a report panicked: it cannot bear the end"]);
    assert_eq!(finished.result("a"), Some(vec![1, 2, 3].into()));
    drop(finished);
    assert_eq!(ends, 3);
}
