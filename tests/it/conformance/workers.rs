//! Worker processes: they are set up, replaced, and may die.

use std::process::Command;

use rustix::process::{Signal, kill_process};
use serde_json::json;

use super::{KINDS, on};
use crate::story::{Door, End, Knock, Running, own_functions};

/// The path that a knock asks for: `/task` for example.
fn path(knock: &Knock) -> &str {
    knock.request.split(' ').nth(1).unwrap()
}

#[test]
fn c46_each_worker_is_set_up_before_its_first_task() {
    for kind in KINDS {
        let door = Door::new();
        let url = door.url();
        let story = on(
            kind,
            2,
            &format!(
                "initializer = {{ call = \"http\", args = [\"{url}init\"] }}\n\
                 [[task]]\nname = \"t\"\ncall = \"http\"\nargs = [\"{url}task\"]\nmap = [1, 2]\n"
            ),
        );
        let running = story.spawn();
        let (mut set_up, mut tasks) = (0, Vec::new());
        while tasks.len() < 2 {
            let knock = door.knock();
            match path(&knock) {
                "/init" => {
                    set_up += 1;
                    knock.answer("ready");
                }
                _ => tasks.push(knock),
            }
            assert!(tasks.len() <= set_up, "a task ran on a worker that was not set up");
        }
        assert_eq!(set_up, 2);
        for knock in tasks {
            knock.answer("done");
        }
        running.end().expect(0);
    }
}

#[test]
fn c47_c48_a_worker_that_cannot_be_set_up_breaks_its_executor() {
    for kind in KINDS {
        let end = on(
            kind,
            2,
            r#"
            initializer = { call = "fail", args = ["no licence server"] }
            [[task]]
            name = "t"
            call = "echo"
            map  = [1, 2, 3]
            [[task]]
            name = "late"
            call = "echo"
            args = [4]
            after = ["t"]
            "#,
        )
        .run();
        end.expect(1);
        for name in ["t[0]", "t[1]", "t[2]", "late"] {
            assert_eq!(end.state(name), "failed");
            let error = &end.future(name)["error"];
            assert_eq!(error["kind"], "broken_executor");
            assert!(error["message"].to_string().contains("no licence server"), "{error}");
        }
        assert!(end.leftovers().is_empty());
    }
}

#[test]
fn c66_a_worker_is_replaced_after_so_many_calls() {
    let door = Door::new();
    let url = door.url();
    let story = on(
        "process",
        1,
        &format!(
            "max_tasks_per_child = 3\ninitializer = {{ call = \"http\", args = [\"{url}init\"] }}\n\
             [[task]]\nname = \"t\"\ncall = \"http\"\nargs = [\"{url}task\"]\nmap = [1, 2, 3, 4]\n"
        ),
    );
    let running = story.spawn();
    let mut seen = Vec::new();
    while seen.iter().filter(|path| *path == "/task").count() < 4 {
        let knock = door.knock();
        seen.push(path(&knock).to_owned());
        knock.answer("go on");
    }
    assert_eq!(seen, ["/init", "/task", "/task", "/task", "/init", "/task"]);
    running.end().expect(0);
}

#[test]
fn c68_c69_replacing_workers_loses_nothing() {
    for (workers, limit, tasks) in [(1, 2, 6), (2, 2, 8), (3, 1, 6), (1, 1, 5)] {
        let end = on(
            "process",
            workers,
            &format!(
                "max_tasks_per_child = {limit}\n\
                 [[task]]\nname = \"t\"\ncall = \"echo\"\nmap = {{ range = [0, {tasks}] }}\n"
            ),
        )
        .run();
        end.expect(0);
        assert_eq!(end.result("t"), &json!((0..tasks).collect::<Vec<u32>>()));
        assert!(end.leftovers().is_empty());
    }
}

#[test]
fn c72_a_worker_may_be_due_and_its_last_task_fail() {
    let end = on(
        "process",
        1,
        r#"
        max_tasks_per_child = 1
        [[task]]
        name = "bad"
        call = "fail"
        args = ["no"]
        [[task]]
        name = "t"
        call = "echo"
        map  = [1, 2]
        "#,
    )
    .run();
    end.expect(1);
    assert_eq!(end.result("t"), &json!([1, 2]));
}

