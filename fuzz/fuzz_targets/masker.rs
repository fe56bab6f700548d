//! Bytes as secrets and as output that holds them: where it is cut does not matter, and no secret is left.

#![no_main]

use jobrun::mask::{MASK, Masker, SHORTEST};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&[u8], &[u8], u8)| {
    let (secret, text, cut) = input;
    let secret = &secret[..secret.len().min(32)];
    if secret.len() < SHORTEST {
        return;
    }
    let masker = Masker::new([secret]);
    let text = [text, secret, text].concat();
    let whole = masker.bytes(&text).into_owned();
    let mut stream = masker.stream();
    let mut out: Vec<u8> = Vec::new();
    for piece in text.chunks(usize::from(cut).max(1)) {
        out.extend_from_slice(&stream.push(piece));
    }
    out.extend(stream.finish());
    assert_eq!(whole, out);
    // What stands for a secret may itself look like one.
    if !secret.contains(&MASK.as_bytes()[0]) {
        assert!(!whole.windows(secret.len()).any(|window| window == secret));
    }
});
