//! Promises about hostile text: it is shown in every report, and does nothing there.

use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quick_xml::Reader;
use quick_xml::events::Event;

use crate::promises::kept;
use crate::story::{End, Story, own_functions, require};

/// What means something to a browser, an XML reader, a spreadsheet, a Markdown renderer or a terminal.
const HOSTILE: [&str; 16] = [
    "<script>document.title='owned'</script>",
    "\"><img src=x onerror=\"document.title='owned'\">",
    "'><svg onload='document.title=1'>",
    "</pre></style></title></textarea><script>document.title='owned'</script>",
    "<iframe src=\"javascript:parent.document.title='owned'\"></iframe>",
    "<base href='//evil.test/'><form action='//evil.test/'><a href='javascript:alert(1)'>x</a>",
    "]]></system-out><owned/><![CDATA[",
    "<!DOCTYPE x [<!ENTITY o SYSTEM \"file:///etc/passwd\">]>&o; &#0; &lt;",
    "=cmd|'/c calc'!A1",
    "+1 -1 @SUM(1)",
    "`````\n# owned\n\n[x](javascript:alert(1)) | a | b",
    "\u{202e}drowssap\u{2066}\u{200f}\u{2069}",
    "\u{1}\u{8}\u{b}\u{c}\u{e}\u{1f}\u{7f}\u{85}\u{9b}31m",
    "\u{fffe}\u{ffff}\u{1fffe}\u{feff}",
    "\u{1b}]0;owned\u{7}\u{1b}]52;c;b3duZWQ=\u{7}\u{1b}[2J\u{1b}P+q\u{1b}\\",
    "::set-output name=x::owned\n::error::owned",
];

/// Bytes that are no text: half of a surrogate pair, a long form of `/`, a start without an end.
const NO_TEXT: &[u8] = b"\xed\xa0\x80\xed\xbf\xbf\xc0\xaf\xff\xfe\xf0\x9f \n";

/// A text as TOML writes it. Of what it wants escaped, JSON leaves one character as it is.
fn toml(text: &str) -> String {
    serde_json::to_string(text).unwrap().replace('\u{7f}', "\\u007f")
}

/// A run in which hostile text is wherever text can be: names, items, results, errors, both streams,
/// callbacks.
fn hostile() -> End {
    let all: Vec<String> = HOSTILE.iter().map(|text| toml(text)).collect();
    let mut bytes = HOSTILE.join("\n").into_bytes();
    bytes.extend(NO_TEXT);
    let manifest = format!(
        "name = {}\ndescription = {}\nvars = {{ all = {} }}\n\
         report = {{ junit = \"j.xml\", markdown = \"m.md\", html = \"h.html\", trace = \"t.json\" }}\n\
         [[task]]\nname = \"echoes\"\ncall = \"echo\"\nmap = [{}]\n\
         [[task]]\nname = \"fails\"\ncall = \"fail\"\nmap = [{}]\n\
         [[task]]\nname = \"writes\"\n\
         run = 'base64 -d < bytes; base64 -d < bytes >&2; exit 1'\n\
         [[callback]]\non = \"job_done\"\nrun = 'base64 -d < bytes >&2; exit 1'\n\
         [[callback]]\non = \"job_done\"\nlog = \"{{{{ vars.all }}}}\"\n",
        toml(&HOSTILE[..3].concat()),
        toml(&HOSTILE.concat()),
        toml(&HOSTILE.concat()),
        all.join(", "),
        all.join(", "),
    );
    let end = Story::new(&manifest).file("bytes", &STANDARD.encode(bytes)).run();
    kept(&end, 1);
    end
}

#[test]
fn f62_hostile_names_are_refused() {
    for name in HOSTILE {
        let manifest = format!("[[task]]\nname = {}\nrun = ['true']\n", toml(name));
        let end = Story::new(&manifest).run();
        end.expect(2).says("is not a task name");
        let is_shown = |c: char| !c.is_control() || "\n\t".contains(c);
        assert!(end.stderr.chars().all(is_shown), "{}", end.stderr);
    }
}

#[test]
fn f62_hostile_text_stays_text_in_a_page() {
    let page = hostile().file("h.html");
    assert!(page.contains("default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'"));
    let mut reader = Reader::from_str(&page);
    // A page is no XML: some of its elements never end.
    reader.config_mut().check_end_names = false;
    reader.config_mut().allow_unmatched_ends = true;
    let mut tags = std::collections::BTreeSet::new();
    loop {
        match reader.read_event().unwrap() {
            Event::Eof => break,
            Event::Start(tag) | Event::Empty(tag) => {
                let name = String::from_utf8(tag.name().as_ref().to_vec()).unwrap();
                for attribute in tag.html_attributes() {
                    let attribute = attribute.unwrap();
                    let key = String::from_utf8_lossy(attribute.key.as_ref()).to_lowercase();
                    let does = key.starts_with("on") || ["href", "src", "action"].contains(&&*key);
                    assert!(!does, "<{name} {key}=…>");
                }
                tags.insert(name);
            }
            Event::CData(_) | Event::PI(_) | Event::Comment(_) => panic!("there is none of ours"),
            _ => {}
        }
    }
    for never in ["script", "img", "iframe", "object", "base", "form", "a", "link", "owned"] {
        assert!(!tags.contains(never), "<{never}>");
    }
    let is_shown = |c: char| !c.is_control() || "\n\t".contains(c);
    assert!(page.chars().all(is_shown));
    assert!(!page.contains(['\u{202e}', '\u{2066}', '\u{200f}']));
}

