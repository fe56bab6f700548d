//! Manifests that are hostile or very large: each ends with a result or an error of its own. They are
//! given to the program, so that the end of a stack or of memory is seen as the crash that it is.

use std::fmt::Write as _;

use crate::story::{End, Story};

/// Deeper than any stack, and more than anything that is not linear gets through.
const MANY: usize = 100_000;
/// So long are chains of tasks; shorter where nothing is optimized, which takes its time.
const LONG: usize = if cfg!(debug_assertions) { 12_000 } else { MANY };
/// More than these need, far less than they could ask for.
const MEMORY: &str = "ulimit -v 4000000; exec \"$@\"";

fn bounded(args: &[&str], manifest: &str) -> End {
    let story = Story::command(args).file("job.toml", manifest);
    story.under(&["sh", "-c", MEMORY, "sh"]).run()
}

/// It is refused by `check`, with this among what is said.
#[track_caller]
fn refused(manifest: &str, why: &str) {
    let end = bounded(&["check", "job.toml"], manifest);
    end.expect(2).says(why);
    assert!(end.stderr.len() < 1 << 20, "{} bytes are said", end.stderr.len());
}

/// It is a job, and can be planned.
#[track_caller]
fn accepted(manifest: &str) {
    for command in ["check", "plan"] {
        bounded(&[command, "job.toml"], manifest).expect(0);
    }
}

const CALL: &str = "[[task]]\nname = 'a'\ncall = 'echo'\n";

/// A task whose argument is a text.
fn echo(text: &str) -> String {
    format!("{CALL}args = [\"{text}\"]\n")
}

/// Many tasks, with a line for each but the first.
fn tasks(first: &str, line: impl Fn(usize) -> String) -> String {
    let mut text = String::new();
    for index in 0..LONG {
        let line = if index == 0 { first.to_owned() } else { line(index) };
        let _ = writeln!(text, "[[task]]\nname = 't{index}'\ncall = 'echo'\n{line}");
    }
    text
}

#[test]
fn nesting_of_toml_is_refused() {
    let (open, close) = ("[".repeat(MANY), "]".repeat(MANY));
    refused(&format!("{CALL}args = [{open}{close}]\n"), "recursion");
    refused(&format!("{CALL}args = {open}"), "recursion");
    let inline = "{ a = ".repeat(MANY);
    refused(&format!("{CALL}args = [{inline}1{}]\n", " }".repeat(MANY)), "recursion");
    refused(&format!("x{} = 1\n{CALL}", ".a".repeat(MANY)), "recursion");
    refused(&format!("{CALL}[vars{}]\n", ".a".repeat(MANY)), "recursion");
    refused(&format!("{CALL}[[vars{}]]\n", ".a".repeat(MANY)), "recursion");
}

#[test]
fn a_manifest_has_a_largest_size() {
    const MOST: usize = 64 << 20;
    let job = format!("{CALL}args = [1]\n#");
    let text = format!("{job}{}", "x".repeat(MOST - job.len()));
    accepted(&text);
    refused(&format!("{text}x"), "error[too-large]");
}

#[test]
fn a_matrix_is_counted_before_it_is_made() {
    let range = "{ range = [0, 1000000] }";
    refused(&format!("{CALL}matrix = {{ a = {range}, b = {range} }}\n"), "1000000000000");
    let mut axes = String::new();
    for axis in 0..40 {
        let _ = write!(axes, "a{axis} = {{ range = [0, 10] }}, ");
    }
    refused(&format!("{CALL}matrix = {{ {axes} }}\n"), "about 10^40");
}

#[test]
fn long_chains_are_jobs() {
    accepted(&tasks("args = [1]", |i| format!("args = [1]\nafter = ['t{}']", i - 1)));
    accepted(&tasks("map = [1, 2]", |i| format!("each = 't{}'", i - 1)));
    accepted(&tasks("args = [1]", |i| format!("args = ['{{{{ tasks.t{}.result }}}}']", i - 1)));
    // The other way round, so that what comes first in the order of time is written last.
    let last = LONG - 1;
    let next = |i| {
        if i == last { "map = [1, 2]".to_owned() } else { format!("each = 't{}'", i + 1) }
    };
    accepted(&tasks("each = 't1'", next));
}