/// Starts three calls on `workers` worker processes that wait at `door`.
fn three_calls(door: &Door, workers: u32, on_worker_death: &str) -> Running {
    on(
        "process",
        workers,
        &format!(
            "on_worker_death = \"{on_worker_death}\"\n\
             [[task]]\nname = \"t\"\ncall = \"http\"\nargs = [\"{}\"]\nmap = [0, 1, 2]\n",
            door.url()
        ),
    )
    .spawn()
}

/// Kills the only worker process.
fn kill_worker(running: &Running) {
    let leaves = running.leaves();
    assert_eq!(leaves.len(), 1, "one worker, and nothing else that has no children");
    kill_process(leaves[0], Signal::KILL).unwrap();
}

#[test]
fn c80_the_death_of_a_worker_fails_the_future_that_ran_there() {
    let door = Door::new();
    let running = three_calls(&door, 1, "fail");
    let _lost = door.knock();
    kill_worker(&running);
    door.knock().answer("ok");
    door.knock().answer("ok");
    let end = running.end();
    end.expect(1);
    assert_eq!(end.state("t[0]"), "failed");
    let error = &end.future("t[0]")["error"];
    assert_eq!(error["kind"], "worker_death");
    assert!(error["message"].to_string().contains('9'), "the signal is missing: {error}");
    assert_eq!((end.state("t[1]"), end.state("t[2]")), ("succeeded", "succeeded"));
}

#[test]
fn c80_c81_or_breaks_the_executor_as_in_python() {
    let door = Door::new();
    let running = three_calls(&door, 1, "break");
    let _lost = door.knock();
    kill_worker(&running);
    let end = running.end();
    end.expect(1);
    for name in ["t[0]", "t[1]", "t[2]"] {
        assert_eq!(end.state(name), "failed");
        let kind = end.future(name)["error"]["kind"].as_str().unwrap();
        assert!(["worker_death", "broken_executor"].contains(&kind), "{kind}");
        assert_ne!(end.future(name)["error"]["message"], "");
    }
}

#[test]
fn c92_or_has_it_run_again() {
    let door = Door::new();
    let running = three_calls(&door, 1, "retry");
    let _lost = door.knock();
    kill_worker(&running);
    for _ in 0..3 {
        door.knock().answer("ok");
    }
    let end = running.end();
    end.expect(0);
    assert_eq!(end.report["counts"]["succeeded"], 3);
}

#[test]
fn c57_nothing_is_left_of_a_run() {
    for kind in KINDS {
        let end = on(
            kind,
            3,
            r#"
            [[task]]
            name = "t"
            call = "echo"
            map  = [1, 2, 3]
            [[task]]
            name = "stray"
            run  = "sleep 600 > /dev/null 2>&1 & echo left"
            "#,
        )
        .run();
        end.expect(0);
        assert_eq!(end.result("stray"), "left");
        assert!(end.leftovers().is_empty(), "{:?}", end.leftovers());
    }
}

#[test]
fn c87_a_child_that_is_stopped_is_asked_first_and_then_killed() {
    for kind in KINDS {
        let end = on(
            kind,
            2,
            r#"
            [[task]]
            name = "polite"
            run  = '''
                trap 'echo asked > polite.txt; exit 0' TERM
                while :; do sleep 0.01; done
            '''
            timeout = "300ms"
            grace   = "60s"
            [[task]]
            name = "deaf"
            run  = "trap '' TERM; sleep 600; sleep 600"
            timeout = "300ms"
            grace   = "100ms"
            "#,
        )
        .run();
        end.expect(1);
        assert_eq!(end.file("polite.txt"), "asked\n");
        assert_eq!(end.state("polite"), "timed_out");
        assert_eq!(end.state("deaf"), "timed_out");
        assert_eq!(end.future("deaf")["signal"], 9);
        assert!(end.leftovers().is_empty());
    }
}

