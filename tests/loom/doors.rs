//! No child is forgotten in the queue, and no order, while those sleep who could see to it.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use crate::door::{Door, Op, Queue};
use crate::every_way;
use crate::supervise::headroom::Headroom;
use crate::supervise::message::{Patron, Request};
use crate::sync::Bell;

/// Has room for so many.
struct Room(AtomicUsize);

impl Patron for Room {
    fn has_room(&self) -> bool {
        self.0.load(Ordering::SeqCst) > 0
    }

    fn put_back(&self, _: &mut Request) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn admit(&self, _: &mut Request) -> bool {
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |room| room.checked_sub(1)).is_ok()
    }
}

/// What a shard does but for minding children: it looks at its door and the queue, and sleeps. Gives how
/// many children it has started.
fn mind(door: &Door, queue: &Queue, room: &Room) -> usize {
    let mut started = 0;
    loop {
        let quits = door.take().iter().any(|op| matches!(op, Op::Quit));
        if quits {
            return started;
        }
        if queue.admit(&Headroom, room).is_some() {
            started += 1;
            door.set_load(started);
        } else if door.lie_down(|| door.has_ops() || queue.is_waiting() && room.has_room()) {
            door.bell.wait();
        }
        door.get_up();
    }
}

/// The same, until it has started one; then it is gone without having looked again.
fn start_one(door: &Door, queue: &Queue, room: &Room) {
    loop {
        if queue.admit(&Headroom, room).is_some() {
            return;
        }
        if door.lie_down(|| queue.is_waiting()) {
            door.bell.wait();
        }
        door.get_up();
    }
}

fn door() -> Arc<Door> {
    Arc::new(Door::new(Bell::default()))
}

#[test]
fn a_child_is_started_by_a_shard_that_was_about_to_sleep() {
    every_way(|| {
        let (door, queue) = (door(), Arc::new(Queue::default()));
        let room = Arc::new(Room(AtomicUsize::new(1)));
        let shard = {
            let (door, queue, room) = (door.clone(), queue.clone(), room.clone());
            thread::spawn(move || start_one(&door, &queue, &room))
        };
        queue.push(Request { key: 1 });
        Door::sleeper([&*door].into_iter(), 1).into_iter().for_each(Door::wake);
        // It hangs if the child is forgotten.
        shard.join().unwrap();
        assert!(!queue.is_waiting());
    });
}

#[test]
fn two_shards_start_two_children() {
    every_way(|| {
        let (doors, queue) = ([door(), door()], Arc::new(Queue::default()));
        let room = Arc::new(Room(AtomicUsize::new(2)));
        let shards = doors.clone().map(|door| {
            let (queue, room) = (queue.clone(), room.clone());
            thread::spawn(move || start_one(&door, &queue, &room))
        });
        for key in [1, 2] {
            queue.push(Request { key });
            Door::sleeper(doors.iter().map(|door| &**door), 1).into_iter().for_each(Door::wake);
        }
        for shard in shards {
            shard.join().unwrap();
        }
        assert!(!queue.is_waiting());
    });
}

#[test]
fn orders_reach_a_shard_that_was_about_to_sleep() {
    every_way(|| {
        let (door, queue) = (door(), Arc::new(Queue::default()));
        let room = Arc::new(Room(AtomicUsize::new(1)));
        let shard = {
            let (door, queue, room) = (door.clone(), queue.clone(), room.clone());
            thread::spawn(move || mind(&door, &queue, &room))
        };
        queue.push(Request { key: 1 });
        Door::sleeper([&*door].into_iter(), 1).into_iter().for_each(Door::wake);
        door.push(Op::Quit);
        let started = shard.join().unwrap();
        // Either it was started, or it can be taken back: by one alone.
        assert_eq!(started + usize::from(queue.remove(1).is_some()), 1);
    });
}

#[test]
fn what_is_taken_back_is_not_started() {
    every_way(|| {
        let queue = Arc::new(Queue::default());
        queue.push(Request { key: 1 });
        let room = Room(AtomicUsize::new(1));
        let theirs = queue.clone();
        let starter = thread::spawn(move || theirs.admit(&Headroom, &room).is_some());
        let removed = queue.remove(1).is_some();
        assert_ne!(starter.join().unwrap(), removed, "one of the two has it");
    });
}