#[test]
fn long_circles_are_refused() {
    let next = |i| (i + 1) % LONG;
    refused(
        &tasks("args = [1]\nafter = ['t1']", |i| format!("args = [1]\nafter = ['t{}']", next(i))),
        "error[cycle]",
    );
    refused(&tasks("each = 't1'", |i| format!("each = 't{}'", next(i))), "error[cycle]");
}

#[test]
fn a_long_chain_runs_to_its_end() {
    let manifest = tasks("args = [1]", |i| format!("args = [1]\nafter = ['t{}']", i - 1));
    bounded(&["job.toml", "--output", "none"], &manifest)
        .expect(0)
        .says(&format!("{LONG} succeeded"));
    let manifest = tasks("call = 'fail'\nargs = [1]", |i| {
        format!("args = ['{{{{ tasks.t{}.result }}}}']", i - 1)
    });
    let manifest = manifest.replacen("call = 'echo'\n", "", 1);
    bounded(&["job.toml", "--output", "none"], &manifest)
        .expect(1)
        .says(&format!("{} cancelled", LONG - 1));
}

#[test]
fn tasks_that_are_all_after_all_have_too_many_edges() {
    let all = "args = [1]\nafter = ['*']";
    refused(&tasks(all, |_| all.to_owned()), "error[too-many-edges]");
}

#[test]
fn many_globs_are_not_tried_on_many_names() {
    refused(&tasks("args = [1]", |i| format!("args = [1]\nafter = ['*{i}*']")), "too-many-edges");
    let name = "a".repeat(5000);
    let mut names = String::new();
    // Where nothing is optimized, as many would take minutes.
    for index in 0..if cfg!(debug_assertions) { 20 } else { 100 } {
        let _ = writeln!(names, "[[task]]\nname = '{name}{index}'\ncall = 'echo'\nargs = [1]");
    }
    let glob = "*a".repeat(2000);
    refused(&format!("{names}{CALL}args = [1]\nafter = ['{glob}b']\n"), "there is no task");
}

#[test]
fn stars_are_not_tried_one_by_one() {
    let name = "a".repeat(200);
    let glob = "*a".repeat(100);
    refused(
        &format!(
            "[[task]]\nname = '{name}'\ncall = 'echo'\nargs = [1]\n{CALL}args = [1]\nafter = ['{glob}b']\n"
        ),
        "no task matches",
    );
}

#[test]
fn many_faults_on_one_long_line_are_shown_in_part() {
    let nans = "nan, ".repeat(MANY);
    refused(&format!("{CALL}map = [{nans}]\n"), "more");
    let mut unknown = CALL.to_owned();
    for index in 0..MANY {
        let _ = writeln!(unknown, "k{index} = 1");
    }
    refused(&unknown, "and 99001 more");
}

#[test]
fn long_texts_are_texts() {
    accepted(&echo(&"x".repeat(1 << 20)));
    accepted(&echo(&"{{ 1 }}".repeat(1 << 14)));
    refused(&echo(&"é{{".repeat(1 << 18)), "not closed");
}

#[test]
fn deep_and_long_expressions_are_refused() {
    let around = |open: &str, inner: &str, close: &str, times: usize| {
        format!("{{{{ {}{inner}{} }}}}", open.repeat(times), close.repeat(times))
    };
    let shapes = [
        ("(", "1", ")"),
        ("(", "1", ""),
        ("[", "", "]"),
        ("[", "", ""),
        ("{'a': ", "1", "}"),
        ("-", "1", ""),
        ("not ", "true", ""),
        ("", "'x'", "|upper"),
        ("", "vars.x", ".a"),
        ("", "vars.x", "[0]"),
        ("", "1", " + 1"),
        ("", "1", " ** 1"),
        ("", "1", " and 1"),
        ("", "1", " if true else 1"),
        ("", "1", " in [1]"),
        ("", "1", " is none"),
        ("", "'x'", ".upper()"),
    ];
    for (open, inner, close) in shapes {
        let vars = "[vars]\nx = 1\n";
        refused(&format!("{}{vars}", echo(&around(open, inner, close, MANY))), "error[template]");
        // As many as are let through: whatever comes of it, it is said and not a crash.
        for times in [100, 199, 399, 790] {
            let manifest = format!("{}{vars}", echo(&around(open, inner, close, times)));
            let end = bounded(&["check", "job.toml"], &manifest);
            assert!(matches!(end.code, 0 | 2), "{times} {open}{inner}{close}: {}", end.stderr);
        }
    }
}

