//! What people are shown works: the README, the manual, the jobs.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jobrun::Functions;
use jobrun::compile::{Options, load};
use jobrun::diagnostic::Source;
use jobrun::files::{Disk, Files};

use crate::story::{End, Story, require};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files of a folder with this ending, sorted.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(folder)).unwrap().flatten();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == ending))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

pub fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// The README and the manual.
fn papers() -> Vec<PathBuf> {
    let mut papers = files("docs", "md");
    papers.extend(["README.md", "ARCHITECTURE.md", "CHANGELOG.md"].map(|name| root().join(name)));
    papers
}

/// The blocks of a language, each with its line.
pub fn blocks(text: &str, language: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((line, fence)) = lines.next() {
        if let Some(info) = fence.strip_prefix("```") {
            let inside = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```");
            let block: String = inside.flat_map(|line| [line, "\n"]).collect();
            if info == language {
                found.push((line + 2, block));
            }
        }
    }
    found
}

/// Compiles a manifest as `jobrun check` does.
fn check(name: &str, text: &str, files: impl Files + 'static) -> Result<(), String> {
    let wrong = |faults: jobrun::diagnostic::Faults| {
        let messages: Vec<String> = faults.iter().map(|fault| fault.message.clone()).collect();
        format!("{name}: {messages:#?}")
    };
    let source = Arc::new(Source::new(name, text));
    let options = Options { files: Arc::new(files), ..Options::default() };
    load(&source, &Functions::builtin(), &options).map(|_| ()).map_err(wrong)
}

/// The files that manifests of the papers name: there is each that can be thought of.
#[derive(Debug)]
struct Shown;

impl Files for Shown {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let json = path.extension().is_some_and(|extension| extension == "json");
        Ok(if json { b"[1, 2]".to_vec() } else { b"one\ntwo\n".to_vec() })
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(path.to_owned())
    }

    fn exists(&self, _: &Path) -> bool {
        true
    }

    fn glob(&self, _: &Path, pattern: &str) -> io::Result<Vec<String>> {
        Ok(vec![pattern.replace('*', "a")])
    }
}

#[test]
fn every_manifest_of_the_papers_is_valid() {
    let mut count = 0;
    for paper in papers() {
        for (line, block) in blocks(&read(&paper), "toml") {
            let name = format!("{}:{line}", paper.display());
            assert_eq!(check(&name, &block, Shown), Ok(()));
            count += 1;
        }
    }
    assert!(count > 10);
}

/// The blocks of a paper that are files with a name, as in a fence that ends in `toml ci/x.toml`.
fn named_blocks(text: &str) -> Vec<(&str, String)> {
    let fences = text.lines().filter_map(|line| line.strip_prefix("```toml "));
    fences
        .flat_map(|name| {
            blocks(text, &format!("toml {name}")).into_iter().map(move |(_, block)| (name, block))
        })
        .collect()
}

#[test]
fn manifests_of_several_files_in_the_manual_are_valid() {
    let manual = read("docs/manifest.md");
    let story = || {
        named_blocks(&manual)
            .iter()
            .fold(Story::command(&[]), |story, (name, block)| story.file(name, block))
            .file(".env", "TOKEN=1\n")
    };
    assert!(named_blocks(&manual).len() > 1);
    for (name, _) in named_blocks(&manual) {
        story().args(&["check", name]).run().expect(0);
    }
    story().args(&["jobrun.toml"]).run().expect(0);
}

#[test]
fn every_job_is_valid_and_named_in_the_readme() {
    let readme = read("README.md");
    for path in files("jobs", "toml") {
        let text = read(&path);
        assert_eq!(check(&path.display().to_string(), &text, Disk), Ok(()));
        assert!(text.starts_with("# "), "{} does not say what it shows", path.display());
        let name = format!("`{}`", path.file_stem().unwrap().to_str().unwrap());
        assert!(readme.contains(&name), "the README does not name {name}");
    }
}

#[test]
fn the_readme_starts_with_the_first_job() {
    let plain = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        lines.map(str::to_owned).collect()
    };
    let (_, first) = blocks(&read("README.md"), "toml").swap_remove(0);
    assert_eq!(plain(&first), plain(&read("jobs/sums.toml")));
}

#[test]
fn links_lead_somewhere() {
    for paper in papers() {
        let text = read(&paper);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let place = format!("{}: {link}", paper.display());
            if link.starts_with("http") {
                continue;
            }
            let (path, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = paper.parent().unwrap().join(path);
            let target = if path.is_empty() { paper.clone() } else { target };
            assert!(target.exists(), "{place}");
            assert!(heading.is_empty() || headings(&target).contains(heading), "{place}");
        }
    }
}

/// What in a paper can be linked to.
fn headings(paper: &Path) -> BTreeSet<String> {
    read(paper).lines().filter_map(|line| line.strip_prefix('#')).map(anchor).collect()
}

/// The name under which a heading can be linked to.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
    text.chars().filter(|c| c.is_alphanumeric() || *c == '-' || *c == '_').collect()
}

