//! Stories about the command line: what is run, what is printed, which exit code.

use std::fmt::Write as _;

use insta::assert_snapshot;

use crate::story::Story;

const SUMS: &str = r#"
name = "sums"
description = "Sums of whole numbers"

[[task]]
name = "sum"
call = "sum_to"
map  = [10, 100]
tags = ["fast"]
"#;

const CHAIN: &str = r#"
name = "chain"

[executor]
max_workers = 2

[wait]
return_when = "first_exception"
timeout = "1m"

[vars]
who = "ada"

[[task]]
name = "build"
run = ["true"]
estimate = "3s"

[[task]]
name = "test"
call = "echo"
map = { range = [0, 4] }
after = ["build"]
estimate = "2s"
tags = ["slow"]

[[task]]
name = "lint"
call = "echo"
args = ["{{ vars.who }}"]
estimate = "1s"

[[task]]
name = "rescue"
call = "echo"
args = [1]
after = ["test"]
when = "failure"

[[task]]
name = "clean"
call = "echo"
args = [2]
after = ["test"]
when = "always"
"#;

fn in_folder(args: &[&str]) -> Story {
    Story::command(args).file("jobrun.toml", CHAIN).file("jobs/sums.toml", SUMS)
}

#[test]
fn results_are_printed_and_nothing_else() {
    let end = in_folder(&["jobs/sums.toml", "--results"]).run();
    assert_eq!(end.expect(0).stdout, "{\"sum\":[55,5050]}\n");
}

#[test]
fn a_task_of_the_nearest_job_is_run_with_what_it_needs_and_what_cleans_up() {
    let end = in_folder(&["test", "--results"]).run();
    assert_eq!(end.expect(0).stdout, "{\"build\":\"\",\"test\":[0,1,2,3],\"clean\":2}\n");
}

#[test]
fn run_with_a_file_takes_every_word_for_a_task() {
    let end = in_folder(&["run", "-f", "jobrun.toml", "lint", "--results"]).run();
    assert_eq!(end.expect(0).stdout, "{\"lint\":\"ada\"}\n");
}

#[test]
fn a_manifest_may_come_from_standard_input() {
    let end = Story::command(&["-", "--results"]).stdin(SUMS).run();
    assert_eq!(end.expect(0).stdout, "{\"sum\":[55,5050]}\n");
}

#[test]
fn vars_and_tags_and_skips_change_what_runs() {
    let end = in_folder(&[
        "--var",
        "who=grace",
        "--skip",
        "te*",
        "--skip",
        "rescue",
        "--skip",
        "clean",
        "--results",
    ])
    .run();
    assert_eq!(end.expect(0).stdout, "{\"build\":\"\",\"lint\":\"grace\"}\n");
    let end =
        in_folder(&["--tag", "slow", "--skip", "rescue", "--skip", "clean", "--results"]).run();
    assert_eq!(end.expect(0).stdout, "{\"build\":\"\",\"test\":[0,1,2,3]}\n");
}

#[test]
fn fail_fast_is_first_exception() {
    let manifest = r#"
[[task]]
name = "bad"
call = "fail"
args = ["no"]

[[task]]
name = "long"
call = "sleep"
args = ["1h"]
"#;
    let end = Story::new(manifest).arg("--fail-fast").run();
    assert_eq!(end.expect(1).because(), "first_exception");
    assert_eq!(end.state("long"), "cancelled");
}

#[test]
fn a_timeout_on_the_command_line_ends_with_3() {
    let manifest = "[[task]]\nname = 'long'\ncall = 'sleep'\nargs = ['1h']\n";
    let end = Story::new(manifest).args(&["--timeout", "20ms"]).run();
    end.expect(3).says("1 (of 1) futures unfinished");
}

