//! Promises about what tasks write.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use crate::promises::kept;
use crate::story::{End, Story, require};

/// A script that says whether the process whose number is in the file `left` lives. One that was killed
/// may take a moment to be gone, and one that lives is looked at until the story's patience ends if it
/// should be.
fn look(should: &str) -> String {
    let is_alive = "grep -q '^State:.[^Z]' /proc/$(cat left)/status 2> /dev/null";
    match should {
        "live" => format!("if {is_alive}; then echo lives; fi"),
        _ => format!("while {is_alive}; do sleep 0.01; done; echo gone"),
    }
}

/// A task that leaves something behind, which says `streams` of its own output, and one after it that looks
/// whether that `should` live.
fn leaves(leak: &str, streams: &str, should: &str) -> End {
    let look = look(should);
    let manifest = format!(
        r#"
        [defaults]
        leak = "{leak}"

        [[task]]
        name = "leaves"
        run  = "echo said; sleep 1000 {streams} & echo $! > left"
        allow_failure = true

        [[task]]
        name  = "looks"
        run   = """{look}"""
        after = ["leaves"]
        "#
    );
    Story::new(&manifest).run()
}

/// What holds whatever becomes of the thing left: the future it is of has ended in time.
fn ended_in_time(end: &End) {
    assert!(end.future("leaves")["elapsed"].as_f64() < Some(60.0));
    assert_eq!(end.future("leaves")["stdout"]["tail"], "said\n");
    assert_eq!(end.future("leaves")["exit_code"], 0);
}

#[test]
fn f13_what_holds_the_output_open_lives_on_unheard_until_the_run_ends() {
    let end = leaves("warn", "", "live");
    kept(&end, 0);
    ended_in_time(&end);
    assert_eq!((end.state("leaves"), end.result("leaves")), ("succeeded", &"said".into()));
    assert_eq!(end.future("leaves")["leaked"], true);
    assert_eq!(end.result("looks"), "lives");
    assert_eq!(end.future("looks")["leaked"], false);
    let warnings = end.events.iter().filter(|event| event["event"] == "warning");
    let warnings: Vec<_> = warnings.map(|event| event["message"].as_str().unwrap()).collect();
    let [held, left] = &warnings[..] else { panic!("{warnings:?}") };
    assert!(held.starts_with("leaves: something that it has started still holds"), "{held}");
    assert!(left.starts_with("1 process was left behind and is ended now"), "{left}");
}

#[test]
fn f13_what_holds_nothing_open_lives_on_as_well_and_is_no_leak() {
    let end = leaves("warn", "> /dev/null 2>&1", "live");
    kept(&end, 0);
    ended_in_time(&end);
    assert_eq!(end.future("leaves")["leaked"], false);
    assert_eq!(end.result("looks"), "lives");
    end.says("1 process was left behind and is ended now");
}

#[test]
fn f13_what_is_left_is_killed_where_that_was_asked_for() {
    for (streams, leaked) in [("", true), ("> /dev/null 2>&1", false)] {
        let end = leaves("kill", streams, "die");
        kept(&end, 0);
        ended_in_time(&end);
        assert_eq!((end.state("leaves"), end.result("leaves")), ("succeeded", &"said".into()));
        assert_eq!(end.future("leaves")["leaked"], leaked);
        assert_eq!(end.result("looks"), "gone");
        assert!(!end.stderr.contains("warn"), "{}", end.stderr);
    }
}

#[test]
fn f13_what_holds_the_output_open_is_a_failure_where_that_was_asked_for() {
    let end = leaves("fail", "", "die");
    kept(&end, 0);
    ended_in_time(&end);
    assert_eq!(end.state("leaves"), "failed");
    assert_eq!(end.future("leaves")["error"]["kind"], "leak");
    assert_eq!(end.future("leaves")["leaked"], true);
    assert_eq!(end.result("looks"), "gone");

    let end = leaves("fail", "> /dev/null 2>&1", "die");
    kept(&end, 0);
    assert_eq!(end.state("leaves"), "succeeded");
    assert_eq!(end.result("looks"), "gone");
}

#[test]
fn f13_a_leak_can_be_tried_again() {
    let end = Story::new(
        r#"
        [[task]]
        name  = "once"
        run   = "if [ $JOBRUN_ATTEMPT = 1 ]; then sleep 1000 & fi; echo tried"
        leak  = "fail"
        retry = { count = 3, on = "leak" }
        "#,
    )
    .run();
    kept(&end, 0);
    let future = end.future("once");
    assert_eq!((&future["leaked"], &future["result"]), (&false.into(), &"tried".into()));
    assert_eq!(future["attempts"][0]["error"]["kind"], "leak");
    assert_eq!(future["attempts"].as_array().unwrap().len(), 2);
}

