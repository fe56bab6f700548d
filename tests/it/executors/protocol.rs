//! What the runner and a worker say to each other, whole, cut and garbled.

use std::time::Duration;

use jobrun::executor::protocol::{Decoder, FromWorker, Message, ProtocolError, ToWorker};
use jobrun::value::Value;
use jobrun::work::{Args, Call};
use proptest::prelude::*;

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i128>().prop_map(Value::Int),
        any::<i8>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |f| f.is_finite()).prop_map(Value::Float),
        ".*".prop_map(Value::Str),
    ];
    leaf.prop_recursive(6, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::List),
            prop::collection::vec((".*", inner), 0..8).prop_map(Value::Map),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_message_survives_any_cut(value in any_value(), cut in any::<prop::sample::Index>()) {
        let message = FromWorker::Done {
            id: 7,
            started: Duration::from_nanos(1),
            ended: Duration::from_nanos(u64::MAX),
            result: Ok(value),
        };
        let mut bytes = Vec::new();
        message.encode(&mut bytes).unwrap();
        let cut = cut.index(bytes.len());
        let mut decoder = Decoder::default();
        decoder.feed(&bytes[..cut]);
        prop_assert_eq!(decoder.next_message::<FromWorker>(), Ok(None));
        decoder.feed(&bytes[cut..]);
        prop_assert_eq!(decoder.next_message::<FromWorker>(), Ok(Some(message)));
        prop_assert!(!decoder.is_halfway());
    }

    #[test]
    fn no_bytes_upset_the_decoder(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut framed = (bytes.len() as u32).to_le_bytes().to_vec();
        framed.extend(&bytes);
        for stream in [bytes, framed] {
            let mut decoder = Decoder::default();
            decoder.feed(&stream);
            while let Ok(Some(_)) = decoder.next_message::<FromWorker>() {}
            let mut decoder = Decoder::default();
            decoder.feed(&stream);
            while let Ok(Some(_)) = decoder.next_message::<ToWorker<'_>>() {}
        }
    }

    #[test]
    fn a_changed_message_is_another_or_none(
        value in any_value(),
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let call = Call { function: "f".into(), args: Args::List(vec![value].into()), dir: None };
        let message = ToWorker::Initialize(std::borrow::Cow::Owned(call));
        let mut bytes = Vec::new();
        message.encode(&mut bytes).unwrap();
        let place = place.index(bytes.len());
        bytes[place] = byte;
        let mut decoder = Decoder::default();
        decoder.feed(&bytes);
        let _ = decoder.next_message::<ToWorker<'_>>();
    }
}

#[test]
fn deep_and_long_messages_are_refused_whole() {
    let mut decoder = Decoder::default();
    // A list in a list in a list, and so on to the end of the frame.
    let mut frame = vec![102, 104, 1, 0, 0, 1];
    frame.extend([6, 1].repeat(100_000));
    let mut bytes = (frame.len() as u32 - 1).to_le_bytes().to_vec();
    bytes.extend(&frame[1..]);
    decoder.feed(&bytes);
    assert_eq!(decoder.next_message::<FromWorker>(), Err(ProtocolError::TooDeep));
    let mut decoder = Decoder::default();
    decoder.feed(&u32::MAX.to_le_bytes());
    assert_eq!(
        decoder.next_message::<FromWorker>(),
        Err(ProtocolError::TooLong(u32::MAX as usize))
    );
}
