//! What those who come after a group see of it: the futures as they were when its wait returned.

use serde_json::json;

use super::{both, entries};
use crate::conformance::{KINDS, on};

/// Asks for all that a group named `group` has.
const ALL: &str = r#"
[[task]]
name = "sees"
call = "echo"
when = "always"
with = { value = { state = "{{ tasks.group.state }}", results = "{{ tasks.group.results }}", done = "{{ tasks.group.done }}", not_done = "{{ tasks.group.not_done }}", errors = "{{ tasks.group.errors }}" } }
"#;

#[test]
fn a_group_has_lists_of_its_futures_and_null_where_there_is_no_result() {
    let group = r#"
        [[task]]
        name = "group"
        run  = ["sh", "-c", 'test "$0" != 2 && echo "$0"', "{{ item }}"]
        map  = [1, 2, 3]
        result = "json"
    "#;
    for end in both(1, &format!("{group}{ALL}")) {
        let sees = end.expect(1).result("sees");
        assert_eq!(sees["state"], "failed");
        assert_eq!(sees["results"], json!([1, null, 3]));
        assert_eq!(entries(&sees["done"]), ["group[0]", "group[1]", "group[2]"]);
        assert_eq!(sees["not_done"], json!([]));
        let error = json!({ "kind": "exit", "message": "exited with code 1" });
        let failed = json!([{
            "name": "group[1]", "index": 1, "item": 2, "state": "failed", "result": null,
            "error": error,
        }]);
        assert_eq!(sees["errors"], failed);
        let first = json!({
            "name": "group[0]", "index": 0, "item": 1, "state": "succeeded", "result": 1,
            "error": null,
        });
        assert_eq!(sees["done"][0], first);
    }
}

#[test]
fn a_plain_task_has_the_same_lists_with_one_future() {
    let tasks = r#"
        [[task]]
        name = "one"
        call = "echo"
        args = [7]

        [[task]]
        name = "sees"
        call = "echo"
        args = [["{{ tasks.one.state }}", "{{ tasks.one.done }}", "{{ tasks.one.not_done }}", "{{ tasks.one.errors }}"]]
    "#;
    for end in both(1, tasks) {
        let one = json!({
            "name": "one", "index": null, "item": null, "state": "succeeded", "result": 7,
            "error": null,
        });
        assert_eq!(end.expect(0).result("sees"), &json!(["succeeded", [one], [], []]));
    }
}

/// Three futures of which the first is done at once, and the others when their gate is opened.
fn group(wait: &str) -> String {
    format!(
        r#"
        [[task]]
        name = "group"
        run  = ["sh", "-c", '[ "$0" = 0 ] || cat "gate$0"; echo "$0"', "{{{{ item }}}}"]
        map  = [0, 1, 2]
        wait = {{ {wait} }}
        result = "json"

        [[task]]
        name = "says"
        run  = ["sh", "-c", "echo seen > seen"]
        after = ["sees"]
        {ALL}"#
    )
}

#[test]
fn a_group_that_goes_on_is_seen_as_it_was_when_it_returned() {
    for kind in KINDS {
        for on_return in ["drain", "continue"] {
            let wait = format!("return_when = \"first_success\", on_return = \"{on_return}\"");
            let story = on(kind, 4, &group(&wait));
            let gates = [story.gate("gate1"), story.gate("gate2")];
            let looked = story.gate("seen");
            let running = story.spawn();
            // They run while the other one is looked at, and are let through only then.
            looked.passed();
            gates.iter().for_each(crate::story::Gate::open);
            let end = running.end();
            let sees = end.expect(0).result("sees");
            assert_eq!(sees["state"], "succeeded");
            assert_eq!(sees["results"], json!([0, null, null]));
            assert_eq!(entries(&sees["done"]), ["group[0]"]);
            assert_eq!(entries(&sees["not_done"]), ["group[1]", "group[2]"]);
            assert_eq!(sees["errors"], json!([]));
            assert_eq!(end.result("group"), &json!([0, 1, 2]), "they went on");
        }
    }
}

#[test]
fn what_a_drained_group_never_started_is_not_done() {
    for end in both(1, &group("return_when = \"first_success\", on_return = \"drain\"")) {
        let sees = end.expect(0).result("sees");
        assert_eq!(entries(&sees["not_done"]), ["group[1]", "group[2]"]);
        assert_eq!(sees["not_done"][0]["state"], "pending");
        assert_eq!(end.result("group"), &json!([0, null, null]));
    }
}

#[test]
fn a_group_that_gave_up_is_seen_with_what_it_had() {
    // Nobody opens the gates, so only time ends this wait.
    for kind in KINDS {
        let story = on(kind, 4, &group("timeout = \"0.3s\""));
        let _gates = [story.gate("gate1"), story.gate("gate2")];
        let looked = story.gate("seen");
        let running = story.spawn();
        looked.passed();
        let end = running.end();
        let sees = end.expect(1).result("sees");
        assert_eq!(sees["state"], "failed");
        let not_done = entries(&sees["not_done"]);
        assert!(not_done.ends_with(&["group[1]", "group[2]"]), "{not_done:?}");
        assert_eq!(end.report["groups"]["group"]["returned_because"], "timeout");
    }
}

#[test]
fn callbacks_see_tasks_as_they_are() {
    for kind in KINDS {
        let story = on(
            kind,
            1,
            r#"
            [[task]]
            name = "group"
            call = "echo"
            map  = [1, 2]

            [[callback]]
            on  = "job_done"
            run = ["sh", "-c", 'echo "$0" > told', "{{ tasks.group.results }} {{ tasks.group.state }}"]
            "#,
        );
        let end = story.run();
        end.expect(0);
        assert_eq!(end.file("told"), "[1,2] succeeded\n");
    }
}
