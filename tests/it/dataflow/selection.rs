//! What is selected on the command line brings along what its templates need.

use serde_json::json;

use crate::story::{End, Story};

const TASKS: &str = r#"
[[task]]
name = "first"
call = "echo"
args = [[1, 2]]

[[task]]
name = "other"
call = "echo"
args = ["other"]

[[task]]
name = "second"
call = "echo"
map  = "{{ tasks.first.result }}"
tags = ["middle"]

[[task]]
name = "third"
call = "echo"
each = "second"

[[task]]
name = "asks"
call = "echo"
args = [["{{ tasks.other.result }}", "{{ tasks.other.state }}", "{{ tasks.second.results }}"]]
if   = "{{ tasks.first.result is iterable }}"
"#;

fn run(args: &[&str]) -> End {
    let end = Story::new(TASKS).args(args).run();
    end.expect(0);
    end
}

fn tasks(end: &End) -> Vec<&String> {
    end.report["results"].as_object().unwrap().keys().collect()
}

#[test]
fn a_task_brings_what_its_templates_name() {
    assert_eq!(tasks(&run(&["second"])), ["first", "second"]);
    assert_eq!(tasks(&run(&["third"])), ["first", "second", "third"]);
    assert_eq!(tasks(&run(&["asks"])), ["asks", "first", "other", "second"]);
    assert_eq!(tasks(&run(&["--tag", "middle"])), ["first", "second"]);
}

#[test]
fn what_is_left_out_is_seen_as_skipped() {
    let end = run(&["--skip", "other"]);
    assert_eq!(tasks(&end), ["asks", "first", "second", "third"]);
    assert_eq!(end.result("asks"), &json!([null, "skipped", [1, 2]]));
    let end = run(&["--skip", "second"]);
    assert_eq!(tasks(&end), ["asks", "first", "other"], "there is nothing to follow");
    assert_eq!(end.result("asks"), &json!(["other", "succeeded", []]));
}
