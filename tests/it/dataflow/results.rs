//! `tasks.NAME.result`: any value, in any place, in the order that it asks for by itself.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{both, error, started};
use crate::conformance::{KINDS, on};
use crate::story::Story;

/// A task that leaves a value of each kind, and is written below those that use it.
const MADE: &str = r#"
[[task]]
name = "made"
run  = ["echo", '{"big": 170141183460469231731687303715884105727, "list": [1, "two", null], "map": {"a": {"b": 0.5}}, "text": "a b; $HOME", "yes": true, "no": null, "where": "sub"}']
result = "json"
"#;

#[test]
fn values_keep_their_types_in_arguments() {
    let tasks = r#"
        [[task]]
        name = "whole"
        call = "echo"
        args = ["{{ tasks.made.result }}"]

        [[task]]
        name = "parts"
        call = "echo"
        with = { value = { big = "{{ tasks.made.result.big }}", list = ["{{ tasks.made.result.list }}", "{{ tasks.made.result.map.a.b }}"], text = "<{{ tasks.made.result.map }}>" } }

        [[task]]
        name = "chained"
        call = "echo"
        args = ["{{ tasks.whole.result.list[1] | upper }}"]
    "#;
    for end in both(4, &format!("{tasks}{MADE}")) {
        end.expect(0);
        assert_eq!(end.result("whole"), end.result("made"));
        let exact = end.file("report.json").replace([' ', '\n'], "");
        let big = "\"big\":170141183460469231731687303715884105727";
        assert!(exact.contains(&format!("\"parts\":{{{big}")), "{exact}");
        assert_eq!(end.result("parts")["list"], json!([[1, "two", null], 0.5]));
        assert_eq!(end.result("parts")["text"], r#"<{"a":{"b":0.5}}>"#);
        assert_eq!(end.result("chained"), "TWO");
    }
}

#[test]
fn values_are_one_piece_in_commands() {
    let tasks = r#"
        [[task]]
        name   = "argv"
        run    = ["printf", "%s\n", "{{ tasks.made.result.text }}", "{{ tasks.made.result.big }}", "{{ tasks.made.result.list }}", "is {{ tasks.made.result.yes }}"]
        result = "lines"

        [[task]]
        name = "env"
        run  = 'printf "%s|%s" "$TEXT" "$MAP"'
        env  = { TEXT = "{{ tasks.made.result.text }}", MAP = "{{ tasks.made.result.map }}" }

        [[task]]
        name   = "stdin"
        run    = ["cat"]
        stdin  = "{{ tasks.made.result.list }}"
        result = "json"

        [[task]]
        name = "cwd"
        run  = 'basename "$PWD"'
        cwd  = "{{ tasks.made.result.where }}"

        [[task]]
        name = "if"
        call = "echo"
        args = [1]
        if   = "{{ tasks.made.result.yes }}"

        [[task]]
        name = "unless"
        call = "echo"
        args = [1]
        if   = "{{ not tasks.made.result.yes }}"
    "#;
    for kind in KINDS {
        let end = on(kind, 4, &format!("{tasks}{MADE}")).file("sub/there", "").run();
        end.expect(0);
        let argv = [
            "a b; $HOME",
            "170141183460469231731687303715884105727",
            r#"[1,"two",null]"#,
            "is true",
        ];
        assert_eq!(end.result("argv"), &json!(argv));
        assert_eq!(end.result("env"), r#"a b; $HOME|{"a":{"b":0.5}}"#);
        assert_eq!(end.result("stdin"), &json!([1, "two", null]));
        assert_eq!(end.result("cwd"), "sub");
        assert_eq!((end.state("if"), end.state("unless")), ("succeeded", "skipped"));
    }
}

#[test]
fn null_is_no_argument() {
    for (key, place) in [
        (r#"run = ["echo", "{{ tasks.made.result.no }}"]"#, "run[1]"),
        (r#"run = ["echo", "is {{ tasks.made.result.no }}"]"#, "run[1]"),
        (
            r#"run = ["true"]
        env = { NOTHING = "{{ tasks.made.result.no }}" }"#,
            "env.NOTHING",
        ),
        (
            r#"run = ["true"]
        stdin = "{{ tasks.made.result.no }}""#,
            "stdin",
        ),
        (
            r#"run = ["true"]
        cwd = "{{ tasks.made.result.no }}""#,
            "cwd",
        ),
    ] {
        let end = Story::new(&format!("[[task]]\nname = \"t\"\n{key}\n{MADE}")).run();
        end.expect(1);
        let message = error(&end, "t", "template");
        assert!(
            message.starts_with(&format!("{place}: ")) && message.contains("null"),
            "{message}"
        );
    }
    let task = "[[task]]\nname = \"t\"\ncall = \"echo\"\nargs = [\"{{ tasks.made.result.no }}\"]\n";
    for end in both(1, &format!("{task}{MADE}")) {
        assert!(end.expect(0).result("t").is_null());
        assert_eq!(end.state("t"), "succeeded");
    }
}

#[test]
fn what_is_not_in_a_result_is_said_when_it_is_missed() {
    let task =
        "[[task]]\nname = \"t\"\ncall = \"echo\"\nargs = [\"{{ tasks.made.result.nope }}\"]\n";
    for end in both(1, &format!("{task}{MADE}")) {
        let message = error(end.expect(1), "t", "template");
        assert_eq!(message, "args[0]: `tasks.made.result.nope` is undefined");
    }
}

#[test]
fn whoever_names_a_task_comes_after_it_by_itself() {
    let tasks = r#"
        [[task]]
        name = "third"
        call = "echo"
        args = ["{{ tasks.second.result + 1 }}"]

        [[task]]
        name = "second"
        call = "echo"
        args = ["{{ tasks.first.result + 1 }}"]

        [[task]]
        name = "first"
        call = "echo"
        args = [1]
    "#;
    for end in both(4, tasks) {
        end.expect(0);
        assert_eq!(started(&end), ["first", "second", "third"]);
        assert_eq!(end.future("third")["after"], json!(["second"]));
        assert_eq!(end.result("third"), 3);
    }
}

#[test]
fn a_task_does_not_run_if_what_it_names_failed() {
    let tasks = r#"
        [[task]]
        name = "uses"
        call = "echo"
        args = ["{{ tasks.breaks.result }}"]

        [[task]]
        name = "mends"
        call = "echo"
        args = ["{{ tasks.breaks.errors[0].error.message }}"]
        when = "failure"

        [[task]]
        name = "breaks"
        call = "fail"
        args = ["no cheese"]
    "#;
    for end in both(4, tasks) {
        end.expect(1);
        let uses = end.future("uses");
        assert_eq!(uses["state"], "cancelled");
        assert_eq!(uses["cause"], json!({ "kind": "dependency", "future": "breaks" }));
        assert_eq!(end.result("mends"), "fail: no cheese");
    }
}

#[test]
fn edges_by_templates_can_make_a_circle() {
    let end = Story::new(
        "[[task]]\nname = \"hen\"\ncall = \"echo\"\nargs = [\"{{ tasks.egg.result }}\"]\n\
         [[task]]\nname = \"egg\"\ncall = \"echo\"\nargs = [1]\nafter = [\"hen\"]\n",
    )
    .run();
    end.expect(2).says("these tasks wait for each other").says("job.toml:4:13");
}

#[test]
fn a_result_can_never_become_code() {
    let end = Story::new(&format!(
        "[[task]]\nname = \"t\"\nrun = 'echo {{{{ tasks.made.result.text }}}}'\n{MADE}"
    ))
    .run();
    end.expect(2).says("job.toml:3:13").says("through the environment");
}

/// Any value that JSON can say.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e300..1e300).prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        prop_oneof![Just("{{ item }}"), Just("{{"), Just("a\nb\t\"'\\"), Just("")]
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("\\PC{0,6}", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Each case is a hundred values, for starting the program takes longer than they do.
    #[test]
    fn any_value_arrives_as_it_was(values in prop::collection::vec(any_json(), 100)) {
        let values = Value::from(values);
        for kind in KINDS {
            let end = on(kind, 2, r#"
                [[task]]
                name = "made"
                run  = ["cat", "values.json"]
                result = "json"

                [[task]]
                name = "one"
                call = "echo"
                map  = "{{ tasks.made.result }}"

                [[task]]
                name = "all"
                call = "echo"
                args = ["{{ tasks.one.results }}"]

                [[task]]
                name = "computed"
                call = "echo"
                args = ["{{ tasks.all.result | list }}"]

                [[task]]
                name  = "piped"
                run   = ["cat"]
                stdin = "{{ tasks.all.result }}"
                result = "json"
            "#)
            .file("values.json", &values.to_string())
            .run();
            end.expect(0);
            for task in ["made", "one", "all", "computed", "piped"] {
                prop_assert_eq!(end.result(task), &values, "{}", task);
            }
        }
    }
}