#[test]
fn f13_a_task_that_runs_too_long_takes_what_it_has_started_with_it() {
    let look = look("die");
    let end = Story::new(&format!(
        r#"
        [[task]]
        name    = "slow"
        run     = "sleep 1000 & echo $! > left; sleep 1000"
        timeout = "200ms"
        grace   = "50ms"
        allow_failure = true

        [[task]]
        name  = "looks"
        run   = """{look}"""
        after = ["slow"]
        "#
    ))
    .run();
    kept(&end, 0);
    assert_eq!((end.state("slow"), end.result("looks")), ("timed_out", &"gone".into()));
    assert_eq!(end.future("slow")["leaked"], false);
}

#[test]
fn f17_a_grandchild_that_writes_for_ever_is_cut_and_the_task_ends() {
    for leak in ["warn", "kill"] {
        let end = Story::new(&format!(
            r#"
            [[task]]
            name = "endless"
            run  = "(yes &)"
            leak = "{leak}"
            "#
        ))
        .args(&["--output", "none"])
        .run();
        kept(&end, 0);
        let future = end.future("endless");
        assert_eq!((&future["state"], &future["leaked"]), (&"succeeded".into(), &true.into()));
        assert!(future["elapsed"].as_f64() < Some(60.0));
        let stdout = &future["stdout"];
        let size = fs::metadata(stdout["path"].as_str().unwrap()).unwrap().len();
        assert_eq!(stdout["bytes"], size);
        assert!(stdout["tail"].as_str().unwrap().chars().all(|c| "y\n".contains(c)));
    }
}

#[test]
fn f42_output_that_no_file_can_take_is_an_error_of_jobrun_and_fails_no_task() {
    let end = Story::new(
        r#"
        [[task]]
        name = "large"
        run  = "echo begin; head -c 200000 /dev/zero | tr '\\0' x; echo end"

        [[task]]
        name   = "needed"
        run    = "head -c 200000 /dev/zero"
        result = "text"

        [[task]]
        name = "small"
        run  = "echo small"
        "#,
    )
    .file("state", "a file where the folder should be")
    .run();
    kept(&end, 4);
    assert_eq!(end.report["outcome"], "error");
    assert_eq!(end.state("large"), "succeeded");
    assert_eq!(end.result("small"), "small");
    assert_eq!(end.future("needed")["error"]["kind"], "result");
    let stdout = &end.future("large")["stdout"];
    assert_eq!(stdout["bytes"], 200_010);
    assert_eq!((&stdout["lost"], &stdout["path"]), (&true.into(), &serde_json::Value::Null));
    let (head, tail) = (stdout["head"].as_str().unwrap(), stdout["tail"].as_str().unwrap());
    assert_eq!((head.len(), tail.len()), (8192, 8192));
    assert!(head.starts_with("begin\nx") && tail.ends_with("xend\n"));
    end.says("warn large: only the ends of its stdout could be kept: cannot make the folder ");
    assert_eq!(end.stderr.matches("error: output of tasks is lost: ").count(), 1);
    assert!(end.stdout.contains("small\n") && end.stdout.contains("xend\n"));
}

