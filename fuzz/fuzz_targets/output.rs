//! Bytes as the output of a task: where they are cut does not matter, and what is shown does nothing.

#![no_main]

use jobrun::report::filter::{Filter, Place};
use libfuzzer_sys::fuzz_target;

fn shown(place: Place, pieces: &[&[u8]]) -> Vec<u8> {
    let mut filter = Filter::new(place);
    let mut out: Vec<u8> = pieces.iter().flat_map(|piece| filter.push(piece)).collect();
    out.extend(filter.finish());
    out
}

fuzz_target!(|input: (bool, bool, &[u8])| {
    let (ci, lines, bytes) = input;
    let place = Place { ci, lines };
    let whole = shown(place, &[bytes]);
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(whole, shown(place, &single));
    let triple: Vec<&[u8]> = bytes.chunks(3).collect();
    assert_eq!(whole, shown(place, &triple));
    assert_eq!(whole, shown(place, &[&whole]));
    for (at, _) in whole.iter().enumerate().filter(|(_, byte)| **byte == 0x1b) {
        let sequence = &whole[at + 1..];
        let end = sequence.iter().position(|byte| *byte == b'm');
        let inside = end.and_then(|end| sequence[..end].strip_prefix(b"["));
        let is_color = |byte: &u8| b"0123456789;:".contains(byte);
        assert!(inside.is_some_and(|inside| inside.iter().all(is_color)));
    }
});
