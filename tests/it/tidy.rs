//! The house rules that a machine can check. The tables of `ARCHITECTURE.md` are read, not repeated:
//! a document that is no longer true fails.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::story::require;

/// A Rust file of the project.
struct File {
    /// From the project's folder.
    path: PathBuf,
    text: String,
    /// Its code: no comments, no strings, no unit tests.
    code: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files below a folder of the project, which may be missing.
fn files(folder: &str) -> Vec<File> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let tests = text.find("#[cfg(test)]\nmod ").unwrap_or(text.len());
                let code = bare(&text[..tests]);
                found.push(File { path: path.strip_prefix(root()).unwrap().into(), text, code });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!found.is_empty() || folder != "src");
    found
}

/// Rust without comments, and with strings and characters emptied.
fn bare(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skip = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if c == '"' {
            code.push_str("\"\"");
            1 + quoted(&rest[1..])
        } else if let Some(len) = raw_string(rest, &code) {
            code.push_str("\"\"");
            len
        } else if rest.starts_with("'\"'") {
            3
        } else if let Some(escape) = rest.strip_prefix("'\\") {
            let end = escape.char_indices().skip(1).find(|(_, c)| *c == '\'');
            2 + end.map_or(0, |(at, _)| at + 1)
        } else {
            code.push(c);
            c.len_utf8()
        };
        rest = &rest[skip..];
    }
    code
}

/// The length of a string without its first quote, with its last one.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of the raw string that `rest` starts with, if it starts with one.
fn raw_string(rest: &str, before: &str) -> Option<usize> {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    if before.ends_with(|c: char| word(c) && c != 'b') {
        return None;
    }
    let hashes = rest.strip_prefix('r')?;
    let count = hashes.find(|c| c != '#')?;
    let inside = hashes[count..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(count));
    Some(1 + count + 1 + inside.find(&end)? + end.len())
}

/// The module of a file below `src`: `["report", "json"]`, and nothing for `lib.rs`.
fn module(path: &Path) -> Vec<String> {
    let path = path.strip_prefix("src").unwrap().with_extension("");
    let names = path.iter().map(|name| name.to_str().unwrap().to_owned());
    names.filter(|name| name != "mod" && name != "lib").collect()
}

/// Every path of the code that starts at the crate or at a parent, as full module paths. Groups in
/// braces are spread out.
fn paths_of(file: &File) -> Vec<Vec<String>> {
    let here = module(&file.path);
    let tokens = tokens(&file.code);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let starts = (at == 0 || tokens[at - 1] != "::") && tokens.get(at + 1) == Some(&"::");
        let base = match tokens[at] {
            "crate" | "jobrun" if starts => Vec::new(),
            "self" if starts => here.clone(),
            "super" if starts => here[..here.len().saturating_sub(1)].to_vec(),
            _ => {
                at += 1;
                continue;
            }
        };
        at = spread(&tokens, at + 2, &base, &mut found);
    }
    found
}

/// Reads one path, or the paths in braces, from `at` on; gives where it ends.
fn spread(tokens: &[&str], mut at: usize, base: &[String], found: &mut Vec<Vec<String>>) -> usize {
    let mut path = base.to_vec();
    loop {
        match tokens.get(at) {
            Some(&"{") => {
                at += 1;
                while !matches!(tokens.get(at), None | Some(&"}")) {
                    let next = spread(tokens, at, &path, found);
                    at = next.max(at + 1);
                    if tokens.get(at) == Some(&",") {
                        at += 1;
                    }
                }
                return at + 1;
            }
            Some(&"super") => {
                path.pop();
            }
            Some(&"self") => {}
            Some(name) => path.push((*name).to_owned()),
            None => break,
        }
        at += 1;
        if tokens.get(at) != Some(&"::") {
            break;
        }
        at += 1;
    }
    found.push(path);
    // `use a::b as c`
    if tokens.get(at) == Some(&"as") { at + 2 } else { at }
}

fn tokens(code: &str) -> Vec<&str> {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let mut tokens = Vec::new();
    let mut rest = code.trim_start();
    while let Some(c) = rest.chars().next() {
        let len = match c {
            _ if word(c) => rest.find(|c| !word(c)).unwrap_or(rest.len()),
            ':' if rest.starts_with("::") => 2,
            _ => c.len_utf8(),
        };
        tokens.push(&rest[..len]);
        rest = rest[len..].trim_start();
    }
    tokens
}

/// The rows of the table of `ARCHITECTURE.md` whose first column has this heading, as cells.
fn table(heading: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let start = format!("| {heading} |");
    let rows = text.lines().skip_while(|line| !line.starts_with(&start)).skip(2);
    let rows = rows.take_while(|line| line.starts_with('|'));
    let cells =
        |row: &str| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    let rows: Vec<_> = rows.map(cells).collect();
    assert!(!rows.is_empty(), "ARCHITECTURE.md has no table of {heading}");
    rows
}

/// The names in backticks.
fn names(cell: &str) -> BTreeSet<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The floor of each room.
fn floors() -> BTreeMap<String, u32> {
    let mut floors = BTreeMap::new();
    for row in table("floor") {
        for room in names(&row[1]) {
            let before = floors.insert(room.clone(), row[0].parse().unwrap());
            assert!(before.is_none(), "{room} is in the table twice");
        }
    }
    floors
}