#[test]
fn what_an_expression_makes_is_bounded() {
    for expression in [
        "range(10**9)",
        "range(10**9) | list",
        "'abcdefghij' * 10**18",
        "[1] * 10**9",
        "([[1] * 1000] * 1000) * 1000",
        "'%0999999999d' | format(1)",
        "10**10**10",
        "('a' * 10**6) | replace('a', 'b' * 10**6)",
        "range(90000) | join('a' * 10**6)",
        "[1] | batch(10**9, 0) | list",
        "[1] | slice(10**9, 0) | list",
        "1 // 0",
    ] {
        refused(&echo(&format!("{{{{ {expression} }}}}")), "error[template]");
    }
    for expression in ["'abc'[::-9223372036854775807 - 1]", "'a' | indent(10**9)"] {
        let manifest = echo(&format!("{{{{ {expression} }}}}"));
        let end = bounded(&["check", "job.toml"], &manifest);
        assert!(matches!(end.code, 0 | 2), "{expression}: {}", end.stderr);
    }
}

#[test]
fn a_map_that_grows_too_large_while_running_fails_its_task() {
    let end = Story::new(
        "[[task]]\nname = 's'\nrun = ['seq', '5000000']\nresult = 'lines'\n\
         [[task]]\nname = 'd'\ncall = 'echo'\nmap = '{{ tasks.s.result }}'\n",
    )
    .under(&["sh", "-c", MEMORY, "sh"])
    .run();
    end.expect(1);
}

#[test]
fn a_result_that_is_nested_too_deep_fails_its_task() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let inner = if open == "[" { "" } else { "1" };
        let text = format!("{}{inner}{}", open.repeat(MANY), close.repeat(MANY));
        let manifest = "[[task]]\nname = 's'\nrun = ['cat', 'deep.json']\nresult = 'json'\n\
                        [[task]]\nname = 'b'\ncall = 'echo'\nargs = ['{{ tasks.s.result }}']\n";
        let story = Story::new(manifest).file("deep.json", &text);
        let end = story.under(&["sh", "-c", MEMORY, "sh"]).run();
        assert_eq!(end.expect(1).state("s"), "failed");
        assert_eq!(end.future("s")["error"]["kind"], "result");
        assert_eq!(end.state("b"), "cancelled");
    }
}

#[test]
fn every_character_is_carried_as_it_is() {
    let odd = [
        "\u{0}",
        "\u{1}",
        "\u{7f}",
        "\u{85}",
        "\u{a0}",
        "\u{ad}",
        "\u{300}",
        "\u{200b}",
        "\u{200d}",
        "\u{202e}",
        "\u{2028}",
        "\u{2029}",
        "\u{2066}",
        "\u{d7ff}",
        "\u{e000}",
        "\u{fdd0}",
        "\u{feff}",
        "\u{fffd}",
        "\u{ffff}",
        "\u{1f468}\u{200d}\u{1f469}",
        "\u{10ffff}",
        "İ",
        "ß",
        "ﬃ",
    ];
    let all = odd.concat();
    let mut escaped = String::new();
    for c in all.chars() {
        let _ = write!(escaped, "\\U{:08X}", u32::from(c));
    }
    let manifest = format!(
        "[vars]\nx = \"{escaped}\"\n[[task]]\nname = 'a'\ncall = 'echo'\nmap = [\"{escaped}\"]\n\
         [[task]]\nname = 'b'\ncall = 'echo'\nargs = ['{{{{ vars.x }}}}{{{{ vars.x | list | join }}}}']\n\
         [[callback]]\non = 'done'\nlog = '{{{{ future.result }}}}'\n"
    );
    let end = Story::new(&manifest).run();
    end.expect(0);
    assert_eq!(end.result("a")[0], all.as_str());
    assert_eq!(*end.result("b"), all.repeat(2).as_str());
    let hidden = |c: char| c == '\u{202e}' || (c.is_control() && c != '\n');
    assert!(!end.stderr.contains(hidden), "{:?}", end.stderr);
}
