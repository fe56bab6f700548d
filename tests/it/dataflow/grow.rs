//! `map` from an expression: groups whose members turn out while the job runs.

use serde_json::json;

use super::{both, error, started};
use crate::conformance::{KINDS, on};

/// A group over what `list` leaves, which is what this command prints.
fn over(print: &str, result: &str, rest: &str) -> [crate::story::End; 2] {
    both(
        2,
        &format!(
            r#"
            [[task]]
            name = "list"
            run  = ["printf", '{print}']
            result = "{result}"

            [[task]]
            name = "work"
            call = "echo"
            map  = "{{{{ tasks.list.result }}}}"
            {rest}"#
        ),
    )
}

#[test]
fn the_items_are_what_a_task_left() {
    for end in over(r#"[1, "two", {"n": 3}]"#, "json", "") {
        assert_eq!(end.expect(0).result("work"), &json!([1, "two", { "n": 3 }]));
        assert_eq!(end.future("work[1]")["item"], "two");
        assert_eq!(end.future("work[1]")["after"], json!(["list"]));
        assert_eq!(started(&end)[0], "list");
        let grown: Vec<_> = end.events.iter().filter(|it| it["event"] == "expanded").collect();
        assert_eq!(grown.len(), 1);
        let [task, futures, total] = ["task", "futures", "total"].map(|key| &grown[0][key]);
        assert_eq!((task, futures, total), (&json!("work"), &json!(3), &json!(4)));
        assert_eq!(end.report["counts"]["total"], 4);
        assert_eq!(end.report["groups"]["work"]["verdict"], "succeeded");
    }
    for end in over("a\\nb c\\n\\n", "lines", "") {
        assert_eq!(end.expect(0).result("work"), &json!(["a", "b c", ""]));
    }
}

#[test]
fn an_expression_may_choose_among_the_items() {
    let tasks = r#"
        vars = { most = 2 }

        [[task]]
        name = "numbers"
        call = "echo"
        map  = { range = [0, 6] }

        [[task]]
        name = "even"
        call = "echo"
        map  = "{{ (tasks.numbers.results | select('even') | list)[:vars.most] }}"

        [[task]]
        name = "total"
        call = "sum"
        args = ["{{ tasks.even.results }}"]
    "#;
    for kind in KINDS {
        let executor = format!("[executor]\nkind = \"{kind}\"\n\n[[task]]");
        let end = crate::story::Story::new(&tasks.replacen("[[task]]", &executor, 1)).run();
        end.expect(0);
        assert_eq!(end.result("even"), &json!([0, 2]));
        assert_eq!(end.result("total"), 2);
    }
}

#[test]
fn no_items_are_no_work_and_no_failure() {
    let rest = "[[task]]\nname = \"last\"\ncall = \"echo\"\nargs = [1]\nafter = [\"work\"]\n\
                [[task]]\nname = \"next\"\ncall = \"echo\"\neach = \"work\"\n";
    for end in over("[]", "json", rest) {
        end.expect(0);
        assert_eq!(end.result("work"), &json!([]));
        assert_eq!(end.result("next"), &json!([]));
        assert_eq!(end.state("last"), "succeeded");
        assert_eq!(end.report["counts"]["total"], 2);
        assert_eq!(end.report["groups"]["work"]["verdict"], "succeeded");
    }
}

#[test]
fn what_is_no_list_is_one_future_that_failed() {
    let rest = "[[task]]\nname = \"last\"\ncall = \"echo\"\nargs = [1]\nafter = [\"work\"]\n";
    for (print, said) in [("5", "a whole number"), ("null", "null"), (r#""text""#, "a string")] {
        for end in over(print, "json", rest) {
            end.expect(1);
            let message = error(&end, "work[0]", "template");
            assert!(message.starts_with("map: it must yield a list, and yields "), "{message}");
            assert!(message.contains(said), "{message}");
            assert_eq!(end.state("last"), "cancelled");
            let cause = json!({ "kind": "dependency", "future": "work[0]" });
            assert_eq!(end.future("last")["cause"], cause);
            assert_eq!(end.report["groups"]["work"]["verdict"], "failed");
        }
    }
}

#[test]
fn more_items_than_a_job_may_have_are_a_failure() {
    let tasks = r#"
        [[task]]
        name = "list"
        run  = ["sh", "-c", 'printf "["; head -c 7999998 /dev/zero | sed "s/\x00\x00/1,/g"; printf "1,1]"']
        result = "json"

        [[task]]
        name = "work"
        call = "echo"
        map  = "{{ tasks.list.result }}"
    "#;
    let end = on("thread", 2, tasks).run();
    end.expect(1);
    let message = error(&end, "work[0]", "template");
    assert!(message.contains("4000000") || message.contains("4,000,000"), "{message}");
}

#[test]
fn a_group_does_not_grow_if_what_it_needs_failed() {
    let tasks = r#"
        [[task]]
        name = "list"
        call = "fail"
        args = ["no list"]

        [[task]]
        name = "work"
        call = "echo"
        map  = "{{ tasks.list.result }}"
    "#;
    for end in both(1, tasks) {
        end.expect(1);
        assert_eq!(end.result("work"), &json!([]));
        assert_eq!(end.report["counts"]["total"], 1);
    }
}

#[test]
fn a_group_that_grew_has_its_own_wait() {
    let rest = r#"
            wait = { return_when = "first_completed" }

            [[task.callback]]
            on  = "done"
            log = "{{ future.name }} {{ future.state }}"

            [[task.callback]]
            on  = "return"
            log = "{{ future.name }} {{ future.returned_because }}"
            "#;
    for kind in KINDS {
        let tasks = format!(
            "[[task]]\nname = \"list\"\ncall = \"echo\"\nargs = [[1, 2, 3]]\n\
             [[task]]\nname = \"work\"\ncall = \"echo\"\nmap = \"{{{{ tasks.list.result }}}}\"\n{rest}"
        );
        let end = on(kind, 1, &tasks).run();
        end.expect(0);
        let states = ["work[0]", "work[1]", "work[2]"].map(|name| end.state(name));
        assert_eq!(states, ["succeeded", "cancelled", "cancelled"]);
        let mut said: Vec<&str> = end
            .events
            .iter()
            .filter(|event| event["event"] == "log")
            .map(|event| event["message"].as_str().unwrap())
            .collect();
        said.sort_unstable();
        let all =
            ["work first_completed", "work[0] succeeded", "work[1] cancelled", "work[2] cancelled"];
        assert_eq!(said, all);
    }
}

#[test]
fn limits_hold_for_members_that_turned_out_later() {
    // Each makes a folder that there may be only one of, and takes it away again.
    let tasks = |executor: &str, uses: &str| {
        format!(
            r#"
            [executor]
            max_workers = {executor}

            [resources]
            one = 1

            [[task]]
            name = "list"
            call = "echo"
            args = [[1, 2, 3, 4, 5, 6]]

            [[task]]
            name = "work"
            run  = ["sh", "-ec", "mkdir alone; rmdir alone"]
            map  = "{{{{ tasks.list.result }}}}"
            {uses}
            "#
        )
    };
    for (executor, uses) in [("1", ""), ("6", "uses = { one = 1 }"), ("6", "exclusive = true")] {
        let end = crate::story::Story::new(&tasks(executor, uses)).run();
        end.expect(0);
        assert_eq!(end.report["counts"]["succeeded"], 7);
    }
}