#[test]
fn wrong_words_are_told_and_end_with_2() {
    let wrong: [&[&str]; 8] = [
        &["jobrun.toml", "-j", "0"],
        &["jobrun.toml", "-j", "many"],
        &["jobrun.toml", "--return-when", "whenever"],
        &["jobrun.toml", "--timeout", "soon"],
        &["jobrun.toml", "--var", "who"],
        &["jobrun.toml", "--report", "pdf=x"],
        &["missing.toml"],
        &["nothing-like-that"],
    ];
    let mut told = String::new();
    for words in wrong {
        let end = in_folder(words).run();
        end.expect(2);
        assert!(!end.path("report.json").exists());
        writeln!(told, "$ jobrun {}\n{}", words.join(" "), end.stderr).unwrap();
    }
    assert_snapshot!(told);
}

#[test]
fn without_a_job_there_is_a_hint() {
    let end = Story::command(&[]).run();
    assert_snapshot!(end.expect(2).stderr);
}

#[test]
fn check_says_ok_or_every_fault_of_every_file() {
    let story = in_folder(&["check", "jobrun.toml", "bad.toml", "jobs/sums.toml"])
        .file("bad.toml", "[[task]]\nname = 'x'\ncal = 'echo'\nafter = ['y']\n");
    let end = story.run();
    assert_snapshot!(end.expect(2).stderr);
}

#[test]
fn plan_shows_order_time_and_critical_path() {
    assert_snapshot!(in_folder(&["plan"]).run().expect(0).stdout);
}

#[test]
fn a_dry_run_is_the_plan() {
    let plan = in_folder(&["plan"]).run();
    assert_eq!(in_folder(&["--dry-run"]).run().expect(0).stdout, plan.stdout);
}

#[test]
fn a_plan_may_have_names_longer_than_any_line() {
    let name = "x".repeat(70_000);
    let manifest = format!(
        "[[task]]\nname = '{name}'\ncall = 'echo'\nargs = [1]\n\
         [[task]]\nname = 'b'\ncall = 'echo'\nargs = [1]\nafter = ['{name}']\n"
    );
    let end = Story::command(&["plan"]).file("jobrun.toml", &manifest).run();
    assert_eq!(end.expect(0).stdout.matches(&name).count(), 2);
}

#[test]
fn plan_as_json() {
    assert_snapshot!(in_folder(&["plan", "--format", "json"]).run().expect(0).stdout);
}

#[test]
fn graph_in_three_languages() {
    for format in ["dot", "mermaid", "json"] {
        let end = in_folder(&["graph", "--format", format]).run();
        assert_snapshot!(format!("graph_{format}"), end.expect(0).stdout);
    }
}

#[test]
fn list_shows_the_jobs_of_a_folder() {
    assert_snapshot!(in_folder(&["list"]).run().expect(0).stdout);
}

#[test]
fn the_starter_is_written_once_and_runs() {
    let end = Story::command(&["new", "first.toml"]).run();
    let starter = end.expect(0).file("first.toml");
    let again = Story::command(&["new", "first.toml"]).file("first.toml", "mine").run();
    assert_eq!(again.expect(2).file("first.toml"), "mine");
    let end = Story::new(&starter).run();
    assert_eq!(*end.expect(0).result("sum"), serde_json::json!([55, 210, 465, 820]));
}

#[test]
fn the_schemas_are_json() {
    for args in [&["schema"][..], &["schema", "report"]] {
        let end = Story::command(args).run();
        let schema: serde_json::Value = serde_json::from_str(&end.expect(0).stdout).unwrap();
        assert!(schema["properties"].is_object(), "{args:?}");
    }
}

#[test]
fn completions_and_the_manual_page_are_printed() {
    let end = Story::command(&["completions", "bash"]).run();
    assert!(end.expect(0).stdout.contains("_jobrun"));
    let end = Story::command(&["man"]).run();
    assert!(end.expect(0).stdout.contains(".TH jobrun"));
}

#[test]
fn the_help_tells_everything() {
    assert_snapshot!(Story::command(&["--help"]).run().expect(0).stdout);
}

#[test]
fn a_report_that_cannot_be_written_ends_with_4() {
    let end = Story::new(SUMS).args(&["--report", "junit=missing/x.xml"]).run();
    end.expect(4).says("the junit report could not be written");
    assert_eq!(end.report["outcome"], "error");
}

