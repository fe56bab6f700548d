//! Stories about jobs of several files: what is merged, what holds in one file alone, what is said of
//! what is wrong in any of them, and the environment that files give.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use insta::assert_snapshot;
use jobrun::Functions;
use jobrun::compile::{self, Options};
use jobrun::diagnostic::{Faults, Source};
use jobrun::job::{Job, Place};
use jobrun::manifest::{Manifest, Task};
use tempfile::TempDir;

use crate::story::Story;

/// Both ways of running things.
const KINDS: [&str; 2] = ["thread", "process"];

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let dir = TempDir::new().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

/// Compiles `job.toml` of a folder, as if from within it.
fn compiled(dir: &TempDir) -> Result<Job, Faults> {
    let text = fs::read_to_string(dir.path().join("job.toml")).unwrap();
    let options = Options { dir: Some(dir.path().to_owned()), ..Options::default() };
    compile::load(&Arc::new(Source::new("job.toml", text)), &Functions::builtin(), &options)
}

fn good(files: &[(&str, &str)]) -> Job {
    compiled(&folder(files)).unwrap_or_else(|faults| panic!("{}", faults.render(false)))
}

/// What is shown of what is wrong.
fn wrong(files: &[(&str, &str)]) -> String {
    compiled(&folder(files)).unwrap_err().render(false)
}

fn names(job: &Job) -> Vec<&str> {
    job.graph.tasks().map(|(_, task)| task.name.as_str()).collect()
}

/// A task that echoes its name.
fn task(name: &str) -> String {
    format!("[[task]]\nname = '{name}'\ncall = 'echo'\nargs = ['{name}']\n")
}

#[test]
fn what_a_file_includes_stands_before_its_own() {
    let job = good(&[
        ("job.toml", &format!("include = ['a.toml', 'sub/b.toml']\n{}", task("own"))),
        ("a.toml", &format!("{}{}", task("a1"), task("a2"))),
        ("sub/b.toml", &format!("include = ['c.toml']\n{}", task("b"))),
        ("sub/c.toml", &task("c")),
    ]);
    assert_eq!(names(&job), ["a1", "a2", "c", "b", "own"]);
    let place = |name: &str| {
        let (id, _) = job.graph.tasks().find(|(_, task)| task.name == name).unwrap();
        let place = job.spec(id).place;
        format!("{}:{}", job.origin.file(place).unwrap(), place.line)
    };
    assert_eq!(place("own"), "job.toml:2");
    assert_eq!(place("a2"), "a.toml:5");
    assert_eq!(place("b"), "sub/b.toml:2");
    assert_eq!(place("c"), "sub/c.toml:1");
}

#[test]
fn a_file_that_is_reached_in_two_ways_is_there_once() {
    let job = good(&[
        ("job.toml", "include = ['left.toml', 'right.toml', './left.toml']\n"),
        ("left.toml", &format!("include = ['base.toml']\n{}", task("left"))),
        ("right.toml", &format!("include = ['sub/../base.toml']\n{}", task("right"))),
        ("base.toml", &task("base")),
        ("sub/x", ""),
    ]);
    assert_eq!(names(&job), ["base", "left", "right"]);
}

