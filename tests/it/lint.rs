//! Stories about warnings: what is most likely not meant, and what is left alone.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use insta::assert_snapshot;
use jobrun::Functions;
use jobrun::compile::{Checked, Environment, Options, examine};
use jobrun::diagnostic::{Faults, Severity, Source};
use jobrun::lint::{self, Machine, lint};

/// A machine with the program `sh` and the folder `.`.
struct Bare;

impl Machine for Bare {
    fn has_program(&self, program: &str, path: Option<&str>, _: &Path) -> bool {
        program == "sh" || path == Some("/opt/tools") && program == "tool"
    }

    fn has_folder(&self, path: &Path) -> bool {
        path == Path::new("/work")
    }
}

/// A machine that has everything.
struct Full;

impl Machine for Full {
    fn has_program(&self, _: &str, _: Option<&str>, _: &Path) -> bool {
        true
    }

    fn has_folder(&self, _: &Path) -> bool {
        true
    }
}

/// The warnings about a manifest that is valid.
fn warnings(name: &str, text: &str, dir: &Path, machine: &dyn Machine) -> Faults {
    let source = Arc::new(Source::new(name, text));
    let environment = Environment::of_now([("PATH".into(), "/bin".into())]);
    let options = Options { dir: Some(dir.into()), environment, ..Options::default() };
    let Checked { manifest, job, faults } = examine(&source, &Functions::builtin(), &options);
    let job = job.unwrap_or_else(|| panic!("{}", faults.render(false)));
    let mut found = lint(&manifest.unwrap(), &job, faults.sources(), machine);
    found.append(faults);
    assert!(found.iter().all(|it| it.severity == Severity::Warning));
    found
}

/// The warnings about tasks on this machine, as people see them.
fn told(text: &str, machine: &dyn Machine) -> String {
    warnings("job.toml", text, Path::new("/work"), machine).render(false)
}

/// What is told on a machine that has everything.
fn said(text: &str) -> String {
    told(text, &Full)
}

const TASK: &str = "\n[[task]]\nname = \"t\"\nrun = [\"sh\"]\n";

#[test]
fn a_rest_that_there_is_none_of() {
    let wait = "[wait]\non_return = \"drain\"\n";
    assert_snapshot!(said(&format!("{wait}{TASK}")));
    assert_eq!(said(&format!("{wait}timeout = \"1m\"\n{TASK}")), "");
    assert_eq!(said(&format!("{wait}return_when = \"first_exception\"\n{TASK}")), "");
    assert_eq!(said(&format!("[wait]\non_return = \"cancel\"\n{TASK}")), "");
}

#[test]
fn failures_that_cannot_come() {
    let group = "[[task]]\nname = \"g\"\ncall = \"echo\"\nmap = [1, 2, 3]\n";
    assert_snapshot!(said(&format!("{group}wait = {{ return_when = {{ failed = 4 }} }}\n")));
    assert_eq!(said(&format!("{group}wait = {{ return_when = {{ failed = 3 }} }}\n")), "");
    let wait = "[wait]\nreturn_when = \"first_exception\"\n";
    assert_snapshot!("allowed", said(&format!("{wait}{TASK}allow_failure = true\n")));
    assert_eq!(said(&format!("{wait}{group}{TASK}allow_failure = true\n")), "");
}

#[test]
fn retries_that_say_more_than_they_do() {
    let mut shown = String::new();
    for retry in [
        "{ count = 0, delay = \"1s\" }",
        "{ count = 3, backoff = 2.0 }",
        "{ count = 3, jitter = true, max_delay = \"1m\" }",
        "{ delay = \"1s\", backoff = 2.0 }",
        "{ count = 3, delay = \"1s\", max_delay = \"1m\" }",
        "{ count = 3, on = [\"timeout\", \"signal\"], on_exit = 75 }",
    ] {
        writeln!(shown, "{}\n", said(&format!("{TASK}retry = {retry}\n"))).unwrap();
    }
    assert_snapshot!(shown);
    for retry in [
        "0",
        "3",
        "{ count = 3, delay = \"1s\", backoff = 2.0, max_delay = \"1m\", jitter = true }",
        "{ delay = \"1s\" }",
        "{ count = 3, on = \"exit\", on_exit = 75 }",
        "{ count = 3, on_exit = 75 }",
    ] {
        assert_eq!(said(&format!("{TASK}retry = {retry}\n")), "", "{retry}");
    }
}