/// The room of a module path, if it leads into one.
fn room(path: &[String]) -> Option<&str> {
    path.first().map(String::as_str)
}

#[test]
fn a_room_uses_only_rooms_on_lower_floors() {
    let floors = floors();
    let mut wrong = Vec::new();
    for file in files("src") {
        let module = module(&file.path);
        let Some(own) = room(&module) else { continue };
        let Some(floor) = floors.get(own) else {
            wrong.push(format!("ARCHITECTURE.md gives no floor to `{own}`"));
            continue;
        };
        for path in paths_of(&file) {
            let Some(other) = room(&path).filter(|other| *other != own) else { continue };
            // Items of `lib.rs` itself are no rooms.
            if floors.get(other).is_some_and(|below| below >= floor) {
                wrong.push(format!("{}: uses `{}`", file.path.display(), path.join("::")));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_room_of_the_table_is_there() {
    let modules: Vec<_> = files("src").iter().map(|file| module(&file.path)).collect();
    for room_of in floors().keys() {
        assert!(modules.iter().any(|module| room(module) == Some(room_of)), "no room `{room_of}`");
    }
}

/// A file may use what the `mod.rs` of its folder declares; beyond that, no file is used by one that
/// it uses itself.
#[test]
fn no_files_use_each_other_in_a_circle() {
    let files = files("src");
    let known: BTreeSet<_> = files.iter().map(|file| module(&file.path)).collect();
    let uses: BTreeMap<_, BTreeSet<_>> = files
        .iter()
        .map(|file| {
            let here = module(&file.path);
            let owner = |path: Vec<String>| {
                let lengths = (1..=path.len()).rev();
                lengths.map(|len| path[..len].to_vec()).find(|path| known.contains(path))
            };
            let others = paths_of(file).into_iter().filter_map(owner);
            let others = others.filter(|other| !here.starts_with(other)).collect();
            (here, others)
        })
        .collect();
    let circle = |start: &&Vec<String>| {
        let mut seen = BTreeSet::new();
        let mut next: Vec<_> = uses[*start].iter().collect();
        while let Some(file) = next.pop() {
            if seen.insert(file) {
                next.extend(uses.get(file).into_iter().flatten());
            }
        }
        seen.contains(start)
    };
    let circular: Vec<String> = uses.keys().filter(circle).map(|file| file.join("/")).collect();
    assert_eq!(circular, [""; 0]);
}

/// How code looks that does what only some rooms may do, by the words of the table.
const PRIVILEGES: [(&str, &[&str]); 4] = [
    ("prints", &["println!", "print!", "eprintln!", "eprint!", "io::stdout", "io::stderr"]),
    ("starts processes", &["Command::new", "posix_spawn", "libc::clone"]),
    ("forks", &["fork("]),
    ("is unsafe", &["unsafe ", "unsafe_code"]),
];

#[test]
fn only_some_rooms_may() {
    let rows = table("what");
    let mut wrong = Vec::new();
    for (what, looks) in PRIVILEGES {
        let row = rows.iter().find(|row| row[0] == what);
        let rooms = names(&row.unwrap_or_else(|| panic!("no row `{what}`"))[1]);
        for file in files("src") {
            let module = module(&file.path);
            let path = module.join("/");
            if rooms.iter().any(|room| path == *room || path.starts_with(&format!("{room}/"))) {
                continue;
            }
            let code = file.code.lines().enumerate();
            let found = code.filter(|(_, line)| looks.iter().any(|look| uses_word(line, look)));
            wrong.extend(
                found.map(|(_, line)| format!("{}: {what}: {}", file.path.display(), line.trim())),
            );
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Whether `look` stands in the line and does not begin within a word.
fn uses_word(line: &str, look: &str) -> bool {
    line.match_indices(look)
        .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
}

#[test]
fn every_file_says_first_what_it_is_for() {
    for folder in ["src", "tests", "examples", "benches"] {
        for file in files(folder) {
            assert!(file.text.starts_with("//! "), "{} does not", file.path.display());
        }
    }
}

#[test]
fn names_are_imported_by_name() {
    for folder in ["src", "tests", "examples", "benches"] {
        for file in files(folder) {
            let tokens = tokens(&file.code);
            let all = tokens.windows(3).any(|window| window == ["super", "::", "*"]);
            assert!(!all, "{} takes all of its parent", file.path.display());
        }
    }
}

#[test]
fn the_code_is_formatted() {
    if !require("rustfmt") {
        return;
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo).args(["fmt", "--check"]).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn the_checks_themselves_can_see() {
    let code = bare("a // b\n\"c\\\"d\" e r#\"f\"g\"# 'h' '\"' i '\\'' j");
    assert_eq!(tokens(&code).join(" "), "a \" \" e \" \" ' h ' i j");
    let file = File {
        path: "src/a/b.rs".into(),
        text: String::new(),
        code: "use crate::{c::{D, e}, f as g}; use super::h; self::i(); crate::j::k".to_owned(),
    };
    let paths: Vec<_> = paths_of(&file).iter().map(|path| path.join("::")).collect();
    assert_eq!(paths, ["c::D", "c::e", "f", "a::h", "a::b::i", "j::k"]);
    assert!(uses_word("  print!(x)", "print!") && !uses_word("eprint!(x)", "print!"));
}