#[test]
fn tasks_executors_resources_vars_and_callbacks_are_of_the_whole_job() {
    let story = Story::new(
        r#"
        include = ["lib/tools.toml"]
        vars = { who = "ada" }
        [[callback]]
        on = "done"
        log = "root {{ future.name }} {{ vars.greeting }}"
        [[task]]
        name = "own"
        call = "echo"
        args = ["{{ vars.greeting }} {{ vars.who }}"]
        executor = "small"
        uses = { db = 1 }
        after = ["their*"]
        "#,
    )
    .file(
        "lib/tools.toml",
        r#"
        name = "not this one"
        description = "nor this"
        vars = { greeting = "hello" }
        [wait]
        timeout = "1ms"
        [report]
        json = "nowhere/to/be/seen.json"
        [executors.small]
        max_workers = 1
        [resources]
        db = 2
        [[callback]]
        on = "done"
        log = "lib {{ future.name }}"
        [[task]]
        name = "theirs"
        call = "echo"
        args = ["{{ vars.who }}"]
        "#,
    );
    let end = story.args(&["--var", "greeting=hi"]).run();
    end.expect(0);
    assert_eq!(end.report["job"], "job");
    assert_eq!(end.future("own")["result"], "hi ada");
    assert_eq!(end.future("own")["executor"], "small");
    assert_eq!(end.future("theirs")["result"], "ada");
    let futures = end.report["futures"].as_array().unwrap();
    assert_eq!(futures[0]["name"], "theirs");
    assert_eq!(futures[1]["name"], "own");
    // Callbacks are those of all tasks, in the order of the files.
    let logs: Vec<String> = end
        .events
        .iter()
        .filter(|event| event["event"] == "log")
        .map(|event| format!("{} {} {}", event["message"], event["file"], event["line"]))
        .collect();
    assert_eq!(
        logs,
        [
            r#""lib theirs" "lib/tools.toml" 13"#,
            r#""root theirs hi" null 4"#,
            r#""lib own" "lib/tools.toml" 13"#,
            r#""root own hi" null 4"#,
        ]
    );
    assert!(!end.path("lib/nowhere").exists());
}

#[test]
fn defaults_hold_for_their_own_file() {
    let job = good(&[
        (
            "job.toml",
            &format!(
                "include = ['a.toml', 'b.toml']\ndefaults = {{ priority = 1 }}\n{}",
                task("own")
            ),
        ),
        ("a.toml", &format!("defaults = {{ priority = 2, tags = ['x'] }}\n{}", task("a"))),
        ("b.toml", &task("b")),
    ]);
    let found: Vec<_> = job
        .graph
        .tasks()
        .map(|(id, task)| (task.name.as_str(), task.priority, job.spec(id).tags.len()))
        .collect();
    assert_eq!(found, [("a", 2, 1), ("b", 0, 0), ("own", 1, 0)]);
}

#[test]
fn a_glob_knows_the_defaults_of_each_file() {
    let job = good(&[
        (
            "job.toml",
            "include = ['a.toml']\n[[task]]\nname = 'own'\ncall = 'echo'\nargs = [1]\nafter = ['*']",
        ),
        (
            "a.toml",
            &format!(
                "defaults = {{ when = 'always' }}\n{}{}when = 'success'\n",
                task("a"),
                task("b")
            ),
        ),
    ]);
    let (_, own) = job.graph.tasks().find(|(_, task)| task.name == "own").unwrap();
    let after: Vec<_> = own.after.iter().map(|id| job.graph.task(*id).name.as_str()).collect();
    assert_eq!(after, ["b"]);
}

#[test]
fn paths_start_from_the_folder_of_their_own_file() {
    for kind in KINDS {
        let manifest = format!(
            r#"
            include = ["sub/lib.toml"]
            [executor]
            kind = "{kind}"
            [[task]]
            name = "own"
            call = "hash"
            args = ["data.txt"]
            [[task]]
            name = "cat"
            run = ["cat", "data.txt"]
            "#
        );
        let lib = r#"
            [[task]]
            name = "theirs"
            call = "hash"
            args = ["data.txt"]
            [[task]]
            name = "their-cat"
            run = ["cat", "data.txt"]
            [[task]]
            name = "deep-cat"
            run = ["cat", "data.txt"]
            cwd = "deep"
            [[task]]
            name = "upper-cat"
            run = ["cat", "data.txt"]
            cwd = ".."
            [[callback]]
            on = "job_done"
            run = ["sh", "-c", "pwd > pwd.txt"]
            [[callback]]
            on = "job_done"
            call = "hash"
            args = ["data.txt"]
        "#;
        let end = Story::new(&manifest)
            .file("data.txt", "root")
            .file("sub/lib.toml", lib)
            .file("sub/data.txt", "sub")
            .file("sub/deep/data.txt", "deep")
            .run();
        end.expect(0);
        let result = |name: &str| end.future(name)["result"].as_str().unwrap().to_owned();
        assert_eq!(result("own"), blake3::hash(b"root").to_hex().to_string(), "{kind}");
        assert_eq!(result("theirs"), blake3::hash(b"sub").to_hex().to_string(), "{kind}");
        assert_eq!(result("cat"), "root");
        assert_eq!(result("their-cat"), "sub");
        assert_eq!(result("deep-cat"), "deep");
        assert_eq!(result("upper-cat"), "root");
        assert!(end.file("sub/pwd.txt").ends_with("/sub\n"));
        for callback in end.report["callbacks"].as_array().unwrap() {
            assert_eq!(callback["state"], "succeeded", "{callback}");
            assert_eq!(callback["file"], "sub/lib.toml");
        }
    }
}

