//! What is known of a group before the run: items from files, and the combinations of a matrix.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jobrun::Functions;
use jobrun::compile::{Options, compile};
use jobrun::files::Files;
use jobrun::id::TaskId;
use jobrun::job::{Items, Job};
use jobrun::manifest::{Manifest, Matrix, Task};
use jobrun::value::Value;
use proptest::prelude::*;
use serde_json::json;

use crate::conformance::{KINDS, on};
use crate::story::Story;

#[test]
fn a_matrix_has_a_future_for_each_combination_the_last_axis_fastest() {
    for kind in KINDS {
        let end = on(
            kind,
            2,
            r#"
            [[task]]
            name = "t"
            call = "echo"
            args = ["{{ item.os }}-{{ item.version }}-{{ index }}"]
            matrix = { os = ["linux", "mac"], version = { range = [1, 4] } }
            "#,
        )
        .run();
        end.expect(0);
        let all = ["linux-1-0", "linux-2-1", "linux-3-2", "mac-1-3", "mac-2-4", "mac-3-5"];
        assert_eq!(end.result("t"), &json!(all));
    }
}

#[test]
fn combinations_are_left_out_and_others_come_last() {
    for kind in KINDS {
        let end = on(
            kind,
            2,
            r#"
            [[task]]
            name = "t"
            call = "echo"
            [task.matrix]
            os = ["linux", "mac", "win"]
            version = [1, 2]
            include = [{ version = 2, os = "mac" }, { os = "bsd", version = "nine" }]
            exclude = [{ os = "win" }, { version = 2, os = "mac" }, { version = 3 }]
            "#,
        )
        .run();
        end.expect(0);
        assert_eq!(
            end.result("t"),
            &json!([
                { "os": "linux", "version": 1 },
                { "os": "linux", "version": 2 },
                { "os": "mac", "version": 1 },
                { "os": "mac", "version": 2 },
                { "os": "bsd", "version": "nine" },
            ])
        );
        assert_eq!(end.future("t[4]")["item"], json!({ "os": "bsd", "version": "nine" }));
    }
}

#[test]
fn a_command_is_told_its_combination_as_json() {
    for kind in KINDS {
        let end = on(
            kind,
            2,
            r#"
            [[task]]
            name = "t"
            run  = 'printf "%s" "$JOBRUN_ITEM"'
            result = "json"
            matrix = { include = [{ b = [1.5, true], a = "it's" }] }
            "#,
        )
        .run();
        end.expect(0);
        assert_eq!(end.result("t"), &json!([{ "b": [1.5, true], "a": "it's" }]));
    }
}

#[test]
fn a_matrix_is_a_group_with_a_wait_and_callbacks_of_its_own() {
    for kind in KINDS {
        let end = on(
            kind,
            1,
            r#"
            [[task]]
            name = "t"
            run  = ["test", "{{ item.a }}", "!=", "{{ item.b }}"]
            matrix = { a = [1, 2], b = [1, 2] }
            wait = { return_when = { failed = 1 } }
            [[task.callback]]
            on  = "return"
            log = "returned because {{ future.returned_because }}"
            [[task]]
            name  = "after"
            run   = ["true"]
            after = ["t"]
            "#,
        )
        .run();
        end.expect(1).says("returned because failed");
        assert_eq!(end.state("t[0]"), "failed");
        assert_eq!(end.state("after"), "cancelled");
        assert_eq!(end.report["groups"]["t"]["verdict"], "failed");
    }
}

#[test]
fn an_axis_without_values_makes_a_group_without_futures() {
    for kind in KINDS {
        let end = on(
            kind,
            1,
            r#"
            [[task]]
            name = "t"
            call = "fail"
            args = ["never"]
            matrix = { a = [1, 2], b = [] }
            [[task]]
            name  = "after"
            run   = ["true"]
            after = ["t"]
            "#,
        )
        .run();
        end.expect(0);
        assert_eq!(end.result("t"), &json!([]));
        assert_eq!(end.state("after"), "succeeded");
    }
}

