//! Manifests as users write them: what is accepted, and what is said about what is not.

use std::fs;
use std::path::{Path, PathBuf};

use jobrun::diagnostic::utf8;

use crate::compile::job;

/// The manifests of a folder, sorted by name.
fn corpus(folder: &str) -> Vec<(String, String)> {
    let folder = Path::new("tests/manifests").join(folder);
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect()
}

#[test]
fn good_manifests_become_jobs() {
    for (name, text) in corpus("good") {
        if let Err(faults) = job(&name, &text) {
            panic!("{}", faults.render(false));
        }
    }
}

#[test]
fn each_wrong_manifest_gets_one_message_that_says_what_to_do() {
    for (name, text) in corpus("bad") {
        let file = format!("{name}.toml");
        let faults = job(&file, &text).expect_err(&name);
        let shown = faults.render(false);
        assert_eq!(faults.len(), 1, "{name}\n{shown}");
        insta::assert_snapshot!(name, shown);
    }
}

#[test]
fn twelve_faults_give_twelve_messages_in_the_order_of_their_places() {
    let text = fs::read_to_string("tests/manifests/twelve.toml").unwrap();
    let faults = job("twelve.toml", &text).unwrap_err();
    let found: Vec<_> = faults
        .iter()
        .map(|fault| {
            let place = fault.place(faults.sources()).unwrap();
            (place.line, place.column, fault.code)
        })
        .collect();
    assert_eq!(
        found,
        [
            (1, 1, "unknown-key"),
            (4, 8, "unknown-word"),
            (5, 15, "wrong-value"),
            (8, 15, "unknown-word"),
            (9, 11, "wrong-value"),
            (12, 10, "wrong-value"),
            (15, 8, "bad-name"),
            (16, 16, "wrong-type"),
            (17, 1, "unknown-key"),
            (21, 8, "unknown-function"),
            (22, 9, "wrong-value"),
            (23, 12, "unknown-executor"),
        ]
    );
}

#[test]
fn what_only_follows_from_a_fault_is_not_said() {
    // One real fault each; the name, value or key that is lost by it is used elsewhere.
    let texts = [
        "vars = { a = inf }\n[[task]]\nname = 'x'\nrun = ['echo', '{{ vars.a }}']\n",
        "vars = 3\n[[task]]\nname = 'x'\nrun = ['echo', '{{ vars.a }}']\n",
        "resources = { db = 0 }\n[[task]]\nname = 'x'\nrun = ['true']\nuses = { db = 1 }\n",
        "executors = { a = 1 }\n[[task]]\nname = 'x'\nrun = ['true']\nexecutor = 'a'\n",
        "[[task]]\nname = 3\nrun = ['true']\n[[task]]\nname = 'x'\nrun = ['true']\nafter = ['y']\n",
        "[[tasks]]\nname = 'x'\nrun = ['true']\n",
        "task = 'build'\n",
        "[[task]]\nname = 'x'\ncall = 5\n",
        "[[task]]\nname = 'x'\ncall = 'echo'\nargs = 5\n",
        "[[task]]\nname = 'x'\ncall = 'echo'\nmap = 5\nwait = {}\n",
        "[[task]]\nname = 'x'\ncall = 'echo'\nmatrix = 5\nwait = {}\n",
        "executor = { kind = 'proces', max_tasks_per_child = 3 }\n[[task]]\nname = 'x'\nrun = ['a']\n",
        "[[task]]\nname = 'x'\nrun = ['true']\n[[callback]]\nevent = 'done'\nlog = 'over'\n",
        "[[task]]\nname = 'x'\nrun = ['true']\n[[callback]]\non = 'done'\nmessage = 'over'\n",
        "defaults = { uses = { db = 2 } }\nresources = { db = 1 }\n\
         [[task]]\nname = 'x'\nrun = ['true']\n[[task]]\nname = 'y'\nrun = ['true']\n",
    ];
    for text in texts {
        let faults = job("follow.toml", text).expect_err(text);
        let shown = faults.render(false);
        assert_eq!(faults.len(), 1, "{text}\n{shown}");
    }
}

#[test]
fn syntax_errors_are_told_once_a_line_and_nothing_else_is() {
    let text = "name = = 'x'\n[[task\nname = 'y\nunknown = 1\n".repeat(20);
    let faults = job("syntax.toml", &text).unwrap_err();
    let lines: Vec<_> = faults.iter().map(|it| it.place(faults.sources()).unwrap().line).collect();
    assert!(faults.iter().all(|fault| fault.code == "syntax"));
    assert_eq!(lines.len(), 20);
    assert!(lines.is_sorted_by(|a, b| a < b), "{lines:?}");
}

