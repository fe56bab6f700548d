//! Interrupts: children are stopped, clean-up runs, the report is written.

use rustix::process::Signal;

use super::{KINDS, on};

#[test]
fn a_run_that_is_interrupted_stops_its_children_cleans_up_and_reports() {
    for kind in KINDS {
        for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
            let story = on(
                kind,
                1,
                r#"
                [[task]]
                name = "held"
                run  = "trap 'echo asked > held.txt; exit 1' TERM; echo > at.gate; sleep 600 & wait"
                [[task]]
                name = "pending"
                run  = ["true"]
                [[task]]
                name  = "clean"
                run   = ["echo", "cleaned"]
                after = ["held"]
                when  = "always"
                "#,
            );
            let gate = story.gate("at.gate");
            let running = story.spawn();
            gate.passed();
            running.signal(signal);
            let end = running.end();
            end.expect(code);
            assert_eq!(end.report["outcome"], "interrupted");
            assert_eq!(end.because(), "interrupt");
            assert_eq!(end.file("held.txt"), "asked\n");
            assert_eq!(end.state("held"), "cancelled");
            assert_eq!(end.future("held")["cause"]["kind"], "interrupt");
            assert_eq!(end.state("pending"), "cancelled");
            assert_eq!(end.result("clean"), "cleaned");
            assert!(end.leftovers().is_empty());
        }
    }
}

/// A handler writes to a descriptor by its number, and threads that mind children have other
/// descriptors under these numbers.
#[test]
fn no_thread_that_minds_children_handles_signals() {
    let story = on("thread", 1, "[[task]]\nname = \"t\"\nrun = [\"cat\", \"gate\"]\n");
    let gate = story.gate("gate");
    let running = story.spawn();
    let held = gate.reached();
    let runner = running.runner().as_raw_nonzero();
    let read = |path: String| std::fs::read_to_string(path).unwrap();
    let threads = std::fs::read_dir(format!("/proc/{runner}/task")).unwrap();
    let mut minders = 0;
    for thread in threads.map(|it| it.unwrap().path()) {
        if read(format!("{}/comm", thread.display())) == "jobrun-children\n" {
            minders += 1;
            let status = read(format!("{}/status", thread.display()));
            let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap();
            let blocked = u64::from_str_radix(blocked.trim(), 16).unwrap();
            for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT] {
                assert_ne!(blocked & 1 << (signal.as_raw() - 1), 0, "{signal:?}");
            }
        }
    }
    assert_eq!(minders, 1);
    drop(held);
    running.end().expect(0);
}
