//! Limits: how much runs at once.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{KINDS, on};
use crate::story::{Door, End, Gate, Story, require};

#[test]
fn c20_there_must_be_a_worker() {
    for kind in KINDS {
        for workers in ["0", "-1"] {
            let end = Story::new(&format!(
                "[executor]\nkind = \"{kind}\"\nmax_workers = {workers}\n\
                 [[task]]\nname = \"t\"\nrun = \"echo ran > ran.txt\"\n"
            ))
            .run();
            end.expect(2).says("max_workers must be greater than 0");
            assert!(!end.path("ran.txt").exists());
        }
    }
}

#[test]
fn c22_c23_without_a_number_there_are_as_many_workers_as_python_has() {
    if !require("taskset") {
        return;
    }
    for (kind, workers) in [("thread", 5), ("process", 1)] {
        let end = Story::new(&format!(
            "[executor]\nkind = \"{kind}\"\n[[task]]\nname = \"t\"\nrun = [\"true\"]\n"
        ))
        .under(&["taskset", "-c", "0"])
        .run();
        end.expect(0);
        assert_eq!(end.report["executors"]["default"]["kind"], kind);
        assert_eq!(end.report["executors"]["default"]["max_workers"], workers);
    }
}

#[test]
fn c24_functions_fill_the_workers_and_no_more() {
    for kind in KINDS {
        let door = Door::new();
        let story = on(
            kind,
            4,
            &format!(
                "[[task]]\nname = \"t\"\ncall = \"http\"\nargs = [\"{}\"]\n\
                 map = {{ range = [0, 60] }}\n",
                door.url()
            ),
        );
        let running = story.spawn();
        let mut inside: Vec<_> = (0..4).map(|_| door.knock()).collect();
        for _ in 4..60 {
            // A place is free only when somebody leaves.
            inside.remove(0).answer("go");
            inside.push(door.knock());
        }
        for knock in inside {
            knock.answer("go");
        }
        let end = running.end();
        end.expect(0);
        assert_eq!(end.report["executors"]["default"]["peak_running"], 4);
        assert_eq!(workers(&end), BTreeSet::from([1, 2, 3, 4]));
    }
}

#[test]
fn c24_children_fill_the_workers_and_no_more() {
    for kind in KINDS {
        let story = on(
            kind,
            4,
            r#"
            [[task]]
            name = "t"
            run  = 'echo + >> log; cat "$JOBRUN_INDEX.gate"; echo - >> log'
            map  = { range = [0, 20] }
            "#,
        );
        let gates: Vec<_> = (0..20).map(|n| story.gate(&format!("{n}.gate"))).collect();
        let running = story.spawn();
        let mut held: Vec<_> = gates[..4].iter().map(Gate::reached).collect();
        for gate in &gates[4..] {
            drop(held.remove(0));
            held.push(gate.reached());
        }
        drop(held);
        let end = running.end();
        end.expect(0);
        let mut inside = 0;
        let log = end.file("log");
        let most = log.lines().map(|line| {
            inside += if line == "+" { 1 } else { -1 };
            inside
        });
        assert_eq!(most.max(), Some(4));
        assert_eq!(end.report["executors"]["default"]["peak_running"], 4);
        assert_eq!(workers(&end), BTreeSet::from([1, 2, 3, 4]));
    }
}

#[test]
fn c25_what_runs_one_by_one_needs_one_worker() {
    for kind in KINDS {
        let end = on(
            kind,
            6,
            r#"
            [[task]]
            name = "a"
            call = "echo"
            args = [1]
            [[task]]
            name  = "b"
            call  = "echo"
            args  = [2]
            after = ["a"]
            [[task]]
            name  = "c"
            run   = ["echo", "3"]
            after = ["b"]
            "#,
        )
        .run();
        end.expect(0);
        assert_eq!(workers(&end), BTreeSet::from([1]));
        assert_eq!(end.report["executors"]["default"]["peak_running"], 1);
    }
}

#[test]
fn a_flag_narrows_the_workers() {
    for flags in [&["-j", "1"][..], &["--max-workers", "1"], &["-j", "default=1"]] {
        let end = on("thread", 6, "[[task]]\nname = \"t\"\nrun = [\"true\"]\nmap = [1, 2, 3]\n")
            .args(flags)
            .run();
        end.expect(0);
        assert_eq!(end.report["executors"]["default"]["max_workers"], 1);
        assert_eq!(workers(&end), BTreeSet::from([1]));
    }
}

#[test]
fn a_resource_is_shared_by_all_who_use_it() {
    for kind in KINDS {
        let end = on(
            kind,
            6,
            r#"
            [resources]
            gpu = 2
            [[task]]
            name = "t"
            run  = '''
                mkdir "gpu$JOBRUN_SLOT_GPU"   # fails if somebody else is on this one
                echo "$JOBRUN_SLOT_GPU"
                rmdir "gpu$JOBRUN_SLOT_GPU"
            '''
            map  = { range = [0, 24] }
            uses = { gpu = 1 }
            "#,
        )
        .run();
        end.expect(0);
        let slots = end.result("t").as_array().unwrap();
        assert!(slots.iter().all(|slot| slot == "0" || slot == "1"), "{slots:?}");
    }
}

#[test]
fn nothing_runs_beside_an_exclusive_task() {
    for kind in KINDS {
        let end = on(
            kind,
            6,
            r#"
            [[task]]
            name = "shared"
            run  = 'test ! -e alone; touch "in$JOBRUN_INDEX"; rm "in$JOBRUN_INDEX"'
            map  = { range = [0, 10] }
            [[task]]
            name = "alone"
            run  = 'touch alone; test -z "$(ls | grep ^in)"; rm alone'
            exclusive = true
            "#,
        )
        .run();
        end.expect(0);
    }
}

/// The workers that ran something.
fn workers(end: &End) -> BTreeSet<u64> {
    let futures = end.report["futures"].as_array().unwrap();
    futures.iter().map(|future| &future["worker"]).filter_map(Value::as_u64).collect()
}
