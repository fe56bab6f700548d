//! Stories about: what is made of the tasks' output where it is shown.

use jobrun::report::filter::{Filter, Place};
use proptest::prelude::*;

const TERMINAL: Place = Place { ci: false, lines: false };
const LOG: Place = Place { ci: true, lines: false };
const LIVE: Place = Place { ci: false, lines: true };

fn shown(place: Place, bytes: &[u8]) -> Vec<u8> {
    let mut filter = Filter::new(place);
    let mut out = filter.push(bytes);
    out.extend(filter.finish());
    out
}

#[track_caller]
fn becomes(place: Place, from: impl AsRef<[u8]>, to: impl AsRef<[u8]>) {
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    assert_eq!(text(&shown(place, from.as_ref())), text(to.as_ref()));
}

#[test]
fn text_and_colours_pass_and_colours_end_with_the_output() {
    for text in
        ["plain\n", "é 字 \u{1f980}\r\n\ttab", "\x1b[1;31mred\x1b[0m", "\x1b[38:5:1mx\x1b[m"]
    {
        for place in [TERMINAL, LOG, LIVE] {
            becomes(place, text, text);
        }
    }
    becomes(TERMINAL, "\x1b[31mred", "\x1b[31mred\x1b[0m");
    becomes(TERMINAL, b"latin \xe9\xff", b"latin \xe9\xff");
}

#[test]
fn whatever_else_a_terminal_would_act_on_is_dropped() {
    for sequence in [
        "\x07\x08\x0b\x0c\x0e\x0f\x00\x7f",
        "\x1b[2J\x1b[1;1H\x1b[?1049h\x1b[6n\x1b[>4m\x1b[?4m\x1b[1 q\x1b[!p",
        "\x1bc\x1b7\x1b8\x1b(0\x1b#8\x1b=\x1b M\x1bM",
        "\x1b]0;title\x07\x1b]8;;http://x\x1b\\\x1b]52;c;ZXZpbA==\x07",
        "\x1bPq#0;2\n~\x1b\\\x1b_Gi=1\n\x1b\\\x1b^private\x1b\\\x1bXstart\x1b\\",
        "\u{85}\u{84}\u{9b}2J\u{9d}0;title\u{9c}\u{90}q\u{9c}\u{9f}x\u{9c}\u{9e}x\x1b\\",
    ] {
        becomes(TERMINAL, format!("a{sequence}b"), "ab");
    }
    becomes(TERMINAL, b"a\x9b2J\x9d0;t\x07\x90b", "a2J0;tb");
    becomes(TERMINAL, b"a\xe2\x9b2J\xc0\x9b", b"a\xe22J\xc0");
    becomes(TERMINAL, "\u{9b}31mred", "\x1b[31mred\x1b[0m");
    // What is broken off takes no text with it.
    becomes(TERMINAL, "a\x1b[31\nb\x1b[\x1b[32mc\x1b[0m\x1b\nd", "a\nb\x1b[32mc\x1b[0m\nd");
    becomes(TERMINAL, "a\x1b]0;title\nb", "a\nb");
    becomes(TERMINAL, format!("\x1b[{}mx", "1;".repeat(1000)), "x");
    becomes(TERMINAL, "a\u{202e}b\u{2066}\u{61c}", "a\\u{202e}b\\u{2066}\\u{61c}");
}

#[test]
fn commands_to_ci_systems_can_be_read_and_nothing_more() {
    for place in [TERMINAL, LOG] {
        becomes(place, "::set-output name=a::b\n", "\\u{3a}:set-output name=a::b\n");
        becomes(place, "a\n \t\u{a0}::x\r::y", "a\n \t\u{a0}\\u{3a}:x\r\\u{3a}:y");
        becomes(place, ":\x07:x\n:\x1b[1m:y", "\\u{3a}:x\n\\u{3a}\x1b[1m:y\x1b[0m");
        becomes(
            place,
            "##[group]x\n##vso[a]\n##TeamCity[b]",
            ["\\u{23}#[group]x\n", "\\u{23}#vso[a]\n", "\\u{23}#TeamCity[b]"].concat(),
        );
        let harmless = "a::b\n: :\n# Title\n## Title\n##vs\n##teamcit[\nC::d\n#";
        becomes(place, harmless, harmless);
    }
    becomes(TERMINAL, "a ##[x]", "a ##[x]");
    becomes(LOG, "a ##[x] ###[y] ##v##vso[z]", "a \\u{23}#[x] #\\u{23}#[y] ##v\\u{23}#vso[z]");
    becomes(LOG, "a #\x1b[1m##[x]", "a #\x1b[1m\\u{23}#[x]\x1b[0m");
    let colours = "\x1b[1m".repeat(1000);
    becomes(LOG, format!("#{colours}#[x]"), format!("\\u{{23}}{colours}#[x]\x1b[0m"));
}

