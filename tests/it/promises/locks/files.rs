//! F60, F65: names and links that lead elsewhere, umasks, and folders that others can change.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::promises::io::names_in;
use crate::promises::kept;
use crate::story::{Story, require};

/// A task that writes more than is kept in memory.
const LARGE: &str = r#"
    [[task]]
    name   = "large"
    run    = "head -c 300000 /dev/zero"
    result = "none"
    "#;

/// Everything below a folder, and its mode.
fn below(folder: &Path) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let meta = entry.path().symlink_metadata().unwrap();
            found.push((entry.path().display().to_string(), meta.permissions().mode() & 0o7777));
            if meta.is_dir() {
                open.push(entry.path());
            }
        }
    }
    found
}

#[test]
fn f60_names_that_lead_elsewhere_lead_nowhere() {
    let names = ["../../../escape", "/etc/absolute", "..", ".hidden", "a:b", &"long/".repeat(60)];
    let mut manifest = "name = \"../../job\"\nconcurrency = \"one\"\n".to_owned();
    for name in names {
        manifest += &LARGE.replace("\"large\"", &format!("{name:?}"));
    }
    let end = Story::new(&manifest).run();
    kept(&end, 0);
    let root = end.path("state/runs").canonicalize().unwrap();
    for name in names {
        let path = end.future(name)["stdout"]["path"].as_str().unwrap().to_owned();
        let path = Path::new(&path).canonicalize().unwrap();
        // A folder for the run, and the file in it.
        assert_eq!(path.parent().unwrap().parent().unwrap(), root);
        assert_eq!(path.metadata().unwrap().len(), 300_000);
    }
    assert_eq!(names_in(&end.path("state")), ["locks", "runs"]);
    assert_eq!(names_in(&end.path(".")), ["events.jsonl", "job.toml", "report.json", "state"]);
    assert_eq!(names_in(&end.path("state/locks")).len(), 1);
}

#[test]
fn f60_a_name_with_a_nul_is_a_fault_and_nothing_runs() {
    for manifest in [
        LARGE.replace("\"large\"", "\"a\\u0000b\""),
        format!("report = {{ json = \"a\\u0000b\" }}\n{LARGE}"),
        format!("env_file = \"a\\u0000b\"\n{LARGE}"),
    ] {
        let end = Story::new(&manifest).run();
        // Nothing ran, so there is no report.
        end.expect(2);
        assert_eq!(end.leftovers(), []);
    }
}

#[test]
fn f60_links_in_the_place_of_folders_and_files_are_not_followed() {
    // In the place of the folder of all runs.
    let story = Story::new(LARGE).file("outside/here", "").file("state/here", "");
    symlink("../outside", story.path("state/runs")).unwrap();
    let end = story.run();
    kept(&end, 4);
    assert_eq!(names_in(&end.path("outside")), ["here"]);

    // In the place of the folder of locks, and of a lock.
    let one = format!("concurrency = \"one\"\n{LARGE}");
    let story = Story::new(&one).file("outside/here", "").file("state/here", "");
    symlink("../outside", story.path("state/locks")).unwrap();
    let end = story.run();
    // Nothing ran.
    end.expect(4).says("locks");
    assert_eq!(names_in(&end.path("outside")), ["here"]);

    let twice = "\"$@\" || exit 9; cd state/locks; for it in *; do mv $it ../old; \
                 ln -s ../../sentinel $it; done; cd ../..; exec \"$@\"";
    let story = Story::new(&one).file("sentinel", "as it was").under(&["sh", "-c", twice, "sh"]);
    let end = story.run();
    end.expect(4).says("cannot use the lock");
    assert_eq!(end.file("sentinel"), "as it was");
    assert_eq!(end.leftovers(), []);
}

#[test]
fn f60_a_folder_that_is_exchanged_for_a_link_takes_no_file_elsewhere() {
    let story = Story::new(&format!(
        r#"{LARGE}
        [[task]]
        name  = "exchange"
        run   = "cd state/runs; for it in *; do mv $it moved; ln -s ../../outside $it; done"
        after = ["large"]

        [executor]
        max_workers = 1

        [[task]]
        name   = "later"
        run    = "head -c 300000 /dev/zero"
        result = "none"
        after  = ["exchange"]
        "#
    ));
    let end = story.file("outside/here", "").run();
    // What `later` wrote is where the folder went, and so it cannot be shown.
    assert_eq!(end.leftovers(), []);
    assert!(end.report.is_object());
    assert_eq!(names_in(&end.path("outside")), ["here"]);
}