#[test]
fn maps_over_files_look_in_the_folder_of_their_own_file() {
    let map =
        |name: &str, map: &str| format!("[[task]]\nname = '{name}'\ncall = 'echo'\nmap = {map}\n");
    let job = good(&[
        ("job.toml", &format!("include = ['sub/a.toml']\n{}", map("own", "{ glob = '*.csv' }"))),
        (
            "sub/a.toml",
            &(map("glob", "{ glob = '*.csv' }")
                + &map("lines", "{ lines = 'x.txt' }")
                + &map("json", "{ json = 'x.json' }")),
        ),
        ("root.csv", ""),
        ("sub/theirs.csv", ""),
        ("sub/x.txt", "one\ntwo\n"),
        ("sub/x.json", "[3]"),
    ]);
    let items = |id| {
        let items = job.spec(id).items.as_ref().unwrap();
        (0..items.len() as u32)
            .map(|at| items.get(at).unwrap().to_text().unwrap())
            .collect::<Vec<_>>()
    };
    let all: Vec<_> = job.graph.tasks().map(|(id, _)| items(id).join(" ")).collect();
    assert_eq!(all, ["theirs.csv", "one two", "3", "root.csv"]);
}

#[test]
fn what_fails_is_told_with_the_file_of_its_task() {
    let end = Story::new("include = ['sub/lib.toml']\n")
        .file("sub/lib.toml", "\n\n[[task]]\nname = 'bad'\ncall = 'fail'\nargs = ['no cheese']\n")
        .args(&["--report", "junit=junit.xml", "--report", "markdown=summary.md"])
        .run();
    end.expect(1).says("sub/lib.toml:3");
    assert!(end.file("junit.xml").contains("sub/lib.toml:3"));
}

#[test]
fn a_manifest_on_standard_input_includes_from_the_working_folder() {
    let end = Story::command(&["-", "--results"])
        .file("lib/a.toml", &task("a"))
        .stdin("include = ['lib/a.toml']\n")
        .run();
    end.expect(0);
    assert!(end.stdout.contains("\"a\""), "{}", end.stdout);
}

#[test]
fn a_program_includes_files_too() {
    let dir = folder(&[("lib/a.toml", &format!("env = {{ X = '1' }}\n{}", task("a")))]);
    let options = Options { dir: Some(dir.path().to_owned()), ..Options::default() };
    let manifest = Manifest::new("built")
        .include("lib/a.toml")
        .task(Task::call("own", "echo").args([1]).after(["a"]));
    let job = compile::compile(&manifest, &Functions::builtin(), &options).unwrap();
    assert_eq!(names(&job), ["a", "own"]);
    let places: Vec<Place> = job.graph.tasks().map(|(id, _)| job.spec(id).place).collect();
    assert_eq!(places, [Place { file: 1, line: 2 }, Place { file: 0, line: 0 }]);
    assert_eq!(job.origin.file(places[0]), Some("lib/a.toml"));
    assert_eq!(job.origin.file(places[1]), None);
}

