//! The names of templates: tasks as they are written, `env`, `job`, `run`, `matrix`.

use serde_json::json;

use super::{both, error};
use crate::conformance::KINDS;
use crate::story::Story;

#[test]
fn what_is_no_letter_in_a_name_is_written_as_a_line() {
    let tasks = r#"
        [[task]]
        name = "build-all/v1.0:x"
        call = "echo"
        args = ["built"]

        [[task]]
        name = "uses"
        call = "echo"
        args = ["{{ tasks.build_all_v1_0_x.result }}"]
    "#;
    for end in both(1, tasks) {
        assert_eq!(end.expect(0).result("uses"), "built");
    }
}

#[test]
fn names_that_are_written_alike_are_a_fault_only_where_they_are_used() {
    let tasks = "[[task]]\nname = \"a-b\"\ncall = \"echo\"\nargs = [1]\n\
                 [[task]]\nname = \"a.b\"\ncall = \"echo\"\nargs = [2]\n";
    Story::new(tasks).run().expect(0);
    let uses = "[[task]]\nname = \"uses\"\ncall = \"echo\"\nargs = [\"{{ tasks.a_b.result }}\"]\n";
    let end = Story::new(&format!("{tasks}{uses}")).run();
    end.expect(2).says("both `a-b` and `a.b` are `tasks.a_b`").says("job.toml:12:13");
}

/// Four ways to set a variable, of which each has one of its own.
const ENV: &str = r#"
    env_file = "some.env"
    env      = { OF_JOB = "job of {{ env.OF_PROCESS }}", OF_BOTH = "job" }

    [[task]]
    name = "sees"
    call = "echo"
    args = [["{{ env.OF_PROCESS }}", "{{ env.OF_FILE }}", "{{ env.OF_JOB }}", "{{ env.OF_BOTH }}", "{{ env.UNSET | default('none') }}"]]

    [[task]]
    name = "runs"
    run  = 'echo "$OWN $OF_BOTH"'
    env  = { OWN = "task, {{ env.OF_JOB }}", OF_BOTH = "task" }
"#;

#[test]
fn the_environment_is_that_of_the_commands() {
    for kind in KINDS {
        let rest =
            ENV.replacen("[[task]]", &format!("[executor]\nkind = \"{kind}\"\n\n[[task]]"), 1);
        let end = Story::new(&rest)
            .file("some.env", "OF_FILE=file\nOF_PROCESS=file\nOF_BOTH=file\n")
            .env("OF_PROCESS", "process")
            .run();
        end.expect(0);
        let seen = json!(["process", "file", "job of process", "job", "none"]);
        assert_eq!(end.result("sees"), &seen);
        assert_eq!(end.result("runs"), "task, job of process task");
    }
}

#[test]
fn a_variable_that_is_not_set_is_a_fault_of_the_run_and_not_of_the_manifest() {
    let text = "[[task]]\nname = \"t\"\ncall = \"echo\"\nargs = [\"{{ env.NOT_SET_HERE }}\"]\n";
    let check = || Story::command(&["check", "job.toml"]).file("job.toml", text);
    check().run().expect(0);
    let end = Story::new(text).run();
    end.expect(2).says("`NOT_SET_HERE` is not set").says("job.toml:4:13").says("default");
    let end = Story::new(text).env("NOT_SET_HERE", "set").run();
    assert_eq!(end.expect(0).result("t"), "set");
}

#[test]
fn the_job_and_the_run_have_names() {
    for kind in KINDS {
        let rest = format!(
            r#"
            name = "shown"
            description = "What it is for"

            [executor]
            kind = "{kind}"

            [[task]]
            name = "job"
            call = "echo"
            args = ["{{{{ job }}}}"]

            [[task]]
            name = "run"
            run  = ["echo", "{{{{ run.id }}}} {{{{ run.started_at }}}} {{{{ job.name }}}}"]
            "#
        );
        let end = Story::new(&rest).run();
        end.expect(0);
        let job = end.result("job");
        assert_eq!(job["name"], "shown");
        assert_eq!(job["description"], "What it is for");
        assert_eq!(job["manifest"], "job.toml");
        assert_eq!(job.as_object().unwrap().len(), 4);
        let text = |key: &str| end.report[key].as_str().unwrap();
        let said = format!("{} {} shown", text("run_id"), text("started_at"));
        assert_eq!(end.result("run"), &json!(said));
    }
}

#[test]
fn a_combination_has_its_values() {
    let tasks = r#"
        [[task]]
        name = "pairs"
        call = "echo"
        matrix = { os = ["linux", "mac"], n = { range = [1, 3] } }
        args = [["{{ matrix.os }}", "{{ matrix.n + 1 }}", "{{ item.os }}", "{{ index }}", "{{ matrix }}"]]
    "#;
    for end in both(2, tasks) {
        let first = json!(["linux", 2, "linux", 0, { "os": "linux", "n": 1 }]);
        let results = end.expect(0).result("pairs");
        assert_eq!(results[0], first);
        assert_eq!(results[3][1], 3);
    }
}

#[test]
fn a_value_that_is_used_as_another_kind_is_a_failure_of_its_future() {
    let tasks = r#"
        [[task]]
        name = "made"
        call = "echo"
        args = ["text"]

        [[task]]
        name = "uses"
        call = "echo"
        args = ["{{ tasks.made.result - 1 }}"]
    "#;
    for end in both(1, tasks) {
        let message = error(end.expect(1), "uses", "template");
        assert!(message.starts_with("args[0]: "), "{message}");
    }
}