#[test]
fn c49_an_initializer_that_hangs_does_not_hang_the_run() {
    for kind in KINDS {
        let door = Door::new();
        let story = on(
            kind,
            2,
            &format!(
                "initializer = {{ call = \"http\", args = [\"{}\"] }}\n\
                 [wait]\ntimeout = \"500ms\"\n\
                 [[task]]\nname = \"t\"\ncall = \"echo\"\nmap = [1, 2]\n",
                door.url()
            ),
        );
        let running = story.spawn();
        let _no_answer = door.knock();
        let end = running.end();
        end.expect(3).says("2 (of 2) futures unfinished");
        assert!(end.leftovers().is_empty());
    }
}

/// A job of the program that has functions of its own, on one worker process.
fn own(rest: &str) -> End {
    on("process", 1, rest).program(own_functions()).run()
}

#[test]
fn c83_c91_a_function_that_exits_fails_alone_and_its_worker_is_replaced() {
    let end = own(r#"
        [[task]]
        name = "before"
        call = "pid"
        [[task]]
        name = "quits"
        call = "exit"
        map  = [99, 1, 0]
        [[task]]
        name = "after"
        call = "pid"
        "#);
    end.expect(1);
    for (place, code) in [99, 1, 0].into_iter().enumerate() {
        let name = format!("quits[{place}]");
        let error = &end.future(&name)["error"];
        assert_eq!(error["kind"], "worker_death");
        let message = error["message"].as_str().unwrap();
        assert!(
            message.contains(&format!("terminated abruptly with exit code {code}")),
            "{message}"
        );
        assert!(message.contains(&name), "{message}");
        assert_eq!(end.future(&name)["exit_code"], code);
    }
    assert!(end.result("before").is_number() && end.result("after").is_number());
    assert_ne!(end.result("before"), end.result("after"));
}

#[test]
fn c82_a_panic_is_told_and_costs_no_worker() {
    let end = own(r#"
        [[task]]
        name = "pid"
        call = "pid"
        [[task]]
        name = "panics"
        call = "panic"
        args = ["the roof is on fire"]
        [[task]]
        name  = "again"
        call  = "pid"
        "#);
    end.expect(1);
    let error = &end.future("panics")["error"];
    assert_eq!(error["kind"], "panic");
    assert!(error["message"].to_string().contains("the roof is on fire"), "{error}");
    assert_eq!(end.result("pid"), end.result("again"));
}

#[test]
fn c85_a_worker_that_cannot_be_replaced_breaks_its_executor() {
    let story = on(
        "process",
        1,
        r#"
        max_tasks_per_child = 1
        [[task]]
        name = "first"
        call = "echo"
        args = [1]
        [[task]]
        name  = "remove"
        run   = ["rm", "jobrun"]
        after = ["first"]
        executor = "children"
        [[task]]
        name  = "late"
        call  = "echo"
        map   = [1, 2, 3]
        after = ["remove"]
        [executors.children]
        "#,
    );
    let program = story.path("jobrun");
    // Not copied by this process: what another test starts meanwhile would hold it open for writing.
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_jobrun")).arg(&program).status();
    assert!(copied.unwrap().success());
    let end = story.program(program).run();
    end.expect(1);
    assert_eq!(end.result("first"), 1);
    for name in ["late[0]", "late[1]", "late[2]"] {
        assert_eq!(end.state(name), "failed", "queued ones are failed, not lost");
        let error = &end.future(name)["error"];
        assert_eq!(error["kind"], "broken_executor");
        assert!(error["message"].to_string().contains("could not be started"), "{error}");
    }
}

#[test]
fn c89_c93_what_cannot_be_sent_fails_alone() {
    let end = own(r#"
        [[task]]
        name = "pid"
        call = "pid"
        [[task]]
        name = "result"
        call = "deep"
        args = [200]
        [[task]]
        name = "again"
        call = "pid"
        "#);
    end.expect(1);
    let error = &end.future("result")["error"];
    assert_eq!(error["kind"], "result");
    assert!(error["message"].to_string().contains("the result cannot be sent"), "{error}");
    assert_eq!(end.result("pid"), end.result("again"));
}