#[test]
fn full_standard_output_ends_with_4() {
    let end =
        Story::new(SUMS).arg("--results").under(&["sh", "-c", "\"$@\" >/dev/full", "sh"]).run();
    end.expect(4).says("standard output");
}

#[test]
fn a_fifo_is_no_manifest() {
    let story = Story::command(&["fifo.toml"]);
    story.gate("fifo.toml");
    story.run().expect(2).says("cannot read fifo.toml: it is not a regular file");
}

/// One of each kind of edge and limit.
const RICH: &str = r#"
name = "a \"job\" with <b>markup</b>, \\ and é"

[executor]
max_workers = 4

[executors.slow]
max_workers = 1

[resources]
db = 2
memory = "8GiB"

[[task]]
name = "split"
call = "echo"
args = [1]
estimate = "1s"
priority = 2

[[task]]
name = "work"
call = "echo"
map = [1, 2, 3, 4]
after = ["split"]
estimate = "10s"
uses = { db = 1, memory = "1GiB" }
timeout = "1m"
retry = 2
wait = { return_when = "first_exception" }

[[task]]
name = "alone"
call = "echo"
args = [1]
after = ["split"]
estimate = "2s"
exclusive = true
executor = "slow"

[[task]]
name = "join"
call = "echo"
map = [1, 2]
after = ["work", "alone"]
estimate = "1s"

[[task]]
name = "rescue"
call = "echo"
args = [1]
after = ["work"]
when = "failure"
"#;

fn rich(args: &[&str]) -> Story {
    Story::command(args).file("jobrun.toml", RICH)
}

#[test]
fn plan_shows_limits_and_the_curve_over_workers() {
    assert_snapshot!(rich(&["plan", "--workers", "1,2,4,8"]).run().expect(0).stdout);
    let end = rich(&["plan", "--workers", "1,4", "--format", "json"]).run();
    let plan: serde_json::Value = serde_json::from_str(&end.expect(0).stdout).unwrap();
    assert_snapshot!("curve_json", format!("{:#}", plan["curve"]));
}

#[test]
fn a_curve_that_cannot_be_is_refused() {
    for workers in ["0", "1,x", "", "fast=1,2", "1,,2"] {
        rich(&["plan", "--workers", workers]).run().expect(2).says("--workers");
    }
}

#[test]
fn the_curve_may_be_that_of_another_executor() {
    let end = rich(&["plan", "--workers", "slow=1,2"]).run();
    end.expect(0);
    assert!(end.stdout.contains("workers of slow"), "{}", end.stdout);
}

#[test]
fn a_graph_may_show_each_future() {
    for format in ["dot", "mermaid", "json"] {
        let end = rich(&["graph", "--expand", "--format", format]).run();
        assert_snapshot!(format!("expanded_{format}"), end.expect(0).stdout);
    }
}

#[test]
fn a_graph_too_large_to_look_at_is_refused() {
    let many =
        |count| format!("[[task]]\nname = 'a'\ncall = 'echo'\nmap = {{ range = [0, {count}] }}\n");
    let graph = |text: &str, args: &[&str]| {
        Story::command(&[&["graph"], args].concat()).file("jobrun.toml", text).run()
    };
    graph(&many(10_001), &["--expand"]).expect(2).says("10001 futures are too many");
    graph(&many(10_001), &[]).expect(0);
    let square = format!(
        "{}[[task]]\nname = 'b'\ncall = 'echo'\nmap = {{ range = [0, 400] }}\nafter = ['a']\n",
        many(400)
    );
    graph(&square, &["--expand"]).expect(2).says("160000 edges are too many");
}

#[test]
fn graphviz_draws_what_graph_prints() {
    if !crate::story::require("dot") {
        return;
    }
    for expand in [&[][..], &["--expand"]] {
        let text = rich(&[&["graph"], expand].concat()).run().expect(0).stdout.clone();
        let story = Story::command(&["-Tsvg", "graph.dot"]).program("dot").file("graph.dot", &text);
        let end = story.run();
        assert!(end.expect(0).stderr.is_empty(), "{}", end.stderr);
        assert!(end.stdout.contains("split"), "{}", end.stdout);
    }
}