/// Names that a shell, a terminal or a careless program would stumble over.
const NAMES: [&str; 9] = [
    "-n.txt",
    "a b.txt",
    "new\nline.txt",
    "quote'\".txt",
    "$(touch pwned).txt",
    ";exit 1;.txt",
    "{{ item }}.txt",
    "[a]*?.txt",
    "ünïcödé ✓.txt",
];

#[test]
fn paths_that_match_arrive_byte_for_byte_in_their_order() {
    for kind in KINDS {
        let mut story = on(
            kind,
            3,
            r#"
            [[task]]
            name = "t"
            run  = ["printf", "%s.", "{{ item }}"]
            map  = { glob = "*.txt" }
            "#,
        );
        for name in NAMES {
            story = story.file(name, "").file(&format!("other/{name}"), "");
        }
        let end = story.file(".hidden.txt", "").run();
        end.expect(0);
        let mut sorted = NAMES;
        sorted.sort_unstable();
        let told: Vec<String> = sorted.iter().map(|name| format!("{name}.")).collect();
        assert_eq!(end.result("t"), &json!(told));
        let items: Vec<_> =
            (0..9).map(|index| &end.future(&format!("t[{index}]"))["item"]).collect();
        assert_eq!(json!(items), json!(sorted));
        assert!(!end.path("pwned").exists());
    }
}

#[test]
fn patterns_reach_into_folders_and_each_path_is_there_once() {
    let end = Story::command(&["jobs/job.toml", "--report", "json=report.json"])
        .file(
            "jobs/job.toml",
            r#"
            [[task]]
            name = "t"
            call = "echo"
            map  = { glob = ["src/**/*.c", "src/a.*", "no/such/*"] }
            "#,
        )
        .file("jobs/src/a.c", "")
        .file("jobs/src/a.h", "")
        .file("jobs/src/deep/er/b.c", "")
        .file("src/wrong.c", "")
        .run();
    end.expect(0);
    assert_eq!(end.result("t"), &json!(["src/a.c", "src/a.h", "src/deep/er/b.c"]));
}

#[test]
fn a_pattern_that_matches_nothing_makes_a_group_without_futures() {
    for kind in KINDS {
        let rest = "[[task]]\nname = 't'\ncall = 'fail'\nmap = { glob = '*.none' }\n";
        let end = on(kind, 1, rest).run();
        end.expect(0);
        assert_eq!(end.result("t"), &json!([]));
    }
}

#[test]
fn a_file_name_that_is_no_text_is_a_fault() {
    let story = Story::command(&["check", "job.toml"])
        .file("job.toml", "[[task]]\nname = 't'\ncall = 'echo'\nmap = { glob = '*.txt' }\n");
    let odd = story.path("").join(OsStr::from_bytes(b"odd-\xff.txt"));
    // Some file systems take no such name.
    if fs::write(odd, "").is_ok() {
        story.run().expect(2).says("odd-").says("not UTF-8").says("rename the file");
    }
}

#[test]
fn lines_of_a_file_are_items_in_their_order() {
    for kind in KINDS {
        let end = on(
            kind,
            2,
            r#"
            [[task]]
            name = "t"
            call = "echo"
            map  = { lines = "lists/lines.txt" }
            "#,
        )
        .file("lists/lines.txt", "zwei\r\n  eins \n\n\"drei\"\r\r\n7\u{85}\u{2028}8\n")
        .run();
        end.expect(0);
        let lines = ["zwei", "  eins ", "", "\"drei\"\r", "7\u{85}\u{2028}8"];
        assert_eq!(end.result("t"), &json!(lines));
    }
}

#[test]
fn a_last_line_needs_no_newline_and_an_empty_file_has_no_lines() {
    for (text, lines) in [("", 0), ("\n", 1), ("a", 1), ("a\n", 1), ("a\n\n", 2), ("a\nb", 2)] {
        let job = with_file(text, Task::call("t", "echo").map_lines("file"));
        assert_eq!(job.spec(TaskId(0)).items.as_ref().unwrap().len(), lines, "{text:?}");
    }
}