/// What a hostile task writes, and what is shown of it on a terminal and in a log. Each line does something
/// else to those who act on it.
const HOSTILE: [(&[u8], &str, &str); 16] = [
    (b"\x1b]0;title\x07a", "a", "a"),
    (b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link", "link"),
    (b"\x1b]52;c;cm0gLXJmIC8=\x1b\\b", "b", "b"),
    (b"\x1b[2J\x1b[1;1H\x1b[?1049h\x1b[5n\x1b[20tc", "c", "c"),
    (b"\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
    (b"\x1bc\x1b(0\x1b=d\x08\x0b\x0c\x0e\x7f", "d", "d"),
    (b"\x1bP+q544e\x1b\\\x1b_x\x1b\\\x1b^x\x1b\\\x1bXx\x1b\\e", "e", "e"),
    (b"f\x9b2J\x90\x9d0;x", "f2J0;x", "f2J0;x"),
    (b"\xc2\x9b2J\xc2\x9d0;x\xc2\x9cg\xc2\x85", "g", "g"),
    ("\u{202e}h\u{2066}".as_bytes(), "\\u{202e}h\\u{2066}", "\\u{202e}h\\u{2066}"),
    (b"::set-output name=i::x", "\\u{3a}:set-output name=i::x", "\\u{3a}:set-output name=i::x"),
    (b" \x07:\x07:j", " \\u{3a}:j", " \\u{3a}:j"),
    (b"##[group]k", "\\u{23}#[group]k", "\\u{23}#[group]k"),
    (b"l ##[error]x", "l ##[error]x", "l \\u{23}#[error]x"),
    (b"##vso[task.x]m", "\\u{23}#vso[task.x]m", "\\u{23}#vso[task.x]m"),
    (b"##teamcity[x]n", "\\u{23}#teamcity[x]n", "\\u{23}#teamcity[x]n"),
];

/// A job of hostile names with a task that writes that.
fn hostile() -> Story {
    let story = Story::new(
        r#"
        name = "::error::job\u001B]0;t\u0007##[x]"

        [[task]]
        name = "::debug::task"
        run  = ["cat", "hostile"]

        [[task]]
        name = "fails"
        call = "fail"
        args = ["::error::no\u001B[2J\n::error::no ##[x]\u202E"]
        "#,
    );
    let text: Vec<u8> = HOSTILE.iter().flat_map(|(bytes, ..)| [*bytes, b"\n"].concat()).collect();
    fs::write(story.path("hostile"), text).unwrap();
    story.args(&["--color", "never"])
}

/// Nothing that jobrun itself says does anything but be read.
fn says_nothing_hostile(end: &End) {
    let control = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
    assert!(!end.stderr.contains(control), "{:?}", end.stderr);
    assert!(!end.stderr.contains("##["), "{}", end.stderr);
    assert!(!end.stderr.lines().any(|line| line.trim_start().starts_with("::")), "{}", end.stderr);
    end.says("fail: ::error::no\\u{1b}[2J");
}

#[test]
fn f46_in_the_log_of_a_ci_system_output_and_names_do_nothing_but_be_read() {
    for name in ["CI", "GITHUB_ACTIONS", "GITLAB_CI", "TF_BUILD", "TEAMCITY_VERSION"] {
        let end = hostile().env(name, "true").run();
        kept(&end, 1);
        let shown: String = HOSTILE.iter().flat_map(|(_, _, log)| [*log, "\n"]).collect();
        assert_eq!(end.stdout, shown);
        says_nothing_hostile(&end);
    }
}

#[test]
fn f46_live_lines_in_a_log_do_nothing_but_be_read() {
    let end = hostile().env("CI", "true").args(&["--output", "live"]).run();
    kept(&end, 1);
    let resets = |log: &str| if log.contains('\x1b') { "\x1b[0m" } else { "" };
    let line = |log: &str| format!("\\u{{3a}}:debug::task | {log}{}\n", resets(log));
    assert_eq!(end.stdout, HOSTILE.iter().map(|(_, _, log)| line(log)).collect::<String>());
}

#[test]
fn f46_on_a_terminal_output_and_names_do_nothing_but_be_read() {
    if !require("script") {
        return;
    }
    let on_terminal = ["sh", "-c", r#"exec script -qec "$*" /dev/null"#, "sh"];
    let end = hostile().under(&on_terminal).args(&["--progress", "none"]).run();
    kept(&end, 1);
    let shown: String = HOSTILE.iter().flat_map(|(_, terminal, _)| [*terminal, "\r\n"]).collect();
    assert!(end.stdout.contains(&shown), "{:?}", end.stdout);
    let rest = end.stdout.replace(&shown, "").replace("\r\n", "\n");
    assert!(!rest.contains(|c: char| c.is_control() && c != '\n'), "{rest:?}");
}

#[test]
fn f46_elsewhere_and_where_that_is_asked_for_output_passes_byte_for_byte() {
    let text: Vec<u8> = HOSTILE.iter().flat_map(|(bytes, ..)| [*bytes, b"\n"].concat()).collect();
    for story in [hostile(), hostile().env("CI", "true").arg("--raw")] {
        let end = story.run();
        kept(&end, 1);
        assert_eq!(end.stdout, String::from_utf8_lossy(&text));
        says_nothing_hostile(&end);
    }
}

/// The most memory that the runner has had, in KiB: the process whose number is in this file.
fn peak(runner: &Path) -> u64 {
    let pid = fs::read_to_string(runner).unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", pid.trim())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// How much a task writes: what is asked for in bytes, else little, for the time that takes.
fn much() -> u64 {
    let asked = std::env::var("JOBRUN_TEST_OUTPUT_BYTES").ok();
    asked.map_or(64 << 20, |bytes| bytes.parse().unwrap())
}

#[test]
fn f42_f43_one_line_of_any_length_takes_no_memory_and_is_counted_to_the_byte() {
    // No newline, not even at its end, and nothing but NULs.
    let bytes = much();
    let story = Story::new(&format!(
        r#"
        [[task]]
        name = "idle"
        run  = "echo $PPID > runner; cat idle"

        [[task]]
        name  = "much"
        run   = "head -c {bytes} /dev/zero; printf end"
        after = ["idle"]

        [[task]]
        name  = "over"
        run   = "cat over"
        after = ["much"]
        "#
    ))
    .args(&["--output", "none"]);
    let (idle, over) = (story.gate("idle"), story.gate("over"));
    let running = story.spawn();
    let standing = idle.reached();
    let before = peak(&running.path("runner"));
    drop(standing);
    let standing = over.reached();
    let after = peak(&running.path("runner"));
    drop(standing);
    let end = running.end();
    kept(&end, 0);
    assert!(after - before <= 64 << 10, "{before} KiB, then {after} KiB");
    let stdout = &end.future("much")["stdout"];
    assert_eq!(stdout["bytes"], bytes + 3);
    assert!(stdout["tail"].as_str().unwrap().ends_with("\0end"));
    let file = stdout["path"].as_str().unwrap();
    assert_eq!(fs::metadata(file).unwrap().len(), bytes + 3);
}

#[test]
fn f44_a_thousand_tasks_that_write_at_once_are_never_mixed() {
    let (tasks, size) = (if cfg!(debug_assertions) { 200 } else { 1000 }, 1_000_000);
    // Bytes that are each task's own: a stretch of digits that no other has.
    let write = "seq $(($1 * 1000000 + 1000000000)) 2000000000 | head -c 1000000";
    let end = Story::new(&format!(
        r#"
        [executor]
        max_workers = 100

        [[task]]
        name   = "t"
        run    = ["sh", "-c", "{write}", "sh", "{{{{ item }}}}"]
        map    = {{ range = [0, {tasks}] }}
        result = "none"
        "#
    ))
    .run();
    kept(&end, 0);
    let expected = |task: u64| -> Vec<u8> {
        let mut text = String::with_capacity(size + 11);
        let mut number = task * 1_000_000 + 1_000_000_000;
        while text.len() < size {
            writeln!(text, "{number}").unwrap();
            number += 1;
        }
        text.truncate(size);
        text.into_bytes()
    };
    let mut shown: HashSet<blake3::Hash> =
        end.stdout.as_bytes().chunks(size).map(blake3::hash).collect();
    for task in 0..tasks {
        let future = end.future(&format!("t[{task}]"));
        let hash = blake3::hash(&expected(task));
        let file = fs::read(future["stdout"]["path"].as_str().unwrap()).unwrap();
        assert_eq!(blake3::hash(&file), hash, "t[{task}]");
        assert!(shown.remove(&hash), "t[{task}] is not in one piece on standard output");
    }
    assert!(shown.is_empty());
}

#[test]
fn f45_bytes_that_are_no_text_are_where_they_belong() {
    let story = Story::new(
        r#"
        [[task]]
        name = "short"
        run  = "printf 'a\\377b'"

        [[task]]
        name   = "long"
        run    = "head -c 100000 /dev/zero | tr '\\0' '\\377'"
        result = "none"

        [[task]]
        name = "inherited"
        run  = "printf %s \"$BYTES\" | od -An -tx1"

        [[task]]
        name = "folder"
        run  = ["sh", "-c", "cd $(printf 'd\\377') && pwd | od -An -tx1 | tr -d ' \n'"]
        "#,
    );
    fs::create_dir(story.path("").join(OsStr::from_bytes(b"d\xff"))).unwrap();
    let end = story.env("BYTES", OsStr::from_bytes(b"x\xfe")).run();
    kept(&end, 0);
    let short = &end.future("short")["stdout"];
    assert_eq!((&short["bytes"], &short["tail"]), (&3.into(), &"a\u{fffd}b".into()));
    assert_eq!(short["base64"], "Yf9i");
    let long = &end.future("long")["stdout"];
    let whole = fs::read(long["path"].as_str().unwrap()).unwrap();
    assert!(whole.len() == 100_000 && whole.iter().all(|byte| *byte == 0xff));
    assert_eq!(long["base64"].as_str().unwrap().len(), 2732);
    assert!(end.future("inherited")["stdout"].get("base64").is_none());
    assert_eq!(end.result("inherited"), " 78 fe");
    assert!(end.result("folder").as_str().unwrap().ends_with("64ff0a"));
}