#[test]
fn clean_up_of_nothing_and_failures_of_nothing() {
    let watch = |when: &str| format!("{TASK}when = \"{when}\"\n");
    assert_snapshot!(format!("{}\n\n{}", said(&watch("failure")), said(&watch("always"))));
    let after = |when: &str, first: &str| {
        said(&format!(
            "[[task]]\nname = \"first\"\nrun = [\"sh\"]\n{first}\n{}after = [\"first\"]\n",
            watch(when)
        ))
    };
    assert_eq!(after("failure", ""), "");
    assert_eq!(after("always", "allow_failure = true"), "");
    assert_snapshot!("failure_of_what_may_fail", after("failure", "allow_failure = true"));
}

#[test]
fn a_failure_before_what_may_fail_still_counts() {
    let text = r#"
        [[task]]
        name = "first"
        run = ["sh"]
        [[task]]
        name = "second"
        run = ["sh"]
        after = ["first"]
        allow_failure = true
        [[task]]
        name = "rescue"
        run = ["sh"]
        after = ["second"]
        when = "failure"
    "#;
    assert_eq!(said(text), "");
}

#[test]
fn a_post_that_will_be_refused() {
    let post = |url: &str| said(&format!("{TASK}[[callback]]\non = \"done\"\npost = \"{url}\"\n"));
    assert_snapshot!(
        "a_post_that_will_be_refused",
        post("http://169.254.169.254/latest/meta-data") + "\n" + &post("https://LocalHost:8080")
    );
    for silent in ["https://example.org/x", "http://intranet/x", "http://{{ vars.host }}/"] {
        let text = format!("vars = {{ host = \"::1\" }}\n{TASK}[[callback]]\non = \"done\"\n");
        assert_eq!(said(&format!("{text}post = \"{silent}\"\n")).matches("refused").count(), 0);
    }
}

#[test]
fn callbacks_of_what_cannot_happen() {
    let callback = |on: &str| format!("{TASK}[[callback]]\non = {on}\nlog = \"so\"\n");
    assert_snapshot!(format!(
        "{}\n\n{}",
        said(&callback("\"retry\"")),
        said(&callback("[\"timeout\"]"))
    ));
    assert_eq!(said(&callback("[\"retry\", \"failure\"]")), "");
    assert_eq!(said(&callback("\"retry\"").replace("run =", "retry = 1\nrun =")), "");
    assert_eq!(said(&callback("\"timeout\"").replace("run =", "timeout = \"1s\"\nrun =")), "");
}

#[test]
fn groups_of_nothing() {
    let group = "[[task]]\nname = \"g\"\ncall = \"echo\"\nmap = []\n";
    let wait = "wait = { return_when = \"first_success\" }\n";
    assert_snapshot!(format!("{}\n\n{}", said(group), said(&format!("{group}{wait}"))));
}

#[test]
fn what_leaves_nothing_out() {
    let matrix = |exclude: &str| {
        said(&format!(
            "[[task]]\nname = \"g\"\ncall = \"echo\"\n\
             matrix = {{ os = [\"linux\", \"mac\"], n = [1, 2], exclude = [{exclude}] }}\n"
        ))
    };
    assert_eq!(matrix("{ os = \"mac\", n = 2 }"), "");
    assert_snapshot!(matrix("{ os = \"mac\", n = 3 }"));
}

#[test]
fn more_time_than_there_is() {
    let chain = |limit: &str, first: &str, second: &str| {
        said(&format!(
            "[wait]\ntimeout = \"{limit}\"\n[[task]]\nname = \"a\"\nrun = [\"sh\"]\n{first}\n\
             [[task]]\nname = \"b\"\nrun = [\"sh\"]\nafter = [\"a\"]\n{second}\n"
        ))
    };
    let minutes = |count: u32| format!("timeout = \"{count}m\"");
    assert_eq!(chain("10m", &minutes(5), &minutes(5)), "");
    assert_eq!(chain("10m", "", ""), "");
    let mut shown = String::new();
    for (first, second) in [
        (minutes(5), minutes(6)),
        (minutes(11), String::new()),
        (format!("{}\nretry = {{ count = 2, delay = \"1m\" }}", minutes(3)), String::new()),
        ("estimate = \"6m\"".to_owned(), "estimate = \"5m\"".to_owned()),
        (format!("{}\nestimate = \"3m\"", minutes(2)), String::new()),
    ] {
        writeln!(shown, "{}\n", chain("10m", &first, &second)).unwrap();
    }
    assert_snapshot!(shown);
    // The first one that is done ends it, so the longest does not matter.
    let first = "[wait]\nreturn_when = \"first_completed\"\ntimeout = \"1m\"\n";
    assert_eq!(said(&format!("{first}{TASK}timeout = \"2m\"\n")), "");
}

