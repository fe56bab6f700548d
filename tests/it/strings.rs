//! Values arrive at a child as they are, byte for byte, whatever is in them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::json;

use crate::conformance::{KINDS, on};

/// So many strings, and so many of them for one future.
const STRINGS: usize = 5_000;
const EACH: usize = 50;

/// What means something to a shell, a terminal, a template, a format, or a careless program.
const PIECES: [&str; 40] = [
    "",
    " ",
    "  ",
    "\t",
    "\n",
    "\r\n",
    "\r",
    "'",
    "\"",
    "`",
    "\\",
    "\\n",
    "\\0",
    "$",
    "$HOME",
    "$(touch pwned)",
    "`touch pwned`",
    "${IFS}",
    ";",
    "; exit 1 #",
    "&&",
    "||",
    "|",
    ">pwned",
    "<",
    "&",
    "*",
    "?",
    "[a-z]",
    "~",
    "!",
    "-n",
    "--",
    "--help",
    "%s%n",
    "{{ item }}",
    "{%",
    "{# #}",
    "\u{1b}[31m\u{7}\u{7f}",
    "é✓\u{202e}\u{feff}\u{10ffff}",
];

/// Strings of such pieces and of any characters but NUL, the same in every run.
fn strings() -> Vec<String> {
    let character = any::<char>().prop_filter("no program can get it", |c| *c != '\0');
    let piece = prop_oneof![
        3 => prop::sample::select(PIECES.to_vec()).prop_map(str::to_owned),
        1 => character.prop_map(String::from),
    ];
    let string = prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat());
    let mut runner = TestRunner::deterministic();
    (0..STRINGS).map(|_| string.new_tree(&mut runner).unwrap().current()).collect()
}

/// Three tasks, each given so many strings of its item: as arguments, in its environment, as input.
fn manifest() -> String {
    let all = |piece: fn(usize) -> String| (0..EACH).map(piece).collect::<String>();
    let args = all(|at| format!(", \"{{{{ item[{at}] }}}}\""));
    let env = all(|at| format!("S{at} = \"{{{{ item[{at}] }}}}\", "));
    let stdin = all(|at| format!("{{{{ item[{at}] }}}}\\u0000"));
    let mut text = String::new();
    for (name, run, more) in [
        ("args", format!("[\"printf\", '%s\\0'{args}]"), String::new()),
        ("env", "[\"env\", \"-0\"]".to_owned(), format!("env = {{ {env} }}")),
        ("stdin", "[\"cat\"]".to_owned(), format!("stdin = \"{stdin}\"")),
    ] {
        let _ = write!(
            text,
            "[[task]]\nname = \"{name}\"\nrun = {run}\n{more}\nmap = {{ json = \"strings.json\" }}\n\
             result = \"text\"\n"
        );
    }
    text
}

#[test]
fn five_thousand_odd_strings_arrive_in_three_ways() {
    let strings = strings();
    let items: Vec<&[String]> = strings.chunks(EACH).collect();
    for kind in KINDS {
        let end = on(kind, 4, &manifest()).file("strings.json", &json!(items).to_string()).run();
        end.expect(0);
        for (index, item) in items.iter().enumerate() {
            let whole: String = item.iter().flat_map(|string| [string, "\0"]).collect();
            assert_eq!(end.result("args")[index], json!(whole), "{kind} {index}");
            assert_eq!(end.result("stdin")[index], json!(whole), "{kind} {index}");
            let env = end.result("env")[index].as_str().unwrap();
            let env: BTreeMap<&str, &str> =
                env.split('\0').filter_map(|variable| variable.split_once('=')).collect();
            for (at, string) in item.iter().enumerate() {
                assert_eq!(env[format!("S{at}").as_str()], string, "{kind} {index} {at}");
            }
            assert_eq!(env["JOBRUN_ITEM"], json!(item).to_string(), "{kind} {index}");
        }
        assert!(!end.path("pwned").exists());
    }
}

#[test]
fn a_nul_in_a_value_is_refused_where_no_program_can_get_it() {
    for kind in KINDS {
        let end = on(
            kind,
            1,
            r#"
            [[task]]
            name = "args"
            run  = ["echo", "{{ item }}"]
            map  = { json = "strings.json" }
            [[task]]
            name = "env"
            run  = ["env"]
            env  = { VALUE = "{{ item }}" }
            map  = { json = "strings.json" }
            [[task]]
            name = "call"
            call = "echo"
            map  = { json = "strings.json" }
            "#,
        )
        .file("strings.json", r#"["a\u0000b"]"#)
        .run();
        end.expect(1);
        for name in ["args[0]", "env[0]"] {
            assert_eq!(end.state(name), "failed");
            assert_eq!(end.future(name)["error"]["kind"], "template");
            assert!(end.future(name)["error"]["message"].as_str().unwrap().contains("NUL"));
        }
        assert_eq!(end.result("call"), &json!(["a\0b"]));
    }
}
