//! Faults of a manifest: named with their place, all at once, and nothing runs.

use crate::story::{End, Story};

/// Runs a manifest that must not run: its one good task would leave a file.
#[track_caller]
fn refused(rest: &str) -> End {
    let end =
        Story::new(&format!("{rest}\n[[task]]\nname = \"good\"\nrun = \"echo ran > ran.txt\"\n"))
            .run();
    end.expect(2).says("job.toml:");
    assert!(!end.path("ran.txt").exists());
    assert!(end.report.is_null());
    end
}

#[test]
fn c16_an_unknown_policy() {
    let end = refused("[wait]\nreturn_when = \"first_complete\"");
    end.says("first_completed").says("job.toml:2:");
}

#[test]
fn c17_an_unknown_executor_function_or_key() {
    refused("[executor]\nkind = \"thraed\"").says("thread");
    refused("[[task]]\nname = \"t\"\ncall = \"sum_too\"\nargs = [1]").says("sum_to");
    refused("[[task]]\nname = \"t\"\nrun = [\"true\"]\nexecutor = \"gpus\"").says("gpus");
    refused("[[task]]\nname = \"t\"\nrun = [\"true\"]\ntimout = \"1s\"").says("timeout");
    refused("[[task]]\nname = \"t\"\nrun = [\"true\"]\nafter = [\"goood\"]").says("good");
}

#[test]
fn c18_a_duration_that_is_none() {
    for duration in ["-1", "\"-1s\"", "nan", "inf", "\"1 parsec\"", "1e300", "\"\"", "true"] {
        refused(&format!("[wait]\ntimeout = {duration}")).says("job.toml:2:");
    }
}

#[test]
fn c19_an_unknown_way_to_return() {
    refused("[wait]\non_return = \"leave\"").says("continue");
}

#[test]
fn c39_c45_c58_c67_what_python_has_and_jobrun_has_not() {
    for key in ["start = \"fork\"", "mp_context = \"spawn\"", "thread_name_prefix = \"pool\""] {
        refused(&format!("[executor]\nkind = \"process\"\n{key}")).says("job.toml:3:");
    }
    for key in ["chunksize = 0", "buffersize = 1"] {
        let task = format!("[[task]]\nname = \"t\"\ncall = \"echo\"\nmap = [1]\n{key}");
        refused(&task).says("job.toml:5:");
    }
}

#[test]
fn all_faults_are_told_at_once() {
    let end = refused(
        "nmae = \"x\"\n[wait]\nreturn_when = \"soon\"\n[executor]\nmax_workers = 0\n\
         [[task]]\nname = \"a\"\nrun = [\"true\"]\nafter = [\"b\"]\n\
         [[task]]\nname = \"b\"\nrun = [\"true\"]\nafter = [\"a\"]\n\
         [[task]]\nname = \"c\"\nrun = [\"echo\", \"{{ vars.missing }}\"]",
    );
    for place in ["job.toml:1:", "job.toml:3:", "job.toml:5:"] {
        end.says(place);
    }
    end.says("nmae").says("max_workers must be greater than 0");
}

#[test]
fn tasks_that_wait_for_each_other() {
    let end = refused(
        "[[task]]\nname = \"hen\"\nrun = [\"true\"]\nafter = [\"egg\"]\n\
         [[task]]\nname = \"egg\"\nrun = [\"true\"]\nafter = [\"hen\"]",
    );
    end.says("hen").says("egg");
}

#[test]
fn a_value_can_never_become_code() {
    let end = refused("[[task]]\nname = \"t\"\nrun = \"echo {{ item }}\"\nmap = [\"; rm -rf /\"]");
    end.says("env");
}

#[test]
fn what_flows_between_tasks_is_checked_before_anything_runs() {
    for (keys, said) in [
        ("each = \"goood\"", "did you mean `good`?"),
        ("if = \"{{ vars.x }}\"", "`x` is not among `vars`"),
        ("if = \"yes\"", "`if` must be one expression"),
        ("map = \"{{ tasks.good.results }}\"", "write `tasks.good.result`"),
        ("args = [\"{{ tasks.bad.result }}\"]", "there is no task `bad`"),
    ] {
        let end = refused(&format!("[[task]]\nname = \"t\"\ncall = \"echo\"\n{keys}"));
        end.says(said).says("job.toml:4:");
    }
}

#[test]
fn a_manifest_that_is_not_there() {
    Story::command(&["nowhere.toml"]).run().expect(2).says("nowhere.toml");
}

#[test]
fn a_manifest_may_come_from_standard_input() {
    let end = Story::command(&["-", "--results"])
        .stdin("[[task]]\nname = \"t\"\ncall = \"echo\"\nargs = [5]\n")
        .run();
    end.expect(0);
    assert!(end.stdout.contains("\"t\""), "{}", end.stdout);
    Story::command(&["-"]).stdin("[[task").run().expect(2);
}
