//! A thread that minds children, as who started it sees it: it is started, spoken to through its door, and
//! ended. Knows nothing of what it does.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use crate::guard;
use crate::supervise::door::{Door, Op};
use crate::supervise::shard::Minder;
use crate::supervise::world::World;
use crate::sync::Bell;

/// A running shard. Dropping it kills its children.
pub(crate) struct Shard {
    door: Arc<Door>,
    thread: Option<JoinHandle<()>>,
}

impl Shard {
    pub(crate) fn start(world: World) -> io::Result<Self> {
        let door = Arc::new(Door::new(Bell::new()?));
        world.headroom.bell()?;
        let its_door = Arc::clone(&door);
        let (tell, told) = mpsc::sync_channel(1);
        let builder = thread::Builder::new().name("jobrun-children".to_owned());
        let thread = builder.spawn(move || {
            // All that it opens it closes, and it tells others of paths alone. Where it cannot have a
            // table of its own, it is slower.
            let inherited = world.inherit.iter().map(OwnedFd::as_fd);
            let room = world.headroom.bell().ok().map(AsFd::as_fd);
            let keep: Vec<_> = inherited.chain([its_door.bell.as_fd()]).chain(room).collect();
            let _ = guard::separate(&keep);
            match Minder::new(world, its_door) {
                Ok(minder) => {
                    drop(tell);
                    minder.run();
                }
                Err(error) => drop(tell.send(error)),
            }
        })?;
        match told.recv() {
            Ok(error) => Err(error),
            // It runs.
            Err(_) => Ok(Self { door, thread: Some(thread) }),
        }
    }

    pub(crate) fn door(&self) -> &Door {
        &self.door
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        self.door.push(Op::Quit);
        if let Some(thread) =
            self.thread.take().filter(|own| own.thread().id() != thread::current().id())
        {
            // It has nothing to say about its end; a panic of the patron has been printed.
            let _ = thread.join();
        }
    }
}
