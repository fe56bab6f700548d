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
