//! No mail is lost, and none is left unread while the reader sleeps.

use std::time::Instant;

use loom::thread;

use crate::every_way;
use crate::inbox::Inbox;

#[test]
fn the_reader_wakes_for_what_two_send() {
    every_way(|| {
        let mut inbox = Inbox::default();
        for mail in [1, 2] {
            let sender = inbox.sender();
            thread::spawn(move || sender.send(mail));
        }
        let mut read = [inbox.next(None).unwrap(), inbox.next(None).unwrap()];
        read.sort_unstable();
        assert_eq!(read, [1, 2]);
        assert_eq!(inbox.try_next(), None);
    });
}

#[test]
fn what_one_sends_is_read_in_order() {
    every_way(|| {
        let mut inbox = Inbox::default();
        let sender = inbox.sender();
        thread::spawn(move || (1..=3).for_each(|mail| sender.send(mail)));
        let read: Vec<i32> = (0..3).map(|_| inbox.next(None).unwrap()).collect();
        assert_eq!(read, [1, 2, 3]);
    });
}

#[test]
fn what_is_left_is_read_once_somebody_rings() {
    every_way(|| {
        let mut inbox = Inbox::default();
        let sender = inbox.sender();
        thread::spawn(move || {
            sender.leave(1);
            sender.leave(2);
            sender.ring();
        });
        assert_eq!([inbox.next(None), inbox.next(None)], [Some(1), Some(2)]);
    });
}

#[test]
fn a_lane_that_is_opened_late_and_dropped_at_once_loses_nothing() {
    every_way(|| {
        let mut inbox = Inbox::default();
        let sender = inbox.sender();
        thread::spawn(move || {
            let late = sender.apart();
            drop(sender);
            late.send(1);
            drop(late);
        });
        assert_eq!(inbox.next(None), Some(1));
        assert_eq!(inbox.try_next(), None);
    });
}

#[test]
fn a_look_that_gives_up_keeps_no_mail_from_being_read() {
    every_way(|| {
        let mut inbox = Inbox::default();
        let sender = inbox.sender();
        thread::spawn(move || {
            sender.send(1);
            sender.send(2);
        });
        let mut read = Vec::new();
        read.extend(inbox.next(Some(Instant::now())));
        while read.len() < 2 {
            read.extend(inbox.next(None));
        }
        assert_eq!(read, [1, 2]);
    });
}
