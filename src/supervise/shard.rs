//! One thread that minds children: it spawns, reads, times, stops and reaps its own, and sleeps while
//! nothing happens. Knows nothing of other shards.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use crate::outcome::Stream;
use crate::supervise::child::{Child, Phase, Progress, Stopped};
use crate::supervise::door::{Door, Op};
use crate::supervise::headroom::Verdict;
use crate::supervise::message::{ChildEvent, Request, Urgency};
use crate::supervise::oom::OomWatch;
use crate::supervise::program::Refusal;
use crate::supervise::spawn::Spawner;
use crate::supervise::token::{Part, Token};
use crate::supervise::world::World;
use crate::time::Time;
use crate::work::Stop;

/// How long a child's output may stay open after its end, held by something it has started.
const LEAK_TIME: Duration = Duration::from_millis(100);

/// So often is a program tried that is open for writing, waiting 1, 2, 4 … ms in between.
const BUSY_TRIES: u32 = 10;

/// A child may come to need so many descriptors more, for files of what it writes.
const FILES_OF_CHILD: usize = 2;

/// So many are needed for a moment while a child is started.
const FILES_OF_START: usize = 4;

/// How long a patron in no hurry waits for its reminder.
const REMINDER: Duration = Duration::from_millis(2);

/// How long a child runs before anybody reads what it writes. Most end sooner, and what they wrote lies
/// in the pipe by then; one that fills the pipe waits no longer than that, once.
const UNREAD: Duration = Duration::from_millis(2);

/// A panic, of the patron perhaps, ends no child by itself.
impl Drop for Minder {
    fn drop(&mut self) {
        if thread::panicking() {
            for child in self.places.iter().filter_map(|place| place.child.as_deref()) {
                child.signal(libc::SIGKILL);
            }
            self.world.patron.collapsed();
        }
    }
}

/// A child whose program could not be run yet.
struct Waiting {
    request: Request,
    /// How often it was tried in vain.
    tries: u32,
}

#[derive(Default)]
struct Place {
    generation: u32,
    child: Option<Box<Child>>,
}

/// The thread's own state.
pub(crate) struct Minder {
    world: World,
    door: Arc<Door>,
    epoll: OwnedFd,
    spawner: Spawner,
    /// To be tried again later.
    later: Vec<(Time, Waiting)>,
    places: Vec<Place>,
    free: Vec<u32>,
    /// The places of children whose streams are not watched yet, each with its generation, and when
    /// they will be; the first one first.
    unwatched: VecDeque<(Time, u32, u32)>,
    by_key: HashMap<u64, u32>,
    /// One at most for each child: what it means depends on the child's phase.
    deadlines: BTreeSet<(Time, u32)>,
    /// So many children take all descriptors that it can have.
    capacity: usize,
    /// When the patron is to be reminded of what it was told.
    reminder: Option<Time>,
    buffer: Vec<u8>,
    quits: bool,
}

