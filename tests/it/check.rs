//! Stories about `check`: what it prints for people and for programs, and its exit code.

use std::fs;
use std::path::Path;

use insta::assert_snapshot;
use serde_json::Value;

use crate::story::Story;

const GOOD: &str = "[[task]]\nname = \"a\"\nrun = [\"true\"]\n";

/// Valid, with two things that are most likely not meant.
const ODD: &str =
    "vars = { \"é\" = 1 }\n\n[[task]]\nname = \"a\"\nrun = [\"true\"]\nwhen = \"always\"\n";

const BAD: &str =
    "[[task]]\nname = \"a: b, c\"\nrun = [\"true\"]\nafter = [\"z\"]\ntimeout = \"1\n";

const WRONG: &str =
    "[[task]]\nname = \"a%\"\nrun = [\"true\"]\nafter = [\"a\",\n \"a\"]\ncolour = 1\n";

fn in_folder(args: &[&str]) -> Story {
    Story::command(&[&["check"], args].concat())
        .file("good.toml", GOOD)
        .file("odd.toml", ODD)
        .file("bad.toml", BAD)
        .file("wrong.toml", WRONG)
}

#[test]
fn warnings_are_shown_and_do_not_fail() {
    let end = in_folder(&["odd.toml"]).run();
    assert_eq!(end.expect(0).stdout, "");
    assert_snapshot!(end.stderr);
}

#[test]
fn denied_warnings_are_errors() {
    for deny in ["warnings", "unused"] {
        in_folder(&["odd.toml", "--deny", deny]).run().expect(2).says("error[unused]");
        in_folder(&["good.toml", "--deny", deny]).run().expect(0);
    }
    in_folder(&["odd.toml", "--deny", "no-effect"]).run().expect(0).says("warning[unused]");
}

#[test]
fn allowed_warnings_are_not_said() {
    let end = in_folder(&["odd.toml", "--allow", "unused", "--deny", "warnings"]).run();
    end.expect(2).says("error[when-without-after]");
    assert!(!end.stderr.contains("unused"));
    let allow = ["odd.toml", "--deny", "warnings", "--allow", "unused", "--allow"];
    let end = in_folder(&[&allow[..], &["when-without-after"]].concat()).run();
    assert_eq!(end.expect(0).stderr, "odd.toml: ok, 1 task, 1 future\n");
}

#[test]
fn there_is_no_code_that_there_is_not() {
    in_folder(&["good.toml", "--allow", "unusd"]).run().expect(2).says("unused");
}

#[test]
fn json_has_everything_with_its_place() {
    let files = ["good.toml", "odd.toml", "bad.toml", "wrong.toml", "missing.toml"];
    let end = in_folder(&[&files[..], &["--format", "json"]].concat()).run();
    assert_eq!(end.expect(2).stderr, "");
    assert_snapshot!(end.stdout);
    let told: Value = serde_json::from_str(&end.stdout).unwrap();
    for fault in told["diagnostics"].as_array().unwrap() {
        let Some(start) = fault["start"].as_u64() else { continue };
        let text = end.file(fault["file"].as_str().unwrap());
        let before = &text[..usize::try_from(start).unwrap()];
        let column = before.rsplit('\n').next().unwrap().chars().count() + 1;
        assert_eq!(fault["line"], before.matches('\n').count() + 1);
        assert_eq!(fault["column"], column);
    }
}

#[test]
fn json_of_what_is_right_has_no_diagnostics() {
    let end = in_folder(&["good.toml", "--format", "json"]).run();
    let told: Value = serde_json::from_str(&end.expect(0).stdout).unwrap();
    assert_eq!(told["diagnostics"], serde_json::json!([]));
    assert_eq!(told["files"][0]["tasks"], 1);
}

#[test]
fn annotations_for_github() {
    let files = ["good.toml", "odd.toml", "bad.toml", "wrong.toml", "missing.toml"];
    let end = in_folder(&[&files[..], &["--format", "github"]].concat()).run();
    assert_eq!(end.expect(2).stderr, "");
    assert_snapshot!(end.stdout);
}