#[test]
fn the_manual_knows_every_key() {
    let manual = read("docs/manifest.md");
    let mut keys = BTreeSet::new();
    collect_keys(&jobrun::manifest::schema(), &mut keys);
    assert!(keys.len() > 50);
    let missing: Vec<_> = keys.iter().filter(|key| !manual.contains(&format!("`{key}`"))).collect();
    let known_by_table =
        ["url", "headers", "body", "range", "glob", "lines", "completed", "succeeded", "failed"];
    let missing: Vec<_> =
        missing.into_iter().filter(|key| !known_by_table.contains(&key.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_manual_knows_every_code() {
    let paper = read("docs/diagnostics.md");
    let (errors, warnings) = paper.split_once("## Warnings").unwrap();
    let rows = |text: &str| -> Vec<String> {
        let first = text.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        first.map(str::to_owned).collect()
    };
    assert_eq!(rows(warnings), jobrun::lint::codes());
    let used = codes_of_errors(&root().join("src"));
    assert!(used.len() > 30);
    assert_eq!(rows(errors), used.into_iter().collect::<Vec<_>>());
}

/// The codes that the code gives to errors.
fn codes_of_errors(folder: &Path) -> BTreeSet<String> {
    let mut codes = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            codes.extend(codes_of_errors(&path));
        } else if path.extension().is_some_and(|it| it == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            for made in text.split("Diagnostic::error(").skip(1) {
                let quoted = made.trim_start().strip_prefix('"').unwrap_or_else(|| {
                    panic!("{}: a code is written where it is used: {made:.40}", path.display())
                });
                codes.insert(quoted.split('"').next().unwrap().to_owned());
            }
        }
    }
    codes
}

/// The names of all properties, wherever in a JSON Schema.
pub fn collect_keys(schema: &serde_json::Value, keys: &mut BTreeSet<String>) {
    match schema {
        serde_json::Value::Object(entries) => {
            for (name, value) in entries {
                if name == "properties" {
                    keys.extend(
                        value.as_object().into_iter().flatten().map(|(key, _)| key.clone()),
                    );
                }
                collect_keys(value, keys);
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| collect_keys(item, keys)),
        _ => {}
    }
}

/// A copy of a job that people are shown, about to be run.
fn shown(job: &str) -> Story {
    let file = format!("jobs/{job}.toml");
    Story::command(&[&file, "--report", "json=report.json"]).file(&file, &read(&file))
}

#[test]
fn every_job_ends_as_it_says() {
    for path in files("jobs", "toml") {
        let job = path.file_stem().unwrap().to_str().unwrap();
        match job {
            "ci" => the_checks_ask_cargo_for_everything(),
            "first-completed" => the_first_wins(&shown(job).run()),
            "first-exception" => the_first_failure_ends_it(&shown(job).run()),
            "pipeline" => the_pipeline_does_all_its_steps(&shown(job).run()),
            "release" => the_release_is_packed_after_the_checks(),
            "sums" | "sums-process" | "sums-as-completed" => the_sums_are_right(&shown(job).run()),
            "sums-wait" => the_sums_are_waited_for(&shown(job).run()),
            other => panic!("nothing says how {other} ends"),
        }
    }
}

fn the_sums_are_right(end: &End) {
    end.expect(0).says("50005000");
    let sums = [50_005_000_u64, 5_000_050_000, 500_000_500_000, 50_000_005_000_000];
    assert_eq!(end.result("sum"), &serde_json::json!(sums));
}

fn the_release_is_packed_after_the_checks() {
    let story = || {
        ["jobs/shared/checks.toml", "jobs/shared/release.env"]
            .iter()
            .fold(shown("release"), |story, file| story.file(file, &read(file)))
    };
    let end = story().run();
    end.expect(0).says("check-names: all there");
    assert_eq!(end.result("pack"), "jobrun-1.0.tar");
    let end = story().env("VERSION", "2.0").run();
    assert_eq!(end.expect(0).result("pack"), "jobrun-2.0.tar");
}

fn the_sums_are_waited_for(end: &End) {
    end.expect(0);
    assert_eq!(end.result("ten-million"), 50_000_005_000_000_u64);
    assert_eq!(end.names("done").len(), 4);
}

fn the_first_wins(end: &End) {
    end.expect(0).says("the winner is mirror[1]");
    assert_eq!(end.names("done"), ["mirror[1]"]);
}

fn the_first_failure_ends_it(end: &End) {
    end.expect(1).says("step three does not work");
    assert_eq!(end.state("step[2]"), "failed");
    assert_eq!(end.because(), "first_exception");
}

fn the_pipeline_does_all_its_steps(end: &End) {
    end.expect(0);
    assert!(end.file("jobs/pipeline.json").contains("\"pipeline\""));
    assert_eq!(end.state("diagnose"), "skipped");
    assert_eq!(end.state("lint"), "failed");
    assert_eq!(end.result("build"), &serde_json::json!(["", "", ""]));
    assert!(!end.path("jobs/pipeline.out").exists());
}

fn the_checks_ask_cargo_for_everything() {
    // In place of cargo: notes what it is asked to do, where, and that it is alone.
    let cargo = r#"#!/bin/sh -eu
        case "$1" in
            fmt) ;;
            *) mkdir alone; rmdir alone ;;
        esac
        echo "$*|${RUSTDOCFLAGS-}|$(basename "$0")" >> asked
        test "$*" != "$FAILS"
    "#;
    let asked = |fails: &str| {
        let story = shown("ci").file("bin/cargo", cargo).env("FAILS", fails);
        let program = story.path("bin/cargo");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let path = std::env::var("PATH").unwrap();
        let bin = program.parent().unwrap().display().to_string();
        let end = story.env("PATH", format!("{bin}:{path}")).run();
        // The tasks run in the folder above that of the job.
        let mut asked: Vec<String> = end.file("asked").lines().map(str::to_owned).collect();
        asked.sort();
        (end, asked)
    };
    let all = [
        "clippy --all-targets -- -D warnings||cargo",
        "doc --no-deps|-D warnings|cargo",
        "fmt --check||cargo",
        "test||cargo",
    ];
    let (end, told) = asked("nothing");
    assert_eq!(told, all);
    end.expect(0);
    let (end, told) = asked("test");
    assert_eq!(told, all, "one that fails does not keep the others from being asked for");
    end.expect(1).says("test has something to say");
    assert_eq!(end.state("test"), "failed");
}

#[test]
fn the_checks_of_the_project_are_a_valid_script() {
    if !require("bash") {
        return;
    }
    let script = root().join(".ci/run");
    let output = std::process::Command::new("bash").arg("-n").arg(script).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