#[test]
fn the_hash_is_of_all_files() {
    let hash = |lib: &str| {
        good(&[("job.toml", "include = ['lib.toml']\n"), ("lib.toml", lib)]).origin.hash
    };
    assert_eq!(hash(&task("a")), hash(&task("a")));
    assert_ne!(hash(&task("a")), hash(&task("b")));
    let alone = good(&[("job.toml", &task("a"))]).origin.hash;
    assert_eq!(alone, blake3::hash(task("a").as_bytes()).to_hex().to_string());
}

#[test]
fn other_commands_know_the_files_too() {
    let story = |args: &[&str]| {
        Story::command(args)
            .file("job.toml", &format!("include = ['lib/a.toml']\n{}after = ['a']\n", task("own")))
            .file("lib/a.toml", &task("a"))
            .run()
    };
    for command in ["list", "plan", "graph"] {
        let end = story(&[command, "job.toml"]);
        end.expect(0);
        assert!(end.stdout.contains('a') && end.stdout.contains("own"), "{}", end.stdout);
    }
    story(&["check", "job.toml"]).expect(0);
}

#[test]
fn all_faults_of_all_files_are_told_at_once_each_with_its_own_place() {
    let shown = wrong(&[
        (
            "job.toml",
            "include = ['a.toml', 'none.toml', 'b.toml']\nnmae = 'x'\n[[task]]\nname = 'own'\ncall = 'echo'\nafter = ['nowhere']\n",
        ),
        (
            "a.toml",
            "[[task]]\nname = 'a'\ncall = 'echoo'\n\n[[task]]\nname = 'é'\ncall = 'echo'\nargs = ['{{ vars.x.y }} {{ itme }}']\n",
        ),
        ("b.toml", "[[task]\nname = 'b'\n"),
    ]);
    assert_snapshot!(shown);
}

#[test]
fn a_template_of_any_file_is_told_where_it_is_wrong() {
    let shown = wrong(&[
        ("job.toml", "include = ['a.toml']\nvars = { x = 1 }\n"),
        (
            "a.toml",
            "[[task]]\nname = 'é'\ncall = 'echo'\nargs = ['ä {{ vars.y }}']\n\n[[task]]\nname = 't'\n\
             timeout = 'soon'\nrun = 'echo {{ vars.x }}'\nenv = { A = 'b', C = '{{ vars.z }}' }\n",
        ),
    ]);
    assert_snapshot!(shown);
}

#[test]
fn a_clash_is_told_with_both_places() {
    let shown = wrong(&[
        (
            "job.toml",
            &format!(
                "include = ['lib/a.toml']\nvars = {{ x = 1, y = 2 }}\nresources = {{ db = 1 }}\n\
                 [executor]\nmax_workers = 1\n[executors.big]\nmax_workers = 9\n{}",
                task("same")
            ),
        ),
        (
            "lib/a.toml",
            &format!(
                "vars = {{ x = 3, z = 2 }}\nresources = {{ db = 1 }}\n[executor]\n\
                 max_workers = 1\n[executors.big]\nmax_workers = 9\n{}",
                task("same")
            ),
        ),
    ]);
    assert_snapshot!(shown);
}

#[test]
fn files_that_include_each_other_are_told_as_a_chain() {
    let shown = wrong(&[
        ("job.toml", &format!("include = ['a.toml']\n{}", task("own"))),
        ("a.toml", "description = 'a'\n\ninclude = ['sub/b.toml']\n"),
        ("sub/b.toml", "include = ['../c.toml']\n"),
        ("c.toml", "include = [\n  'd.toml',\n  'a.toml',\n]\n"),
        ("d.toml", &task("d")),
    ]);
    assert_snapshot!(shown);
    let shown = wrong(&[("job.toml", &format!("include = ['./job.toml']\n{}", task("own")))]);
    assert_snapshot!("a_file_that_includes_itself", shown);
}

