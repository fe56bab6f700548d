//! Manifests as users write them: what is accepted, and what is said about what is not.

use std::fs;
use std::path::{Path, PathBuf};

use jobrun::diagnostic::Source;

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
            panic!("{}", faults.render(&Source::new(name, text), false));
        }
    }
}

#[test]
fn each_wrong_manifest_gets_one_message_that_says_what_to_do() {
    for (name, text) in corpus("bad") {
        let file = format!("{name}.toml");
        let faults = job(&file, &text).expect_err(&name);
        let shown = faults.render(&Source::new(file, text.as_str()), false);
        assert_eq!(faults.len(), 1, "{name}\n{shown}");
        insta::assert_snapshot!(name, shown);
    }
}