/// A browser, if there is one.
fn browser() -> Option<&'static str> {
    let is_there = |name: &&str| Command::new(name).arg("--version").output().is_ok();
    let other = ["google-chrome", "chromium-browser"].into_iter().find(is_there);
    other.or_else(|| require("chromium").then_some("chromium"))
}

#[test]
fn f62_nothing_runs_when_a_browser_shows_the_page() {
    let Some(browser) = browser() else { return };
    let end = hostile();
    // That this browser does run scripts is shown by a page that has one.
    let owned = "<!doctype html><title>fine</title><script>document.title='owned'</script>";
    std::fs::write(end.path("owned.html"), owned).unwrap();
    let shown = |file: &str| {
        let profile = format!("--user-data-dir={}", end.path("profile").display());
        let url = format!("file://{}", end.path(file).display());
        let output = Command::new(browser)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args([&profile, "--timeout=20000", "--dump-dom", &url])
            .output()
            .unwrap();
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(shown.contains("<title>"), "{}", String::from_utf8_lossy(&output.stderr));
        shown
    };
    assert!(shown("owned.html").contains("<title>owned</title>"));
    let page = shown("h.html");
    assert!(!page.contains("<title>owned</title>"));
    // What the browser made of it has no element of theirs either, and the page is whole.
    for never in ["<script", "<img", "<iframe", "<base", "<form", "<owned", "<svg onload"] {
        assert!(!page.contains(never), "{never}");
    }
    assert!(page.contains("</footer>"));
}

#[test]
fn f62_hostile_text_leaves_the_other_formats_valid() {
    let end = hostile();
    let junit = end.file("j.xml");
    let is_xml = |c: char| {
        matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}')
            || c >= '\u{10000}'
    };
    assert!(junit.chars().all(is_xml));
    assert!(!junit.contains("<owned"));
    let mut reader = Reader::from_str(&junit);
    while !matches!(reader.read_event().unwrap(), Event::Eof) {}
    for json in ["t.json", "report.json"] {
        serde_json::from_str::<serde_json::Value>(&end.file(json)).unwrap();
    }
    if require("xmllint") {
        let check =
            Command::new("xmllint").args(["--noout", "--nonet"]).arg(end.path("j.xml")).output();
        let check = check.unwrap();
        assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
    }
    // No line of theirs begins a block of ours, outside of fences that theirs cannot end.
    let summary = end.file("m.md");
    let mut fence: Option<&str> = None;
    for line in summary.lines() {
        let ticks = line.len() - line.trim_start_matches('`').len();
        match fence {
            Some(open) if line == open => fence = None,
            Some(_) => {}
            None if ticks >= 3 && line.ends_with("text") => fence = Some(&line[..ticks]),
            None => {
                let ours = ["", "#", "|", "-", "`", "and "].iter().any(|it| line.starts_with(it));
                assert!(ours && !line.starts_with("# owned"), "{line}");
                assert!(!line.starts_with("[x]"), "{line}");
            }
        }
    }
    assert_eq!(fence, None);
    // What a result is stays what it is, for programs.
    let echoed = end.result("echoes").as_array().unwrap().iter();
    assert!(echoed.map(|it| it.as_str().unwrap()).eq(HOSTILE));
}

#[test]
fn f61_a_function_that_panics_shows_no_secret() {
    for kind in ["thread", "process"] {
        let manifest = format!(
            "secrets = [\"TOKEN\"]\nexecutor = {{ kind = \"{kind}\", max_workers = 1 }}\n\
             report = {{ junit = \"j.xml\", markdown = \"m.md\", html = \"h.html\", \
             trace = \"t.json\" }}\n\
             [[task]]\nname = \"t\"\ncall = \"panic\"\nargs = [\"<{{{{ env.TOKEN }}}}>\"]\n\
             [[callback]]\non = \"done\"\ncall = \"panic\"\nargs = [\"({{{{ env.TOKEN }}}})\"]\n"
        );
        let story = Story::new(&manifest).program(own_functions()).env("TOKEN", "hunter2-Zq8vLw");
        let end = story.args(&["-vv", "--log-format", "json"]).env("RUST_LOG", "trace").run();
        kept(&end, 1);
        end.says("panicked at").says("<***>").says("(***)");
        let files = ["j.xml", "m.md", "h.html", "t.json", "report.json", "events.jsonl"];
        let files = files.map(|file| end.file(file));
        for text in files.iter().chain([&end.stdout, &end.stderr]) {
            assert!(!text.contains("hunter2"), "{kind}: {text}");
        }
    }
}