#[test]
fn a_circle_of_tasks_may_lead_through_files() {
    let shown = wrong(&[
        ("job.toml", &format!("include = ['a.toml']\n{}after = ['a']\n", task("own"))),
        ("a.toml", &format!("{}after = ['own']\n", task("a"))),
    ]);
    assert_snapshot!(shown);
}

#[test]
fn what_is_no_manifest_is_said_in_a_moment() {
    let dir = folder(&[
        (
            "job.toml",
            "include = ['/dev/zero', 'folder', 'fifo', 'huge', 'latin1', '', \"a\\u0000b\"]\n",
        ),
        ("folder/x", ""),
    ]);
    let at = |name: &str| dir.path().join(name);
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, at("fifo"), fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    fs::File::create(at("huge")).unwrap().set_len((64 << 20) + 1).unwrap();
    fs::write(at("latin1"), b"name = 'x'\nrun = '\xff'\n").unwrap();
    let faults = compiled(&dir).unwrap_err();
    let messages: Vec<_> = faults.iter().map(|fault| fault.message.as_str()).collect();
    assert_snapshot!(messages.join("\n"));
}

/// Files that include each other in a row.
fn chain(length: usize) -> TempDir {
    let dir = folder(&[("job.toml", "include = ['0.toml']\n")]);
    for file in 0..length {
        let mut text = format!("include = ['{}.toml']\n", file + 1);
        if file + 1 == length {
            text.clear();
            write!(text, "{}", task("last")).unwrap();
        }
        fs::write(dir.path().join(format!("{file}.toml")), text).unwrap();
    }
    dir
}

#[test]
fn a_long_chain_is_followed_to_its_end() {
    assert_eq!(names(&compiled(&chain(9_000)).unwrap()), ["last"]);
    let faults = compiled(&chain(10_100)).unwrap_err();
    assert_eq!(faults.to_string(), "a job has at most 10000 files (put small files together)");
}

#[test]
fn a_long_circle_is_shown_in_part() {
    let dir = chain(1_000);
    fs::write(dir.path().join("999.toml"), "include = ['job.toml']\n").unwrap();
    let faults = compiled(&dir).unwrap_err();
    assert_eq!(faults.len(), 1);
    let fault = faults.iter().next().unwrap();
    assert!(fault.message.contains("(989 more) -> job.toml"), "{}", fault.message);
    assert_eq!(fault.notes.len(), 12);
}

/// What a child sees of these variables, under both executors.
fn seen(story: impl Fn(&str) -> Story, name: &str, variables: &[&str]) -> BTreeMap<String, String> {
    let mut both = KINDS.map(|kind| {
        let end = story(kind).run();
        end.expect(0);
        let lines = end.future(name)["result"].as_str().unwrap().to_owned();
        let all = lines.lines().filter_map(|line| line.split_once('='));
        let wanted = all.filter(|(name, _)| variables.contains(name));
        wanted.map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<BTreeMap<_, _>>()
    });
    assert_eq!(both[0], both[1]);
    std::mem::take(&mut both[0])
}

/// Task over job over process over file, whichever of them say something.
#[test]
fn who_wins_if_several_set_a_variable() {
    let sources = ["task", "job", "process", "file"];
    let variables: Vec<String> = (0..16).map(|set| format!("V{set}")).collect();
    let of = |source: usize| (0..16).filter(move |set| set >> source & 1 == 1);
    let table = |source: usize| {
        let entries: Vec<String> =
            of(source).map(|set| format!("V{set} = '{}'", sources[source])).collect();
        format!("env = {{ {} }}\n", entries.join(", "))
    };
    let lines: Vec<String> = of(3).map(|set| format!("V{set}=file\n")).collect();
    let story = |kind: &str| {
        let manifest = format!(
            "env_file = 'vars.env'\n{}[executor]\nkind = '{kind}'\n[[task]]\nname = 't'\nrun = \
             ['env']\n{}",
            table(1),
            table(0)
        );
        let story = Story::new(&manifest).file("vars.env", &lines.concat());
        of(2).fold(story, |story, set| story.env(&format!("V{set}"), "process"))
    };
    let variables: Vec<&str> = variables.iter().map(String::as_str).collect();
    let seen = seen(story, "t", &variables);
    for set in 0..16_usize {
        let winner = (0..4).find(|source| set >> source & 1 == 1).map(|source| sources[source]);
        assert_eq!(seen.get(&format!("V{set}")).map(String::as_str), winner, "{set:04b}");
    }
}

