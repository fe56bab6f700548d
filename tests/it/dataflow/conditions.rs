//! `if`: whether a future runs.

use serde_json::json;

use super::{both, error, started};
use crate::story::Story;

#[test]
fn what_does_not_run_is_skipped_and_dependents_run() {
    let tasks = r#"
        [[task]]
        name = "tests"
        call = "echo"
        args = [3]

        [[task]]
        name = "report"
        call = "echo"
        args = ["there are some"]
        if   = "{{ tasks.tests.result > 5 }}"

        [[task]]
        name = "end"
        call = "echo"
        args = [["{{ tasks.report.state }}", "{{ tasks.report.result }}"]]

        [[task]]
        name = "never"
        call = "echo"
        args = [1]
        if   = false
    "#;
    for end in both(1, tasks) {
        end.expect(0);
        assert_eq!(end.state("report"), "skipped");
        assert_eq!(end.state("never"), "skipped");
        assert_eq!(end.result("end"), &json!(["skipped", null]));
        assert_eq!(started(&end), ["tests", "end"]);
        assert_eq!(end.report["counts"]["skipped"], 2);
    }
}

#[test]
fn each_member_has_its_own_condition() {
    let tasks = r#"
        [[task]]
        name = "work"
        call = "echo"
        map  = { range = [0, 5] }
        if   = "{{ item is odd }}"

        [[task]]
        name = "next"
        call = "echo"
        each = "work"
        if   = "{{ parent.state == 'succeeded' }}"
    "#;
    for end in both(1, tasks) {
        end.expect(0);
        let results = json!([null, 1, null, 3, null]);
        assert_eq!(end.result("work"), &results);
        assert_eq!(end.result("next"), &results);
        assert_eq!(end.report["counts"]["skipped"], 6);
    }
}

#[test]
fn a_condition_that_is_no_boolean_is_a_failure() {
    let tasks = r#"
        [[task]]
        name = "made"
        call = "echo"
        args = ["yes"]

        [[task]]
        name = "asks"
        call = "echo"
        args = [1]
        if   = "{{ tasks.made.result }}"
        retry = 2

        [[task]]
        name = "next"
        call = "echo"
        args = [1]
        after = ["asks"]
    "#;
    for end in both(1, tasks) {
        end.expect(1);
        assert_eq!(
            error(&end, "asks", "template"),
            "if: it must yield a boolean, and yields a string"
        );
        assert_eq!(end.future("asks")["attempts"], json!([]));
        assert_eq!(end.state("next"), "cancelled");
    }
}

#[test]
fn a_condition_is_asked_when_what_comes_before_is_done() {
    let tasks = r#"
        [[task]]
        name = "breaks"
        call = "fail"
        args = ["it"]

        [[task]]
        name  = "mends"
        call  = "echo"
        args  = ["mended"]
        after = ["breaks"]
        when  = "failure"
        if    = "{{ tasks.breaks.errors | length == 1 }}"

        [[task]]
        name  = "cleans"
        call  = "echo"
        args  = ["clean"]
        after = ["breaks"]
        when  = "always"
        if    = "{{ tasks.breaks.state == 'succeeded' }}"
    "#;
    for end in both(1, tasks) {
        end.expect(1);
        assert_eq!((end.state("mends"), end.state("cleans")), ("succeeded", "skipped"));
    }
}

#[test]
fn a_condition_that_is_known_beforehand_is_checked_beforehand() {
    for (condition, said) in [
        ("\"{{ vars.n }}\"", "this `if` yields a whole number, and must yield a boolean"),
        ("\"{{ vars.n > 0 }} \"", "`if` must be one expression"),
        ("\"true\"", "`if` must be one expression"),
    ] {
        let text = format!(
            "vars = {{ n = 1 }}\n[[task]]\nname = \"t\"\ncall = \"echo\"\nargs = [1]\nif = {condition}\n"
        );
        Story::new(&text).run().expect(2).says(said).says("job.toml:6:6");
    }
    let text = "vars = { n = 1 }\n[[task]]\nname = \"t\"\ncall = \"echo\"\nargs = [1]\nif = \"{{ vars.n > 1 }}\"\n";
    assert_eq!(Story::new(text).run().expect(0).state("t"), "skipped");
    let end = Story::new(text).args(&["--var", "n=2"]).run();
    assert_eq!(end.expect(0).state("t"), "succeeded");
}