#[test]
fn an_annotation_is_one_line_whatever_is_in_it() {
    let end = Story::command(&["check", "a,b:c%.toml", "--format", "github"])
        .file("a,b:c%.toml", "[[task]]\nname = \"100%\\r\\n::error::x\"\nrun = [\"true\"]\n")
        .run();
    assert_snapshot!(end.expect(2).stdout);
}

#[test]
fn programs_are_looked_for_where_children_would_find_them() {
    let text = "[[task]]\nname = \"a\"\nrun = [\"no-such-program-at-all\"]\n\
                [[task]]\nname = \"b\"\nrun = [\"./here\"]\n";
    let story = Story::command(&["check", "jobs/a.toml"]).file("jobs/a.toml", text);
    let end = story.file("here", "not beside the manifest").run();
    end.expect(0).says("`no-such-program-at-all` is not in PATH").says("no program `./here`");
}

#[test]
fn a_run_is_not_told_of_warnings() {
    let end = Story::command(&["odd.toml"]).file("odd.toml", ODD).run();
    assert!(!end.expect(0).stderr.contains("warning"));
}

/// Ten kilobytes with twelve faults that have nothing to do with each other.
#[test]
fn twelve_faults_among_many_tasks_give_twelve_messages() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/manifests/twelve-in-ten-kilobytes.toml");
    let text = fs::read_to_string(path).unwrap();
    assert!(text.len() > 10_000);
    let end = Story::command(&["check", "nightly.toml"]).file("nightly.toml", &text).run();
    assert_eq!(end.expect(2).stderr.matches("error[").count(), 12);
    let codes: std::collections::BTreeSet<_> =
        end.stderr.split("error[").skip(1).filter_map(|rest| rest.split(']').next()).collect();
    assert_eq!(codes.len(), 12);
    assert_snapshot!(end.stderr);
}

#[test]
fn a_plan_leaves_no_mark() {
    let manifest = r#"
        [[task]]
        name = "mark"
        run = ["marker"]
        [[task]]
        name = "script"
        run = "echo > marked"
        [[task]]
        name = "ask"
        call = "http"
        args = ["http://127.0.0.1:PORT/"]
        [[callback]]
        on = "start"
        run = ["marker"]
        [report]
        json = "report.json"
    "#;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    for args in
        [&["plan"][..], &["plan", "--workers", "1,2"], &["graph"], &["check"], &["--dry-run"]]
    {
        let story = Story::command(args)
            .file("jobrun.toml", &manifest.replace("PORT", &port))
            .file("bin/marker", "#!/bin/sh\necho > marked\n");
        let program = story.path("bin/marker");
        fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let path = format!("{}:{}", story.path("bin").display(), std::env::var("PATH").unwrap());
        let state = story.path("state");
        let end = story.env("PATH", path).env("JOBRUN_STATE_DIR", &state).run();
        end.expect(0);
        let mut left: Vec<_> =
            fs::read_dir(end.path(".")).unwrap().map(|it| it.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["bin", "jobrun.toml"], "{args:?}");
    }
    assert!(listener.accept().is_err(), "nobody called");
}

#[test]
fn a_variable_that_is_not_set_here_may_be_set_where_it_runs() {
    let manifest = "[[task]]\nname = \"t\"\nrun = [\"echo\", \"{{ env.NOBODY_SETS_THIS }}\"]\n";
    let story = || Story::command(&["check", "job.toml"]).file("job.toml", manifest);
    story().run().expect(0).says("warning[unset-variable]").says("1 warning");
    story().arg("--deny").arg("unset-variable").run().expect(2);
    story().env("NOBODY_SETS_THIS", "but I").run().expect(0);
    let end = Story::new(manifest).run();
    end.expect(2).says("`NOBODY_SETS_THIS` is not set");
    assert_eq!(Story::new(manifest).env("NOBODY_SETS_THIS", "but I").run().result("t"), "but I");
}