impl Minder {
    pub(crate) fn new(mut world: World, door: Arc<Door>) -> io::Result<Self> {
        world.files = world.files.apart();
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        // Edge triggered, so that nobody has to read it.
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&epoll, &door.bell, Token::BELL.data(), flags)?;
        epoll::add(&epoll, world.headroom.bell()?, Token::BELL.data(), flags)?;
        let spawner = {
            let World { headroom, inherit, cells, .. } = &world;
            Spawner::new(Arc::clone(headroom), Arc::clone(inherit), Arc::clone(cells))
        };
        Ok(Self {
            world,
            door,
            epoll,
            spawner,
            later: Vec::new(),
            places: Vec::new(),
            free: Vec::new(),
            unwatched: VecDeque::new(),
            by_key: HashMap::new(),
            deadlines: BTreeSet::new(),
            capacity: usize::MAX,
            reminder: None,
            buffer: vec![0; 64 << 10],
            quits: false,
        })
    }

    pub(crate) fn run(mut self) {
        let mut events = Vec::with_capacity(64);
        loop {
            for op in self.door.take() {
                self.carry_out(op);
            }
            if self.quits && self.by_key.is_empty() {
                return;
            }
            // One at a time, so that many to come do not keep those that run from being read.
            let spawned = self.spawn_next();
            self.look(&mut events, spawned);
            self.expire();
        }
    }

    fn carry_out(&mut self, op: Op) {
        match op {
            Op::Stop(key, how) => self.stop(key, how),
            Op::Exited(token) => self.handle(Token::unpack(token)),
            Op::Quit => {
                self.quits = true;
                for (_, waiting) in std::mem::take(&mut self.later) {
                    self.world.headroom.give_back();
                    self.world.recall(waiting.request.key);
                }
                // What was put back after the others were taken back.
                while let Some(request) = self.world.queue.pop() {
                    self.world.recall(request.key);
                }
                for place in self.by_key.values().copied().collect::<Vec<_>>() {
                    self.stop_at(place, Stop::Kill);
                }
            }
        }
    }

    // Spawning.

    /// Spawns the next child, if there is one; whether there was.
    fn spawn_next(&mut self) -> bool {
        let now = self.now();
        let Some(mut waiting) = self.next_waiting(now) else {
            self.note_want_of_room();
            return false;
        };
        let spare = match self.by_key.len() {
            // The only one may have all.
            0 => 0,
            count => FILES_OF_START + FILES_OF_CHILD * (count + 1),
        };
        match self.spawner.spawn(&waiting.request.command, spare) {
            Ok(spawned) => {
                self.world.headroom.started();
                self.admit(Child::new(waiting.request, spawned, now));
            }
            Err(Refusal::Busy(_)) if waiting.tries < BUSY_TRIES => {
                let due = now.after(Duration::from_millis(1 << waiting.tries));
                waiting.tries += 1;
                self.later.push((due, waiting));
            }
            Err(Refusal::Files(why)) if !self.by_key.is_empty() => {
                self.capacity = self.by_key.len();
                self.show_load();
                self.world.headroom.give_back();
                self.put_back(waiting.request, &why);
                // Others may have what this one has not.
                self.world.headroom.ring();
            }
            Err(Refusal::Files(why) | Refusal::Scarce(why)) => {
                match self.world.headroom.refused() {
                    Verdict::Waits => {
                        if self.world.headroom.running() == 0 {
                            self.world.patron.cramped();
                        }
                        self.put_back(waiting.request, &why);
                    }
                    Verdict::GivenUp => self.world.refuse(&waiting.request, now, why),
                }
            }
            Err(refusal) => {
                self.world.headroom.give_back();
                self.world.refuse(&waiting.request, now, refusal.words());
            }
        }
        true
    }

    fn next_waiting(&mut self, now: Time) -> Option<Waiting> {
        if self.quits {
            return None;
        }
        if let Some(place) = self.later.iter().position(|(due, _)| *due <= now) {
            return Some(self.later.swap_remove(place).1);
        }
        if !self.may_mind_more() {
            return None;
        }
        let World { queue, headroom, patron, .. } = &self.world;
        Some(Waiting { request: queue.admit(headroom, &**patron)?, tries: 0 })
    }

    fn may_mind_more(&self) -> bool {
        self.by_key.len() < self.world.share.min(self.capacity)
    }

    /// Lets a child wait for room, which the system has not at the moment.
    fn put_back(&mut self, request: Request, why: &str) {
        let key = request.key;
        self.world.queue.put_back(request, &*self.world.patron);
        let count = self.world.headroom.running();
        let words = || format!("{why} with {count} running; fewer run at once from now on");
        if let Some(words) = self.world.headroom.warning(words) {
            self.tell(key, ChildEvent::Warning(words));
        }
    }

    /// Says so, once, if children wait that nobody has refused yet, but most likely would.
    fn note_want_of_room(&mut self) {
        let headroom = &self.world.headroom;
        if !headroom.is_narrow() || !self.wants_to_spawn() || headroom.has_room() {
            return;
        }
        let words = || {
            let most = headroom.most();
            format!(
                "the limit of processes is near, and leaves room for {most} at once \
                 where each may start one more; no more run at once for now"
            )
        };
        if let Some(words) = headroom.warning(words) {
            self.tell(0, ChildEvent::Warning(words));
        }
    }

    /// Shows others how many children it minds.
    fn show_load(&self) {
        let count = self.by_key.len();
        let load = if count < self.capacity { count } else { usize::MAX };
        self.door.set_load(load);
    }

    /// Takes a child in that was just spawned.
    fn admit(&mut self, mut child: Child) {
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place::default());
            self.places.len() as u32 - 1
        });
        let generation = self.generation(place);
        let token = Token { place, generation, part: Part::Process };
        let pidfd = child.pidfd.as_ref();
        pidfd.map_or_else(
            || self.await_elsewhere(child.pid(), token),
            |pidfd| self.watch(pidfd, token),
        );
        let (key, pid, started) = (child.key, child.pid(), child.started);
        child.deadline = child.timeout.map(|timeout| started.after(timeout));
        self.deadlines.extend(child.deadline.map(|deadline| (deadline, place)));
        self.by_key.insert(key, place);
        self.show_load();
        let live = child.live;
        self.places[place as usize].child = Some(Box::new(child));
        if live {
            self.watch_streams(place);
        } else {
            self.unwatched.push_back((started.after(UNREAD), place, generation));
        }
        self.tell(key, ChildEvent::Started { pid, at: started });
    }

    fn watch(&self, fd: &OwnedFd, token: Token) {
        // It fails for want of kernel memory alone; then the child is killed by its timeout.
        let _ = epoll::add(&self.epoll, fd, token.data(), epoll::EventFlags::IN);
    }

    /// From now on the streams of a child are read as it writes.
    fn watch_streams(&mut self, place: u32) {
        let generation = self.generation(place);
        let Some(child) = self.child(place).filter(|child| !child.watched) else { return };
        child.watched = true;
        let Some(at) = self.places.get(place as usize) else { return };
        let Some(child) = &at.child else { return };
        for (part, output) in [(Part::Stdout, &child.stdout), (Part::Stderr, &child.stderr)] {
            if let Some(fd) = &output.fd {
                self.watch(fd, Token { place, generation, part });
            }
        }
    }

    /// Waits for a process on a thread of its own, where there is no pidfd to be had.
    fn await_elsewhere(&self, pid: u32, token: Token) {
        let door = Arc::clone(&self.door);
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let waiter = thread::Builder::new().name("jobrun-waits".to_owned());
        let wait = move || {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while let Some(pid) = pid
                && let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(pid), options)
            {
            }
            door.push(Op::Exited(token.pack()));
        };
        if waiter.spawn(wait).is_err() {
            // Nobody would see its end, so it has to come now.
            if let Some(pid) = pid {
                let _ = kill_process_group(pid, Signal::KILL);
            }
            self.door.push(Op::Exited(token.pack()));
        }
    }

    // Events.

    /// Sees to what has happened; unless it `hurries`, waits until something does.
    fn look(&mut self, events: &mut Vec<epoll::Event>, hurries: bool) {
        events.clear();
        let mut until = if hurries { Some(Time::ZERO) } else { self.next_deadline() };
        if !hurries && !self.door.lie_down(|| self.has_news()) {
            until = Some(Time::ZERO);
        }
        let timeout = until.map(|until| {
            let left = until.since(self.now());
            Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(left.subsec_nanos()),
            }
        });
        if !hurries {
            // While the first child runs, for this takes longer than to start one.
            self.world.oom.get_or_init(OomWatch::start);
        }
        // Interrupted by a signal: the next round looks again.
        let _ = epoll::wait(&self.epoll, spare_capacity(events), timeout.as_ref());
        self.door.get_up();
        for event in events {
            self.handle(Token::unpack(event.data.u64()));
        }
    }

    fn has_news(&self) -> bool {
        self.door.has_ops() || self.wants_to_spawn() && self.world.headroom.has_room()
    }

    /// Whether there is a child that it would start if the system had room.
    fn wants_to_spawn(&self) -> bool {
        !self.quits
            && self.may_mind_more()
            && self.world.queue.is_waiting()
            && self.world.patron.has_room()
    }

    /// When something is to be done though nothing happens.
    fn next_deadline(&self) -> Option<Time> {
        let child = self.deadlines.first().map(|(time, _)| *time);
        let again = self.later.iter().map(|(due, _)| *due).min();
        let watch = self.unwatched.front().map(|(due, ..)| *due);
        let room = self.world.headroom.grows_at().filter(|_| self.wants_to_spawn());
        let room = room.map(|at| self.now().after(at.saturating_duration_since(Instant::now())));
        [child, again, watch, room, self.reminder].into_iter().flatten().min()
    }

    fn handle(&mut self, token: Token) {
        if token.part == Part::Bell || self.generation(token.place) != token.generation {
            return;
        }
        match token.part {
            Part::Stdout => self.read(token.place, Stream::Stdout),
            Part::Stderr => self.read(token.place, Stream::Stderr),
            Part::Process | Part::Bell => self.exited(token.place),
        }
        self.settle(token.place);
    }

    fn read(&mut self, place: u32, stream: Stream) {
        let Self { places, world, buffer, epoll, .. } = self;
        let Some(child) = places.get_mut(place as usize).and_then(|at| at.child.as_mut()) else {
            return;
        };
        child.read(stream, buffer, epoll.as_fd(), &world.files, &*world.patron);
    }

    fn exited(&mut self, place: u32) {
        let now = self.now();
        let Some(child) = self.child(place) else { return };
        child.exited = Some(now);
        // A zombie's pidfd stays readable.
        let pidfd = child.pidfd.take();
        let deadline = match (child.phase, child.deadline) {
            // Others of its group may still be about to end, as they were asked to.
            (Phase::Stopping, Some(deadline)) => deadline,
            _ => now.after(LEAK_TIME),
        };
        if let Some(pidfd) = pidfd {
            let _ = epoll::delete(&self.epoll, &pidfd);
        }
        self.read(place, Stream::Stdout);
        self.read(place, Stream::Stderr);
        if self.child(place).is_some_and(|child| child.progress() == Progress::Going) {
            // Something it has started may still write.
            self.set_deadline(place, Some(deadline));
            self.watch_streams(place);
        }
    }

    /// Ends a child whose process has ended and whose output is complete.
    fn settle(&mut self, place: u32) {
        if self.child(place).is_some_and(|child| child.progress() == Progress::Complete) {
            self.finish(place);
        }
    }

    fn expire(&mut self) {
        if self.reminder.is_some_and(|due| due <= self.now()) {
            self.reminder = None;
            self.world.patron.remind();
        }
        while let Some((due, place, generation)) = self.unwatched.front().copied() {
            if self.generation(place) == generation {
                if due > self.now() {
                    break;
                }
                self.watch_streams(place);
            }
            self.unwatched.pop_front();
        }
        while let Some((time, place)) = self.deadlines.first().copied() {
            if time > self.now() {
                return;
            }
            self.set_deadline(place, None);
            let Some(child) = self.child(place) else { continue };
            match (child.exited, child.phase) {
                (Some(_), _) => {
                    child.leaked = child.stopped.is_none();
                    self.read(place, Stream::Stdout);
                    self.read(place, Stream::Stderr);
                    self.finish(place);
                }
                // This process may have been stopped for long: what happened meanwhile comes first.
                (None, Phase::Running) if child.has_ended() => {
                    self.exited(place);
                    self.settle(place);
                }
                (None, Phase::Running) => self.ask_to_end(place, Stopped::ByTimeout),
                (None, Phase::Stopping | Phase::Killed) => self.kill(place),
            }
        }
    }

    // Stopping.

    fn stop(&mut self, key: u64, how: Stop) {
        if let Some(place) = self.by_key.get(&key).copied() {
            self.stop_at(place, how);
        } else if self.take_back(key) {
            self.world.recall(key);
        }
    }

    fn take_back(&mut self, key: u64) -> bool {
        let place = self.later.iter().position(|(_, waiting)| waiting.request.key == key);
        if let Some(place) = place {
            self.later.swap_remove(place);
            self.world.headroom.give_back();
        }
        // It may have been put back after somebody looked for it there.
        place.is_some() || self.world.queue.remove(key).is_some()
    }

    fn stop_at(&mut self, place: u32, how: Stop) {
        let Some(child) = self.child(place) else { return };
        match (how, child.exited, child.phase) {
            (Stop::Recall, ..)
            | (Stop::Stop, Some(_), _)
            | (Stop::Stop, None, Phase::Stopping | Phase::Killed) => {}
            (Stop::Stop, None, Phase::Running) => self.ask_to_end(place, Stopped::ByRequest),
            (Stop::Kill, Some(_), _) => self.finish(place),
            (Stop::Kill, None, _) => {
                child.stopped.get_or_insert(Stopped::ByRequest);
                self.kill(place);
            }
        }
    }

    fn ask_to_end(&mut self, place: u32, why: Stopped) {
        let now = self.now();
        let Some(child) = self.child(place) else { return };
        child.stopped = Some(why);
        if child.grace.is_zero() {
            return self.kill(place);
        }
        let deadline = now.after(child.grace);
        child.phase = Phase::Stopping;
        child.signal(libc::SIGTERM);
        // One that is stopped has to go on to see it.
        child.signal(libc::SIGCONT);
        self.set_deadline(place, Some(deadline));
    }

    fn kill(&mut self, place: u32) {
        if let Some(child) = self.child(place) {
            child.phase = Phase::Killed;
            child.signal(libc::SIGKILL);
        }
        self.set_deadline(place, None);
    }

    // The end.

    fn finish(&mut self, place: u32) {
        let Some(at) = self.places.get_mut(place as usize) else { return };
        let Some(child) = at.child.take() else { return };
        at.generation = at.generation.wrapping_add(1);
        self.free.push(place);
        self.by_key.remove(&child.key);
        self.show_load();
        if let Some(deadline) = child.deadline {
            self.deadlines.remove(&(deadline, place));
        }
        let key = child.key;
        let end = child.finish(self.epoll.as_fd(), self.world.clock, self.world.oom.get());
        self.world.headroom.give_back();
        self.tell(key, ChildEvent::Ended(end));
    }

    // Small things.

    fn now(&self) -> Time {
        self.world.clock.now()
    }

    fn generation(&self, place: u32) -> u32 {
        self.places.get(place as usize).map_or(0, |at| at.generation)
    }

    fn child(&mut self, place: u32) -> Option<&mut Child> {
        self.places.get_mut(place as usize)?.child.as_deref_mut()
    }

    fn set_deadline(&mut self, place: u32, deadline: Option<Time>) {
        let Some(child) = self.places.get_mut(place as usize).and_then(|at| at.child.as_mut())
        else {
            return;
        };
        if let Some(old) = std::mem::replace(&mut child.deadline, deadline) {
            self.deadlines.remove(&(old, place));
        }
        self.deadlines.extend(deadline.map(|deadline| (deadline, place)));
    }

    fn tell(&mut self, key: u64, event: ChildEvent) {
        if self.world.patron.tell(key, event) == Urgency::Soon && self.reminder.is_none() {
            self.reminder = Some(self.now().after(REMINDER));
        }
    }
}
