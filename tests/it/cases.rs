//! Papers of cases: each case has a row, each row names tests or says why there is none, and each story
//! that says which case it tells of is named there.

use std::fs;
use std::path::Path;

use crate::docs::read;

/// A paper with a table of numbered cases, or several. The last cell of a row says who tells of it.
struct Paper {
    path: &'static str,
    /// What the numbers begin with: `C` for C01, C02 and so on.
    letter: char,
    /// The last number.
    last: usize,
    /// So many cells has a row.
    cells: usize,
}

/// A story and the cases that its name begins with.
struct Told {
    path: String,
    cases: Vec<String>,
}

impl Paper {
    #[track_caller]
    fn holds(&self) {
        let text = read(self.path);
        let start = |line: &&str| {
            let number = line.strip_prefix("| ").and_then(|line| line.strip_prefix(self.letter));
            number.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        };
        let cells = |line: &str| -> Vec<String> {
            line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
        };
        let rows: Vec<Vec<String>> = text.lines().filter(start).map(cells).collect();
        for row in &rows {
            assert_eq!(row.len(), self.cells, "{row:?}");
            assert!(row.iter().all(|cell| !cell.is_empty()), "{row:?}");
        }
        self.has_each_case_in_one_place(&rows);
        let modules = modules();
        for row in &rows {
            for name in named(row) {
                assert!(is_test(&modules, name), "{}: there is no test {name}", row[0]);
            }
        }
        for story in self.stories(&modules) {
            for case in &story.cases {
                let mut of_case = rows.iter().filter(|row| row[0] == *case);
                let is_named = of_case.any(|row| named(row).any(|name| name == story.path));
                assert!(is_named, "{}: {case} does not name {}", self.path, story.path);
            }
        }
    }

    /// A case may have several rows, one below the other.
    fn has_each_case_in_one_place(&self, rows: &[Vec<String>]) {
        let mut numbers: Vec<&str> = rows.iter().map(|row| &*row[0]).collect();
        numbers.dedup();
        numbers.sort_unstable_by_key(|number| (number.len(), *number));
        let all = (1..=self.last).map(|number| format!("{}{number:02}", self.letter));
        assert_eq!(numbers, all.collect::<Vec<_>>(), "{}", self.path);
    }

    /// All stories that say which of these cases they tell of.
    fn stories(&self, modules: &[Module]) -> Vec<Told> {
        let letter = self.letter.to_ascii_lowercase();
        let case = |part: &str| {
            let number = part.strip_prefix(letter)?;
            let is_number = number.len() >= 2 && number.chars().all(|c| c.is_ascii_digit());
            is_number.then(|| part.to_uppercase())
        };
        let mut told = Vec::new();
        for Module { path: module, text } in modules {
            for name in text.lines().filter_map(|line| line.trim_start().strip_prefix("fn ")) {
                let name = name.split('(').next().unwrap_or_default();
                let cases: Vec<String> = name.split('_').map_while(case).collect();
                if !cases.is_empty() {
                    told.push(Told { path: format!("{module}::{name}"), cases });
                }
            }
        }
        told
    }
}

/// The tests that a row names.
fn named(row: &[String]) -> impl Iterator<Item = &str> {
    let last = row.last().into_iter();
    last.flat_map(|cell| cell.split('`').skip(1).step_by(2)).filter(|word| word.contains("::"))
}

/// A module of these tests.
struct Module {
    path: String,
    text: String,
}

/// The modules below `tests/it/`.
fn modules() -> Vec<Module> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let module = path.strip_prefix(&root).unwrap().with_extension("");
                let parts: Vec<_> = module.iter().filter_map(|part| part.to_str()).collect();
                let parts = parts.strip_suffix(&["mod"]).unwrap_or(&parts);
                found.push(Module {
                    path: parts.join("::"),
                    text: fs::read_to_string(path).unwrap(),
                });
            }
        }
    }
    found
}

/// Whether there is a test of this path below `tests/it/`.
fn is_test(modules: &[Module], path: &str) -> bool {
    let (module, name) = path.rsplit_once("::").unwrap();
    let start = format!("fn {name}(");
    modules.iter().filter(|it| it.path == module).any(|it| {
        let lines: Vec<&str> = it.text.lines().map(str::trim).collect();
        let found = lines.iter().position(|line| line.starts_with(&start));
        // A reason for what it does may stand in between.
        found.is_some_and(|at| lines[at.saturating_sub(4)..at].contains(&"#[test]"))
    })
}

#[test]
fn every_case_of_conformance_has_a_test_or_a_reason() {
    Paper { path: "docs/conformance.md", letter: 'C', last: 100, cells: 3 }.holds();
}

#[test]
fn every_fault_has_a_promise_with_a_test_or_a_reason() {
    Paper { path: "docs/promises.md", letter: 'F', last: 70, cells: 4 }.holds();
}