#[test]
fn every_fault_says_what_to_do() {
    for (name, text) in corpus("bad") {
        for fault in &job(&name, &text).unwrap_err() {
            assert!(fault.hint.is_some() || fault.message.contains("did you mean"), "{name}");
        }
    }
}

#[test]
fn words_of_other_tools_are_understood() {
    let meant = [
        ("needs", "after"),
        ("depends_on", "after"),
        ("deps", "after"),
        ("cmd", "run"),
        ("script", "run"),
        ("retries", "retry"),
        ("environment", "env"),
        ("working_directory", "cwd"),
    ];
    for (word, key) in meant {
        let text = format!("[[task]]\nname = 'x'\nrun = ['true']\n{word} = 1\n");
        let faults = job("words.toml", &text).unwrap_err();
        let fault = faults.iter().next().unwrap();
        assert_eq!(fault.hint.as_deref(), Some(format!("write `{key}` instead").as_str()));
    }
}

#[test]
fn text_of_a_manifest_cannot_drive_the_terminal() {
    let text = "[[task]]\nname = \"x\"\n\"\\u001b[31m\" = 1\nrun = [\"\u{202e}\"]\nafter = [\"\u{202e}y\"]\n";
    let faults = job("escape.toml", text).unwrap_err();
    let shown = faults.render(false);
    assert!(!shown.contains(['\u{1b}', '\u{202e}']), "{shown:?}");
    assert_eq!(faults.len(), 2);
}

#[test]
fn colours_are_there_on_demand_only() {
    let text = "nmae = 1\n[[task]]\nname = 'x'\nrun = ['true']\n";
    let faults = job("colour.toml", text).unwrap_err();
    assert!(faults.render(true).contains("\u{1b}["));
    assert!(!faults.render(false).contains('\u{1b}'));
}

#[test]
fn columns_count_characters() {
    let text = "description = \"ünïcödé\" # ✓\n[[task]]\nname = 'x'\nrun = ['é', 5]\n";
    let faults = job("columns.toml", text).unwrap_err();
    let place = faults.iter().next().unwrap().place(faults.sources()).unwrap();
    assert_eq!((place.line, place.column), (4, 13));
}

#[test]
fn deep_nesting_is_a_fault_and_not_a_crash() {
    let texts = [
        format!("vars = {{ a = {}{} }}", "[".repeat(100_000), "]".repeat(100_000)),
        format!("vars = {}1{}", "{ a = ".repeat(100_000), " }".repeat(100_000)),
        format!("{}a = 1", "a.".repeat(100_000)),
        format!("[{}a]", "a.".repeat(100_000)),
    ];
    for text in texts {
        let faults = job("deep.toml", &text).unwrap_err();
        assert!(!faults.is_empty());
        assert!(faults.render(false).len() < 100_000);
    }
}

#[test]
fn text_that_is_not_utf8_is_a_fault_with_its_line() {
    let fault = utf8(b"name = 'x'\nrun = '\xff'\n".to_vec()).unwrap_err();
    assert_eq!(fault.code, "not-utf8");
    assert!(fault.message.contains("line 2"), "{}", fault.message);
}

mod schema {
    use jobrun::manifest;
    use serde_json::Value as Json;

    use super::corpus;

    fn json(text: &str) -> Option<Json> {
        let table: toml::Table = toml::from_str(text).ok()?;
        serde_json::to_value(plain(toml::Value::Table(table))).ok()
    }

    /// Dates are strings in a manifest.
    fn plain(value: toml::Value) -> toml::Value {
        match value {
            toml::Value::Datetime(date) => toml::Value::String(date.to_string()),
            toml::Value::Array(items) => items.into_iter().map(plain).collect::<Vec<_>>().into(),
            toml::Value::Table(table) => {
                let entries = table.into_iter().map(|(key, value)| (key, plain(value)));
                toml::Value::Table(entries.collect())
            }
            other => other,
        }
    }

    #[test]
    fn it_accepts_what_the_parser_accepts() {
        let validator = jsonschema::validator_for(&manifest::schema()).unwrap();
        for (name, text) in corpus("good") {
            let errors: Vec<_> =
                validator.iter_errors(&json(&text).unwrap()).map(|it| it.to_string()).collect();
            assert!(errors.is_empty(), "{name}: {errors:#?}");
        }
    }