#[test]
fn the_environment_of_the_job_is_under_that_of_the_file() {
    let story = |kind: &str| {
        Story::new(&format!(
            "include = ['sub/lib.toml']\nenv = {{ A = 'root', B = 'root' }}\n\
             env_file = ['one.env', 'two.env']\nexecutor = {{ kind = '{kind}' }}\n[[task]]\n\
             name = 'own'\nrun = ['env']\n"
        ))
        .file("one.env", "C=one\nD=one\nE=one\n")
        .file("two.env", "D=two\nE=two\nA=two\n")
        .file(
            "sub/lib.toml",
            "env = { B = 'lib', F = 'lib' }\nenv_file = '.env'\n[[task]]\nname = 'theirs'\n\
             run = ['env']\n",
        )
        .file("sub/.env", "E=sub\nA=sub\nG=sub\n")
    };
    let variables = ["A", "B", "C", "D", "E", "F", "G"];
    let shown = |name: &str| {
        let seen = seen(story, name, &variables);
        seen.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(shown("own"), "A=root B=root C=one D=two E=two");
    assert_eq!(shown("theirs"), "A=root B=lib C=one D=two E=sub F=lib G=sub");
}

#[test]
fn a_dotenv_file_is_text_and_never_a_template() {
    let file = "\u{feff}# a comment\nexport A=1\n\nB='two words' # more\nC=\"line\\nline\"\n\
                D='{{ vars.x }}'\nE=${A}2\nF=\n";
    let story = Story::new(
        "env_file = 'it.env'\n[[task]]\nname = 't'\nresult = 'lines'\n\
         run = 'printf \"%s\\n\" \"$A\" \"$B\" \"$C\" \"$D\" \"$E\" \"${F-unset}\"'\n",
    );
    let end = story.file("it.env", file).run();
    end.expect(0);
    let lines: Vec<_> = end.future("t")["result"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it.as_str().unwrap())
        .collect();
    assert_eq!(lines, ["1", "two words", "line", "line", "{{ vars.x }}", "12", ""]);
}

#[test]
fn what_is_wrong_in_a_dotenv_file_is_told_by_its_line_and_never_shown() {
    let secret =
        "A=1\nPASSWORD hunter2\nB='x\ny'\nC=two hunter2\n9=hunter2\nD=a\0b\nE='hunter2\n\n";
    let shown = wrong(&[
        (
            "job.toml",
            &format!("include = ['sub/lib.toml']\nenv_file = ['.env', 'none.env']\n{}", task("a")),
        ),
        (".env", secret),
        ("sub/lib.toml", "env_file = 'their.env'\n"),
        ("sub/their.env", "wrong"),
    ]);
    assert!(!shown.contains("hunter2"));
    assert_snapshot!(shown);
}

#[test]
fn places_of_any_file_are_named_to_programs() {
    let dir = folder(&[
        ("job.toml", &format!("include = ['sub/a.toml']\n{}", task("own"))),
        ("sub/a.toml", "\n  nmae = 'x'\n"),
    ]);
    let faults = compiled(&dir).unwrap_err();
    let place = faults.iter().next().unwrap().place(faults.sources()).unwrap();
    assert_eq!((place.file, place.line, place.column), ("sub/a.toml", 2, 3));
    assert!(Path::new(place.file).is_relative());
}