#[test]
fn elements_of_json_keep_their_types() {
    let list = r#"[null, true, 1.5, "1", 170141183460469231731687303715884105727, [1], {"b": 1, "a": {}}]"#;
    for kind in KINDS {
        let end = on(
            kind,
            2,
            r#"
            [[task]]
            name = "t"
            call = "echo"
            map  = { json = "list.json" }
            "#,
        )
        .file("list.json", list)
        .run();
        end.expect(0);
        let exact = end.file("report.json").replace([' ', '\n'], "");
        assert!(
            exact.contains(&format!("\"results\":{{\"t\":{}", list.replace(' ', ""))),
            "{exact}"
        );
    }
}

#[test]
fn files_are_read_before_the_run_by_everything_that_looks_at_a_job() {
    let text = "[[task]]\nname = 't'\ncall = 'echo'\nmap = { lines = 'lines.txt' }\n";
    for words in
        [&["job.toml"][..], &["check", "job.toml"], &["plan", "job.toml"], &["list", "job.toml"]]
    {
        let story = || Story::command(words).file("job.toml", text);
        story().run().expect(2).says("there is no file `lines.txt`").says("job.toml:4:17");
        story().file("lines.txt", "a\nb\nc\n").run().expect(0);
    }
}

#[test]
fn a_plan_knows_how_many_there_are() {
    let text =
        "[[task]]\nname = 't'\ncall = 'echo'\nmatrix = { a = [1, 2, 3], b = { glob = '*.c' } }\n";
    for command in ["plan", "list", "graph"] {
        let story = Story::command(&[command, "job.toml"]).file("job.toml", text);
        let end = story.file("x.c", "").file("y.c", "").run();
        end.expect(0);
        assert!(end.stdout.contains('6'), "{command}: {}", end.stdout);
    }
}

/// A file system with one file.
#[derive(Debug)]
struct OneFile(Vec<u8>);

impl Files for OneFile {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let there = path == Path::new("/nowhere/file");
        there.then(|| self.0.clone()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(path.to_owned())
    }

    fn exists(&self, path: &Path) -> bool {
        self.read(path).is_ok()
    }

    fn glob(&self, _: &Path, pattern: &str) -> io::Result<Vec<String>> {
        Ok(vec![format!("found by {pattern}")])
    }
}

fn with_file(text: &str, task: Task) -> Job {
    let options = Options {
        dir: Some("/nowhere".into()),
        files: Arc::new(OneFile(text.as_bytes().to_vec())),
        ..Options::default()
    };
    compile(&Manifest::new("job").task(task), &Functions::builtin(), &options).unwrap()
}

#[test]
fn a_program_can_say_where_files_come_from() {
    let first = |task: Task| {
        let job = with_file("[[7]]", task);
        job.spec(TaskId(0)).items.as_ref().unwrap().get(0).unwrap()
    };
    assert_eq!(first(Task::call("t", "echo").map_json("file")), Value::from(vec![7]));
    assert_eq!(first(Task::call("t", "echo").map_lines("file")), Value::from("[[7]]"));
    assert_eq!(first(Task::call("t", "echo").map_glob("*")), Value::from("found by *"));
}

fn items(matrix: Matrix) -> Items {
    let manifest = Manifest::new("job").task(Task::call("t", "echo").matrix(matrix));
    let mut job = compile(&manifest, &Functions::builtin(), &Options::default()).unwrap();
    job.specs.remove(0).items.unwrap()
}