    /// What a schema cannot know: other parts of the manifest, and what TOML alone has.
    const BEYOND: [&str; 53] = [
        "above-capacity",
        "after-self",
        "callback-job-trigger",
        "callback-return-of-plain-task",
        "cycle",
        "duplicate-name",
        "each-self",
        "each-unknown",
        "glob-matches-nothing",
        "if-no-boolean",
        "if-text-around",
        "item-without-map",
        "job-unknown-name",
        "map-expression-no-list",
        "map-glob-broken",
        "map-glob-template",
        "map-json-broken",
        "map-json-of-a-table",
        "map-lines-missing",
        "map-lines-not-utf8",
        "map-uses-item",
        "matrix-far-too-large",
        "matrix-missing-axis",
        "matrix-name-without-matrix",
        "matrix-too-large",
        "matrix-unknown-axis-name",
        "matrix-unknown-axis",
        "matrix-without-axes",
        "misplaced-in-vars",
        "nul",
        "parent-unknown-attribute",
        "parent-without-each",
        "run-unknown-name",
        "tasks-alike",
        "tasks-bare",
        "tasks-circle",
        "tasks-in-brackets",
        "tasks-in-job-env",
        "tasks-in-script",
        "tasks-own",
        "tasks-result-of-group",
        "tasks-results-of-plain",
        "tasks-unknown-attribute",
        "tasks-unknown",
        "template-broken",
        "template-in-script",
        "template-unknown-var",
        "too-many-futures",
        "unknown-executor",
        "unknown-function",
        "unknown-resource",
        "unknown-task",
        "wrong-arguments",
    ];

    #[test]
    fn it_refuses_what_the_parser_refuses_where_it_can_know() {
        let validator = jsonschema::validator_for(&manifest::schema()).unwrap();
        let accepted: Vec<_> = corpus("bad")
            .into_iter()
            .filter(|(_, text)| json(text).is_some_and(|json| validator.is_valid(&json)))
            .map(|(name, _)| name)
            .collect();
        assert_eq!(accepted, BEYOND);
    }

    #[test]
    fn its_examples_are_valid_and_every_key_is_described() {
        let schema = manifest::schema();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let keys = schema["properties"].as_object().unwrap();
        assert!(keys.len() > 10);
        for (key, value) in keys {
            assert!(value["description"].as_str().is_some_and(|text| text.len() > 10), "{key}");
            let task = serde_json::json!([{ "name": "hello", "run": ["true"] }]);
            for example in value["examples"].as_array().unwrap() {
                let mut manifest = serde_json::json!({ "task": task });
                manifest[key] = example.clone();
                let errors: Vec<_> =
                    validator.iter_errors(&manifest).map(|e| e.to_string()).collect();
                assert!(errors.is_empty(), "{key}: {errors:?}");
            }
        }
    }
}

mod any_text {
    use proptest::prelude::*;

    use super::{corpus, job};

    /// Compiles, and shows what is wrong; that neither panics is the point.
    fn take(text: &str) {
        if let Err(faults) = job("any.toml", text) {
            let shown = faults.render(false);
            assert!(!shown.is_empty());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

        #[test]
        fn never_panics(text in any::<String>()) {
            take(&text);
        }

        #[test]
        fn never_panics_where_it_looks_like_a_manifest(
            text in r#"(\[\[?(task|vars|wait|callback|env|executor|task\.env)\]\]?\n|(name|run|call|map|after|timeout|on|uses|retry|log) = (\[?("[a-z{ }.*]{0,9}"|-?[0-9]{1,20}|nan|true|\{ [a-z]{1,5} = 1 \}),?\]?)\n){0,12}"#
        ) {
            take(&text);
        }

        #[test]
        fn never_panics_on_a_damaged_manifest(
            which in any::<prop::sample::Index>(),
            from in any::<prop::sample::Index>(),
            len in 0usize..30,
            with in ".{0,4}",
        ) {
            let corpus = [corpus("good"), corpus("bad")].concat();
            let (_, text) = &corpus[which.index(corpus.len())];
            let start = text.floor_char_boundary(from.index(text.len()));
            let end = text.ceil_char_boundary((start + len).min(text.len()));
            take(&format!("{}{with}{}", &text[..start], &text[end..]));
        }
    }
}
