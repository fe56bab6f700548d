//! Bytes as what a worker and the runner say to each other, in pieces of any size: they are messages, or
//! are refused, and a message survives being written and read again. Nothing panics, and no more is
//! allocated than has arrived, but for a small multiple.

#![no_main]

use std::fmt::Debug;

use jobrun::executor::protocol::{Decoder, FromWorker, Message, ToWorker};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, bytes) = input;
    let framed = [&(bytes.len() as u32).to_le_bytes(), bytes].concat();
    for stream in [bytes, &framed] {
        converse::<FromWorker>(stream, usize::from(piece) + 1);
        converse::<ToWorker<'_>>(stream, usize::from(piece) + 1);
    }
});

fn converse<M: Message + PartialEq + Debug>(stream: &[u8], piece: usize) {
    let mut decoder = Decoder::default();
    for bytes in stream.chunks(piece) {
        decoder.feed(bytes);
        loop {
            match decoder.next_message::<M>() {
                Ok(Some(message)) => repeat(&message),
                Ok(None) => break,
                // Nothing after it is believed.
                Err(_) => return,
            }
        }
    }
}

/// What was understood is said, and understood again.
fn repeat<M: Message + PartialEq + Debug>(message: &M) {
    let mut bytes = Vec::new();
    message.encode(&mut bytes).expect("what fitted a frame fits one");
    let mut decoder = Decoder::default();
    decoder.feed(&bytes);
    let again = decoder.next_message::<M>();
    assert_eq!(again.as_ref().map(Option::as_ref), Ok(Some(message)));
    assert!(!decoder.is_halfway());
}