#[test]
fn with_something_in_front_of_a_line_nobody_returns_to_its_beginning() {
    becomes(LIVE, "a\rb\r\nc\r\r\nd\r", "a\nb\r\nc\n\r\nd\n");
    becomes(TERMINAL, "a\rb", "a\rb");
}

#[test]
fn strings_without_end_are_dropped_as_they_come() {
    let mut filter = Filter::new(TERMINAL);
    assert_eq!(filter.push(b"a\x1bP"), b"a");
    for _ in 0..1000 {
        assert_eq!(filter.push(&[b'x'; 10_000]), b"");
    }
    assert_eq!(filter.push(b"\x1b\\b"), b"b");
}

const PIECES: [&[u8]; 33] = [
    b"\x1b",
    b"[",
    b"]",
    b"m",
    b"0",
    b"31",
    b";",
    b"\x07",
    b"\x1b\\",
    b"\n",
    b"\r",
    b":",
    b"::",
    b"#",
    b"##",
    b"##[",
    b"##vso[",
    b"##teamcity[",
    b" ",
    b"\xc2",
    b"\x9b",
    b"\xc2\x9d",
    b"\xc2\x9c",
    b"\xe2\x80",
    b"\xe2\x80\xae",
    b"\xff",
    b"\x1b[1m",
    b"\x1bP",
    b"P",
    b"text",
    b"\t",
    b"\x18",
    b"\xa0",
];

/// Bytes of which many mean something.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        proptest::sample::select(&PIECES[..]).prop_map(<[u8]>::to_vec),
        proptest::collection::vec(any::<u8>(), 0..8),
    ];
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

fn place() -> impl Strategy<Value = Place> {
    (any::<bool>(), any::<bool>()).prop_map(|(ci, lines)| Place { ci, lines })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn where_output_is_cut_does_not_matter(
        place in place(),
        pieces in proptest::collection::vec(bytes(), 0..4),
    ) {
        let mut filter = Filter::new(place);
        let mut out: Vec<u8> = pieces.iter().flat_map(|piece| filter.push(piece)).collect();
        out.extend(filter.finish());
        prop_assert_eq!(out, shown(place, &pieces.concat()));
    }

    #[test]
    fn what_comes_out_does_nothing_and_passes_again(place in place(), bytes in bytes()) {
        let out = shown(place, &bytes);
        prop_assert_eq!(shown(place, &out).escape_ascii().to_string(), out.escape_ascii().to_string());
        let mut rest = &out[..];
        while let Some(at) = rest.iter().position(|byte| *byte == 0x1b) {
            let sequence = &rest[at..];
            let end = sequence.iter().position(|byte| *byte == b'm').expect("only colours");
            prop_assert_eq!(sequence[1], b'[');
            prop_assert!(sequence[2..end].iter().all(|byte| b"0123456789;:".contains(byte)));
            rest = &sequence[end..];
        }
        prop_assert!(!out.iter().any(|byte| matches!(byte, 0..=8 | 11 | 12 | 14..=26 | 28..=31 | 127)));
        let text = String::from_utf8_lossy(&out);
        let active = |c| matches!(c, '\u{80}'..='\u{9f}' | '\u{202a}'..='\u{202e}');
        prop_assert!(!text.contains(active), "{text:?}");
        prop_assert!(!place.lines || !text.replace("\r\n", "\n").contains('\r'));
        let bare = anstream::adapter::strip_str(&text).to_string();
        for line in bare.split(['\n', '\r']) {
            let line = line.trim_start();
            prop_assert!(!["::", "##[", "##vso[", "##teamcity["].iter().any(|it| line.starts_with(it)));
            prop_assert!(!place.ci || !line.contains("##["));
        }
    }
}
