//! `each`: futures that follow those of another task one by one.

use serde_json::json;

use super::{both, error, happened};
use crate::conformance::{KINDS, on};
use crate::story::Story;

#[test]
fn each_result_is_an_item() {
    let tasks = r#"
        [[task]]
        name = "plain"
        call = "echo"
        args = [5]

        [[task]]
        name = "group"
        call = "echo"
        map  = [1, 2, 3]

        [[task]]
        name = "matrix"
        call = "echo"
        matrix = { a = [1, 2], b = ["x"] }

        [[task]]
        name = "open"
        call = "echo"
        map  = "{{ tasks.group.results }}"

        [[task]]
        name = "of-plain"
        call = "echo"
        each = "plain"

        [[task]]
        name = "of-group"
        call = "sum_to"
        each = "group"

        [[task]]
        name = "of-matrix"
        call = "echo"
        each = "matrix"
        args = ["{{ item.a }}{{ item.b }}"]

        [[task]]
        name = "of-open"
        call = "echo"
        each = "open"
        args = ["{{ item * 10 + index }}"]

        [[task]]
        name = "chained"
        run  = ["echo", "{{ parent.name }} gave {{ item }}"]
        each = "of-open"
    "#;
    for end in both(3, tasks) {
        end.expect(0);
        assert_eq!(end.result("of-plain"), &json!([5]));
        assert_eq!(end.result("of-group"), &json!([1, 3, 6]));
        assert_eq!(end.result("of-matrix"), &json!(["1x", "2x"]));
        assert_eq!(end.result("of-open"), &json!([10, 21, 32]));
        let said = ["of-open[0] gave 10", "of-open[1] gave 21", "of-open[2] gave 32"];
        assert_eq!(end.result("chained"), &json!(said));
        assert_eq!(end.future("chained[2]")["item"], 32);
        assert_eq!(end.future("chained[2]")["after"], json!(["of-open"]));
        assert_eq!(end.report["counts"]["total"], 21);
    }
}

#[test]
fn a_follower_starts_while_others_of_the_group_still_run() {
    for kind in KINDS {
        let story = on(
            kind,
            4,
            r#"
            [[task]]
            name = "fetch"
            run  = ["sh", "-c", '[ "$0" = fast ] || cat gate', "{{ item }}"]
            map  = ["slow", "fast"]

            [[task]]
            name = "parse"
            run  = ["sh", "-c", '[ "$0" = 0 ] || echo parsed > parsed', "{{ index }}"]
            each = "fetch"
            "#,
        );
        let (gate, parsed) = (story.gate("gate"), story.gate("parsed"));
        let running = story.spawn();
        parsed.passed();
        gate.open();
        let end = running.end();
        end.expect(0);
        let finished = happened(&end, "finished");
        let at = |name| finished.iter().position(|it| *it == name).unwrap();
        assert!(at("fetch[0]") < at("parse[0]"));
        assert!(at("fetch[1]") < at("parse[1]"));
    }
}

#[test]
fn parent_tells_of_the_counterpart() {
    let tasks = r#"
        [[task]]
        name = "group"
        call = "fail"
        map  = ["a", "b"]
        allow_failure = true

        [[task]]
        name = "told"
        call = "echo"
        each = "group"
        args = [["{{ parent.name }}", "{{ parent.index }}", "{{ parent.item }}", "{{ parent.state }}", "{{ parent.result }}", "{{ parent.error.kind }}"]]
    "#;
    for end in both(2, tasks) {
        end.expect(0);
        let told = json!([
            ["group[0]", 0, "a", "failed", null, "call"],
            ["group[1]", 1, "b", "failed", null, "call"],
        ]);
        assert_eq!(end.result("told"), &told);
    }
}

#[test]
fn only_the_follower_of_what_failed_does_not_run() {
    let tasks = r#"
        [[task]]
        name = "group"
        call = "echo"
        map  = [1, 2, 3]

        [[task]]
        name = "fails"
        call = "fail"
        each = "group"
        args = ["no {{ item }}"]
        if   = "{{ item == 2 }}"

        [[task]]
        name = "next"
        call = "echo"
        each = "fails"
        args = ["{{ index }}"]

        [[task]]
        name = "mends"
        call = "echo"
        each = "fails"
        when = "failure"
        args = ["{{ parent.error.message }}"]

        [[task]]
        name = "cleans"
        call = "echo"
        each = "fails"
        when = "always"
        args = ["{{ parent.state }}"]
    "#;
    for end in both(2, tasks) {
        end.expect(1);
        assert_eq!(error(&end, "fails[1]", "call"), "fail: no 2");
        assert_eq!(end.state("fails[0]"), "skipped");
        let next = ["next[0]", "next[1]", "next[2]"].map(|name| end.state(name));
        assert_eq!(next, ["succeeded", "cancelled", "succeeded"]);
        let cause = json!({ "kind": "dependency", "future": "fails[1]" });
        assert_eq!(end.future("next[1]")["cause"], cause);
        assert_eq!(end.result("mends"), &json!([null, "fail: no 2", null]));
        assert_eq!(end.state("mends[0]"), "skipped");
        assert_eq!(end.result("cleans"), &json!(["skipped", "failed", "skipped"]));
    }
}

#[test]
fn who_follows_a_group_with_a_wait_of_its_own_counts_as_little_as_its_members() {
    let tasks = r#"
        [[task]]
        name = "try"
        run  = ["sh", "-c", "exit $0", "{{ item }}"]
        map  = [1, 0, 0]
        wait = { return_when = "first_success" }

        [[task]]
        name = "use"
        call = "echo"
        each = "try"
        args = ["{{ index }}"]
    "#;
    for end in both(1, tasks) {
        end.expect(0);
        let use_ = ["use[0]", "use[1]", "use[2]"].map(|name| end.state(name));
        assert_eq!(use_, ["cancelled", "succeeded", "cancelled"]);
        assert_eq!(end.report["groups"]["use"]["verdict"], "succeeded");
    }
}

#[test]
fn callbacks_of_followers_are_called_one_by_one() {
    let tasks = r#"
        [[task]]
        name = "group"
        call = "echo"
        map  = ["a", "b"]

        [[task]]
        name = "next"
        call = "echo"
        each = "group"

        [[task.callback]]
        on  = "done"
        log = "{{ future.name }}: {{ future.item }} {{ tasks.group.state }}"

        [[task.callback]]
        on  = "return"
        log = "{{ future.name }} {{ future.verdict }}"
    "#;
    for end in both(1, tasks) {
        let mut said: Vec<&str> = end
            .expect(0)
            .events
            .iter()
            .filter(|event| event["event"] == "log")
            .map(|event| event["message"].as_str().unwrap())
            .collect();
        said.sort_unstable();
        assert_eq!(said, ["next succeeded", "next[0]: a succeeded", "next[1]: b succeeded"]);
    }
}

#[test]
fn nothing_can_follow_itself_or_nobody() {
    for (each, said) in [
        ("t", "follows itself"),
        ("nobody", "there is no task `nobody`"),
        ("u", "wait for each other"),
    ] {
        let end = Story::new(&format!(
            "[[task]]\nname = \"t\"\ncall = \"echo\"\neach = \"{each}\"\n\
             [[task]]\nname = \"u\"\ncall = \"echo\"\nargs = [1]\nafter = [\"t\"]\n"
        ))
        .run();
        end.expect(2).says(said).says("job.toml:4:8");
    }
}
