//! Stories about the files that a manifest names: what is read, and what a pattern finds.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::Path;

use jobrun::files::{Disk, Files, MAX_BYTES};
use tempfile::TempDir;

/// A folder with these files; a name that ends in `/` is a folder.
fn folder(names: &[&str]) -> TempDir {
    let dir = TempDir::new().unwrap();
    for name in names {
        let path = dir.path().join(name);
        fs::create_dir_all(if name.ends_with('/') { &path } else { path.parent().unwrap() })
            .unwrap();
        if !name.ends_with('/') {
            fs::write(path, name).unwrap();
        }
    }
    dir
}

fn found(dir: &TempDir, pattern: &str) -> String {
    Disk.glob(dir.path(), pattern).unwrap().join(" ")
}

#[test]
fn a_pattern_finds_names_in_order_and_hidden_ones_only_if_it_says_so() {
    let dir =
        folder(&["b.csv", "a.csv", "a.txt", ".hidden.csv", "x/c.csv", "x/y/d.csv", ".git/e.csv"]);
    assert_eq!(found(&dir, "*.csv"), "a.csv b.csv");
    assert_eq!(found(&dir, "[ab].{csv,txt}"), "a.csv a.txt b.csv");
    assert_eq!(found(&dir, ".*.csv"), ".hidden.csv");
    assert_eq!(found(&dir, "*/*.csv"), "x/c.csv");
    assert_eq!(found(&dir, ".git/*"), ".git/e.csv");
    assert_eq!(found(&dir, "**/*.csv"), "a.csv b.csv x/c.csv x/y/d.csv");
    assert_eq!(found(&dir, "x/**"), "x/c.csv x/y x/y/d.csv");
    assert_eq!(found(&dir, "**/**/y/**/*"), "x/y/d.csv");
    assert_eq!(found(&dir, "*/"), "x/");
    assert_eq!(found(&dir, "a.csv"), "a.csv");
    assert_eq!(found(&dir, "nothing/*.csv"), "");
    assert_eq!(found(&dir, "a.csv/*"), "");
}

#[test]
fn a_pattern_may_lead_out_of_the_folder_or_start_at_the_root() {
    let dir = folder(&["data/a.csv", "jobs/"]);
    let jobs = dir.path().join("jobs");
    assert_eq!(Disk.glob(&jobs, "../data/*.csv").unwrap(), ["../data/a.csv"]);
    let absolute = dir.path().join("data/a.csv").display().to_string();
    let pattern = dir.path().join("data/*").display().to_string();
    assert_eq!(Disk.glob(&jobs, &pattern).unwrap(), [absolute]);
    assert_eq!(Disk.glob(Path::new(""), "Cargo.*").unwrap(), ["Cargo.lock", "Cargo.toml"]);
}

#[test]
fn links_are_followed_by_name_and_never_round_and_round() {
    let dir = folder(&["real/a.csv"]);
    symlink(dir.path(), dir.path().join("real/up")).unwrap();
    symlink(dir.path().join("real"), dir.path().join("link")).unwrap();
    assert_eq!(found(&dir, "link/*.csv"), "link/a.csv");
    assert_eq!(found(&dir, "*/a.csv"), "link/a.csv real/a.csv");
    assert_eq!(found(&dir, "**/a.csv"), "real/a.csv");
    assert_eq!(found(&dir, "**/*.csv"), "real/a.csv");
}

#[test]
fn a_pattern_that_is_none_says_what_is_wrong() {
    let dir = folder(&["a"]);
    let error = Disk.glob(dir.path(), "[a").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("unclosed character class"), "{error}");
}

#[test]
fn only_regular_files_of_a_bounded_size_are_read() {
    let dir = folder(&["a", "sub/"]);
    let at = |name: &str| dir.path().join(name);
    assert_eq!(Disk.read(&at("a")).unwrap(), b"a");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        at("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    fs::File::create(at("huge")).unwrap().set_len(MAX_BYTES + 1).unwrap();
    for (path, words) in [
        (at("sub"), "directory"),
        (at("fifo"), "not a regular file"),
        ("/dev/zero".into(), "not a regular file"),
        (at("huge"), "more than 64 MiB"),
        (at("none"), "No such file"),
    ] {
        let error = Disk.read(&path).unwrap_err().to_string();
        assert!(error.contains(words), "{}: {error}", path.display());
    }
}