#[test]
fn programs_and_folders_that_are_not_there() {
    let text = r#"
        env = { TOOLS = "/opt/tools" }
        [defaults]
        shell = ["zsh", "-c"]
        [[task]]
        name = "bare"
        run = ["tool", "x"]
        [[task]]
        name = "path"
        run = ["bin/tool"]
        [[task]]
        name = "script"
        run = "echo $0"
        [[task]]
        name = "folder"
        run = ["sh"]
        cwd = "missing"
        [[callback]]
        on = "failure"
        run = ["notify", "me"]
    "#;
    assert_snapshot!(told(text, &Bare));
}

#[test]
fn what_may_be_there_by_then_is_left_alone() {
    let text = r#"
        vars = { tool = "tool" }
        [[task]]
        name = "build"
        run = ["sh"]
        [[task]]
        name = "built"
        run = ["bin/tool"]
        after = ["build"]
        [[task]]
        name = "there"
        run = ["sh"]
        cwd = "bin"
        after = ["build"]
        [[task]]
        name = "own-path"
        run = ["tool"]
        env = { PATH = "/opt/tools" }
        [[task]]
        name = "some-path"
        run = ["tool"]
        env = { PATH = "{{ vars.tool }}" }
        [[task]]
        name = "template"
        run = ["{{ vars.tool }}"]
    "#;
    assert_eq!(told(text, &Bare), "");
}

#[test]
fn what_nobody_uses_and_what_is_said_twice() {
    let text = r#"
        vars = { used = 1, odd = "vars.odd is not used by being named here, but so it is taken", idle = 2 }
        [executors.idle]
        max_workers = 1
        [executors.busy]
        max_workers = 1
        [resources]
        idle = 1
        busy = 1
        [[task]]
        name = "a"
        call = "echo"
        args = ["{{ vars.used }}"]
        executor = "busy"
        tags = ["x", "y", "x"]
        [[task]]
        name = "b"
        call = "echo"
        args = [1]
        after = ["a", "a"]
        uses = { busy = 1 }
    "#;
    assert_snapshot!(said(text));
}

#[test]
fn all_vars_may_be_used_at_once() {
    let text = "vars = { a = 1 }\n[[task]]\nname = \"t\"\ncall = \"echo\"\n";
    assert_eq!(said(&format!("{text}args = [\"{{{{ vars }}}}\"]\n")), "");
    assert_eq!(said(&format!("{text}args = [\"{{{{ vars['a'] }}}}\"]\n")), "");
}

#[test]
fn variables_that_are_not_set_here() {
    insta::assert_snapshot!(said(
        "env = { A = '{{ env.PTAH }}' }\n[[task]]\nname = 'a'\n\
         run = ['echo', '{{ env.A }}', '{{ env.TOKEN | default(1) }}', 'as {{ env.TOKEN }}']\n"
    ));
}

#[test]
fn ordinary_jobs_are_left_alone() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths: Vec<_> =
        fs::read_dir(root.join("jobs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.push(root.join("src/cli/starter.toml"));
    for path in paths.iter().filter(|path| path.extension().is_some_and(|it| it == "toml")) {
        let text = fs::read_to_string(path).unwrap();
        let found = warnings(&path.display().to_string(), &text, path.parent().unwrap(), &Full);
        assert!(found.is_empty(), "{}", found.render(false));
    }
}

#[test]
fn each_code_of_a_warning_is_told_of_here() {
    let mut told = BTreeSet::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/snapshots");
    for entry in fs::read_dir(folder).unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with("it__lint__") {
            let text = fs::read_to_string(entry.path()).unwrap();
            let codes = text.split("warning[").skip(1).filter_map(|rest| rest.split(']').next());
            told.extend(codes.map(str::to_owned));
        }
    }
    let known: BTreeSet<_> = lint::codes().into_iter().map(str::to_owned).collect();
    assert_eq!(told, known);
}