#[test]
fn millions_of_combinations_take_no_more_memory_than_their_axes() {
    let all = items(Matrix::new().axis("a", 0..2000).axis("b", 0..2000));
    let Items::Matrix(matrix) = &all else { panic!("{} values are kept", all.len()) };
    assert_eq!(all.len(), 4_000_000);
    assert_eq!(matrix.axes().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(matrix.axis("b").unwrap().positions(&Value::from(7)), [7]);
    let pair = |a: i32, b: i32| Value::Map(vec![("a".into(), a.into()), ("b".into(), b.into())]);
    assert_eq!(all.get(0), Some(pair(0, 0)));
    assert_eq!(all.get(2001), Some(pair(1, 1)));
    assert_eq!(all.get(3_999_999), Some(pair(1999, 1999)));
    assert_eq!(all.get(4_000_000), None);
}

#[test]
fn a_program_cannot_name_an_axis_twice() {
    let matrix = Matrix::new().axis("a", [1]).axis("a", [2]);
    let manifest = Manifest::new("job").task(Task::call("t", "echo").matrix(matrix));
    let faults = compile(&manifest, &Functions::builtin(), &Options::default()).unwrap_err();
    assert!(faults.to_string().contains("two axes of the same name"), "{faults}");
}

/// Python's `itertools.product`.
fn product(lists: &[Vec<i32>]) -> Vec<Vec<i32>> {
    lists.iter().fold(vec![Vec::new()], |all, list| {
        let longer = |start: &Vec<i32>| {
            let start = start.clone();
            list.iter().map(move |value| [start.as_slice(), &[*value]].concat())
        };
        all.iter().flat_map(longer).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_matrix_is_the_product_less_some_and_some_more(
        axes in prop::collection::vec(prop::collection::vec(0..4, 0..5), 1..5),
        exclude in prop::collection::vec(prop::collection::vec(prop::option::of(0..4), 4), 0..4),
        include in prop::collection::vec(prop::collection::vec(0..6, 4), 0..3),
    ) {
        let name = |axis: usize| format!("axis {axis}");
        // What is left out names one value at least.
        let exclude: Vec<_> = exclude
            .into_iter()
            .map(|wanted| wanted[..axes.len()].to_vec())
            .filter(|wanted| wanted.iter().any(Option::is_some))
            .collect();
        let mut matrix = Matrix::new();
        for (axis, values) in axes.iter().enumerate() {
            matrix = matrix.axis(name(axis), values.iter().copied());
        }
        for wanted in &exclude {
            let given = wanted.iter().enumerate();
            matrix = matrix.exclude(
                given.filter_map(|(axis, value)| value.map(|it: i32| (name(axis), it.into()))),
            );
        }
        for given in &include {
            let given = given[..axes.len()].iter().enumerate();
            matrix = matrix.include(given.map(|(axis, value)| (name(axis), Value::from(*value))));
        }

        let is_out = |values: &Vec<i32>| {
            exclude.iter().any(|wanted| {
                wanted.iter().zip(values).all(|(wanted, value)| wanted.is_none_or(|it| it == *value))
            })
        };
        let mut expected = product(&axes);
        expected.retain(|values| !is_out(values));
        expected.extend(include.iter().map(|given| given[..axes.len()].to_vec()));
        let expected: Vec<Value> = expected
            .into_iter()
            .map(|values| {
                let named = values.into_iter().enumerate();
                Value::Map(named.map(|(axis, value)| (name(axis), value.into())).collect())
            })
            .collect();

        let items = items(matrix);
        prop_assert_eq!(items.len(), expected.len());
        let found: Vec<Value> = (0..).map_while(|index| items.get(index)).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn a_range_is_an_axis_as_its_list_is(
        start in -9_i64..9, end in -9_i64..9, step in prop_oneof![-4_i64..0, 1_i64..5],
        without in -9_i64..9,
    ) {
        let mut list = Vec::new();
        let mut next = start;
        while (step > 0 && next < end) || (step < 0 && next > end) {
            list.push(next);
            next += step;
        }
        let both = [
            Matrix::new().axis_from("n", jobrun::manifest::MapSource::Range { start, end, step }),
            Matrix::new().axis("n", list),
        ];
        let [range, list] = both.map(|matrix| {
            let items = items(matrix.exclude([("n", Value::from(without))]));
            (0..).map_while(|index| items.get(index)).collect::<Vec<_>>()
        });
        prop_assert_eq!(range, list);
    }
}
