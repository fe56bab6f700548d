//! F64, F66: an environment that says nothing, a working folder that is gone, and what is no file
//! where one is wanted.

use std::fs;
use std::os::unix::net::UnixListener;

use super::output_is_lost;
use crate::promises::kept;
use crate::story::Story;

/// A task that says where it is.
const HERE: &str = "name = \"wörk\"\n[[task]]\nname = \"here\"\nrun = [\"/bin/pwd\"]\n";

#[test]
fn f64_a_run_needs_nothing_of_its_environment() {
    let story = Story::new(HERE).under(&["env", "-i", "LANG=C", "PATH="]);
    let end = story.run();
    kept(&end, 0);
    assert_eq!(end.result("here"), end.path(".").canonicalize().unwrap().to_str().unwrap());
    assert_eq!(end.report["job"], "wörk");
    end.says("wörk: 1 succeeded");
    // Without a place for files it says so, and only when it needs one.
    let story = Story::new(
        "[[task]]\nname = \"large\"\nrun = [\"/usr/bin/head\", \"-c300000\", \"/dev/zero\"]\nresult = \"none\"\n",
    );
    let end = story.under(&["env", "-i"]).run();
    output_is_lost(&end);
    end.says("there is no place for files: set JOBRUN_STATE_DIR, XDG_STATE_HOME or HOME");
}

#[test]
fn f64_a_program_is_not_found_where_no_path_leads() {
    let story = Story::new("[[task]]\nname = \"ls\"\nrun = [\"ls\"]\n");
    let end = story.under(&["env", "-i", "PATH="]).run();
    kept(&end, 1);
    assert_eq!(end.future("ls")["error"]["kind"], "spawn");
    end.says("ls");
}

#[test]
fn f64_folders_that_are_named_and_missing_are_made_or_not_needed() {
    let story = Story::new(
        "[[task]]\nname = \"large\"\nrun = [\"head\", \"-c300000\", \"/dev/zero\"]\nresult = \"none\"\n",
    );
    let home = story.path("no/such/home");
    let under = ["env", "-u", "JOBRUN_STATE_DIR", "-u", "XDG_STATE_HOME"];
    let story = story.env("TMPDIR", "/no/such/folder").env("HOME", home.as_os_str());
    let end = story.under(&under).run();
    kept(&end, 0);
    let path = end.future("large")["stdout"]["path"].as_str().unwrap().to_owned();
    assert!(path.starts_with(home.join(".local/state/jobrun/runs").to_str().unwrap()), "{path}");
}

#[test]
fn f64_a_working_folder_that_is_deleted_is_not_needed() {
    let gone = "mkdir gone && cd gone && rmdir ../gone && exec \"$@\"";
    let story = Story::command(&[]);
    let (manifest, report) = (story.path("job.toml"), story.path("report.json"));
    let story = story.file("job.toml", HERE).arg(manifest.to_str().unwrap());
    let story = story.arg(&format!("--report=json={}", report.display()));
    let end = story.under(&["sh", "-c", gone, "sh"]).run();
    kept(&end, 0);
    assert_eq!(end.result("here"), end.path(".").canonicalize().unwrap().to_str().unwrap());

    // What is named from there cannot be written, and that is said.
    let story = Story::command(&[]).file("job.toml", HERE);
    let manifest = story.path("job.toml");
    let story = story.arg(manifest.to_str().unwrap()).arg("--report=json=report.json");
    let end = story.under(&["sh", "-c", gone, "sh"]).run();
    end.expect(4).says("the json report could not be written: report.json: No such file");
    assert_eq!(end.leftovers(), []);
}

#[test]
fn f64_a_working_folder_that_is_renamed_takes_the_report_with_it() {
    let inside = "mkdir inside && cd inside && exec \"$@\"";
    let story = Story::command(&["../job.toml", "--report=json=report.json"]);
    let story =
        story.file("job.toml", "[[task]]\nname = \"mv\"\nrun = [\"mv\", \"inside\", \"moved\"]\n");
    let end = story.under(&["sh", "-c", inside, "sh"]).run();
    end.expect(0);
    let report: serde_json::Value = serde_json::from_str(&end.file("moved/report.json")).unwrap();
    assert_eq!(report["outcome"], "succeeded");
    assert!(!end.path("inside").exists());
    assert_eq!(end.leftovers(), []);
}

/// What is no file, by name: a pipe that nobody writes or reads, a folder, a device, a socket.
fn oddities(story: &Story) -> [&'static str; 4] {
    story.gate("pipe");
    fs::create_dir(story.path("folder")).unwrap();
    drop(UnixListener::bind(story.path("socket")).unwrap());
    ["pipe", "folder", "socket", "/dev/zero"]
}

#[test]
fn f66_what_is_no_file_is_no_manifest_and_nothing_a_manifest_needs() {
    let asks: [fn(&str) -> String; 5] = [
        |odd| format!("include = [\"{odd}\"]\n{HERE}"),
        |odd| format!("env_file = \"{odd}\"\n{HERE}"),
        |odd| format!("[[task]]\nname = \"a\"\ncall = \"echo\"\nmap = {{ lines = \"{odd}\" }}\n"),
        |odd| format!("[[task]]\nname = \"a\"\ncall = \"echo\"\nmap = {{ json = \"{odd}\" }}\n"),
        |_| String::new(),
    ];
    for ask in asks {
        for place in 0..4 {
            let story = Story::command(&[]);
            let odd = oddities(&story)[place];
            let manifest = ask(odd);
            let name = if manifest.is_empty() { odd } else { "job.toml" };
            let end = story.file("job.toml", &manifest).args(&["run", "-f", name]).run();
            // Nothing ran, so there is no report.
            end.expect(2).says(odd);
            assert_eq!(end.leftovers(), []);
        }
    }
}

#[test]
fn f66_what_is_no_file_is_no_report() {
    for (what, flag) in [("html", "--report=html="), ("events", "--events=")] {
        for place in 0..3 {
            let story = Story::command(&["job.toml", "--report=json=report.json"]);
            let odd = oddities(&story)[place];
            let end = story.file("job.toml", HERE).arg(&format!("{flag}{odd}")).run();
            end.expect(4).says(odd);
            assert_eq!(end.leftovers(), []);
            // Where events should go is known before anything runs.
            assert_eq!(end.report.is_object(), what == "html", "{odd}");
        }
    }
}

#[test]
fn f66_a_pipe_that_somebody_reads_gets_reports_and_events() {
    for flag in ["--events=pipe", "--report=json=pipe"] {
        let story = Story::command(&["job.toml", flag]).file("job.toml", HERE);
        let pipe = story.gate("pipe");
        // Held open by the shell, so that there is a reader before jobrun comes.
        let reader = "exec 5<>pipe; \"$@\" 5>&-; exit $?";
        let running = story.under(&["sh", "-c", reader, "sh"]).spawn();
        let text = pipe.passed();
        assert!(text.contains("wörk") && text.ends_with('\n'), "{text}");
        let end = running.end();
        end.expect(0);
        assert_eq!(end.leftovers(), []);
    }
}
