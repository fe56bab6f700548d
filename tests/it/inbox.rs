//! Stories about mail between threads. All the ways in which two threads can meet at a mailbox are tried
//! by `tests/loom`.

use std::thread;
use std::time::Instant;

use jobrun::inbox::Inbox;

#[test]
fn all_mail_of_all_senders_is_read_once_and_each_lane_in_order() {
    let mut inbox = Inbox::default();
    for sender in 0..4_usize {
        let lane = inbox.sender();
        thread::spawn(move || (0..1000_usize).for_each(|number| lane.send((sender, number))));
    }
    let mut next = [0; 4];
    for _ in 0..4000 {
        let (sender, number) = inbox.next(None).unwrap();
        assert_eq!(number, next[sender]);
        next[sender] += 1;
    }
    assert_eq!(inbox.next(Some(Instant::now())), None);
}

#[test]
fn what_is_left_without_ringing_is_read_at_the_next_look() {
    let mut inbox = Inbox::default();
    let sender = inbox.sender();
    sender.leave(1);
    sender.clone().send(2);
    drop(sender);
    assert_eq!((inbox.try_next(), inbox.try_next(), inbox.try_next()), (Some(1), Some(2), None));
}

#[test]
fn a_will_is_sent_by_a_panic_alone() {
    let mut inbox = Inbox::default();
    drop(inbox.sender().will("nothing is wrong"));
    assert_eq!(inbox.try_next(), None);
    let will = inbox.sender().will("something is");
    let ended = thread::spawn(move || {
        let _will = will;
        panic!("it has to");
    });
    assert!(ended.join().is_err());
    assert_eq!(inbox.try_next(), Some("something is"));
}