#[test]
fn f60_a_report_that_is_exchanged_for_a_link_is_replaced_and_not_followed() {
    // The link changes all the time between the old report and a file that is not to be written.
    let story = Story::new(
        r#"
        [[task]]
        name = "many"
        call = "echo"
        map  = { range = [0, 300] }
        "#,
    );
    let exchange = "while :; do ln -sfn sentinel report.html; ln -fn old report.html; done & \
                    it=$!; for i in 1 2 3 4 5; do \"$@\" || exit 9; done; kill $it";
    let story = story.file("old", "old").arg("--report=html=report.html");
    fs::write(story.path("sentinel"), "as it was").unwrap();
    fs::set_permissions(story.path("sentinel"), PermissionsExt::from_mode(0o400)).unwrap();
    let end = story.under(&["sh", "-c", exchange, "sh"]).run();
    kept(&end, 0);
    // A link that was there when the report was due says where it goes; one that came later is
    // replaced. Nothing is ever written through one, so no file has a part of a report.
    for name in ["sentinel", "old"] {
        let text = end.file(name);
        assert!(["as it was", "old"].contains(&&*text) || text.ends_with("</html>"), "{name}");
    }
}

#[test]
fn f65_folders_and_files_are_the_users_own_whatever_the_umask() {
    let root = rustix::process::geteuid().is_root();
    if root && !require("setpriv") {
        return;
    }
    for (umask, as_other) in [
        ("000", false),
        ("077", false),
        ("777", false),
        ("000", true),
        ("077", true),
        ("777", true),
    ] {
        if as_other && !root {
            continue;
        }
        let mut story = Story::new(&format!("concurrency = \"one\"\n{LARGE}"));
        let mut under = Vec::new();
        if as_other {
            fs::set_permissions(story.path("."), PermissionsExt::from_mode(0o777)).unwrap();
            // What is built may lie where only root can go.
            let program = story.path("program");
            fs::copy(env!("CARGO_BIN_EXE_jobrun"), &program).unwrap();
            story = story.program(program);
            under = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"].to_vec();
        }
        let script = format!("umask {umask}; exec \"$@\"");
        under.extend(["sh", "-c", &script, "sh"]);
        // A new folder in a new folder: with umask 777 neither could be entered.
        let state = story.path("new/state");
        let end = story.env("JOBRUN_STATE_DIR", state.as_os_str()).under(&under).run();
        kept(&end, 0);
        for (path, mode) in below(&end.path("new")) {
            let wanted = if Path::new(&path).is_dir() { 0o700 } else { 0o600 };
            assert_eq!(mode, wanted, "{path} with umask {umask}: {mode:o}");
        }
    }
}

#[test]
fn f65_a_folder_that_others_can_change_is_refused_with_what_to_do() {
    for mode in [0o777, 0o770, 0o703] {
        let story = Story::new(LARGE).file("state/here", "");
        fs::set_permissions(story.path("state"), PermissionsExt::from_mode(mode)).unwrap();
        let end = story.run();
        kept(&end, 4);
        end.says("others can write to the folder").says(&format!("{mode:o}")).says("chmod go-w");
        assert_eq!(names_in(&end.path("state")), ["here"]);
    }
    // Where only owners can take files away, others cannot put theirs in the place of ours.
    let story = Story::new(LARGE).file("state/here", "");
    fs::set_permissions(story.path("state"), PermissionsExt::from_mode(0o1777)).unwrap();
    kept(&story.run(), 0);
    // Before anything runs where that matters.
    let story = Story::new(&format!("concurrency = \"one\"\n{LARGE}")).file("state/here", "");
    fs::set_permissions(story.path("state"), PermissionsExt::from_mode(0o777)).unwrap();
    let end = story.run();
    end.expect(4).says("cannot start: others can write to the folder");
    assert!(end.report.is_null());
    assert_eq!(end.leftovers(), []);
}

#[test]
fn f65_a_folder_of_another_user_is_refused() {
    if !rustix::process::geteuid().is_root() {
        crate::promises::io::must_not_be_all("only root can give a folder away");
        return;
    }
    for folder in ["state", "state/runs"] {
        let story = Story::new(LARGE).file("state/runs/here", "");
        std::os::unix::fs::chown(story.path(folder), Some(65534), None).unwrap();
        let end = story.run();
        kept(&end, 4);
        end.says("belongs to another user").says("JOBRUN_STATE_DIR");
        assert_eq!(names_in(&end.path("state/runs")), ["here"]);
    }
}
