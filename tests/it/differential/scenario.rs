//! Random scenarios that Python and jobrun can both run, and that have one right answer: no two
//! futures end at the same tick, and timeouts fall in the middle between two ticks.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// Some futures, the pool that runs them, and the wait that looks at them.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub id: usize,
    pub style: Style,
    pub workers: usize,
    pub policy: Policy,
    /// In half ticks: 0 or odd, so that nothing ends when it passes.
    pub timeout: Option<u32>,
    pub then: Then,
    pub tasks: Vec<Task>,
}

/// How the futures are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// `submit`: a task each.
    Submit,
    /// `Executor.map`: one task with `map`.
    Map,
}

/// Python's three policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    AllCompleted,
    FirstCompleted,
    FirstException,
}

/// What is done with the futures that the wait did not wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// As Python does: all go on.
    Continue,
    /// As Python's `shutdown(cancel_futures=True)` right after the wait.
    Drain,
    /// jobrun's default, which Python has not: what runs is stopped.
    Cancel,
}

/// One future.
#[derive(Clone, Debug)]
pub struct Task {
    pub ticks: u32,
    pub fails: bool,
    /// Whether it sleeps in a function of jobrun, not in a child, where both would do.
    pub prefers_call: bool,
    /// A task that fails or never starts: then this one never starts either.
    pub after: Option<usize>,
}

/// `count` scenarios, always the same ones.
pub fn generate(count: usize) -> Vec<Scenario> {
    let mut random = Random(20_261_123);
    (0..count).map(|id| scenario(id, &mut random)).collect()
}

/// The policy, what follows and the style take turns, so that few scenarios meet all of them.
fn scenario(id: usize, random: &mut Random) -> Scenario {
    let policy = [Policy::AllCompleted, Policy::FirstCompleted, Policy::FirstException][id % 3];
    let then = [Then::Continue, Then::Drain, Then::Cancel][id / 3 % 3];
    let style = [Style::Submit, Style::Map][id / 9 % 2];
    loop {
        let mut scenario =
            Scenario { id, style, workers: 0, policy, timeout: None, then, tasks: Vec::new() };
        scenario.fill(random);
        if style == Style::Submit && policy == Policy::AllCompleted && random.one_in(2) {
            scenario.add_dependents(random);
        }
        if scenario.has_one_answer() {
            return scenario;
        }
    }
}

impl Scenario {
    fn fill(&mut self, random: &mut Random) {
        self.workers = random.between(1, 6) as usize;
        let empty = self.style == Style::Map && random.one_in(10);
        let count = if empty { 0 } else { random.between(1, 7) };
        let longest = self.workers as u32 + 2;
        self.tasks = (0..count)
            .map(|_| Task {
                ticks: if random.one_in(10) { 0 } else { random.between(1, longest) },
                fails: random.one_in(4),
                prefers_call: random.one_in(2),
                after: None,
            })
            .collect();
        let last = self.ends().into_iter().flatten().max().unwrap_or(0);
        self.timeout = match random.between(0, 9) {
            0 => Some(0),
            1..=5 => Some(2 * random.between(0, last) + 1),
            _ => None,
        };
    }

    /// Adds one or two futures behind one that fails. Such a wait has a timeout, because Python's
    /// would last for ever (D1), and nobody queues, because a queue's order may look at dependents.
    fn add_dependents(&mut self, random: &mut Random) {
        let Some(failing) = self.tasks.iter().position(|task| task.fails) else { return };
        let last = self.ends().into_iter().flatten().max().unwrap_or(0);
        self.workers = self.workers.max(self.tasks.len());
        self.timeout = Some(2 * random.between(0, last) + 1);
        let mut after = failing;
        for _ in 0..random.between(1, 2) {
            let dependent = Task { ticks: 1, fails: false, prefers_call: true, after: Some(after) };
            after = self.tasks.len();
            self.tasks.push(dependent);
        }
    }

    fn has_one_answer(&self) -> bool {
        let mut ends: Vec<u32> = self.ends().into_iter().flatten().collect();
        ends.sort_unstable();
        let distinct = ends.windows(2).all(|pair| pair[0] != pair[1]);
        let polls_an_end = self.timeout == Some(0) && ends.first() == Some(&0);
        distinct && !polls_an_end && self.workers <= 6
    }

    /// The tick at which each future ends if all go on to their ends; `None` if it never starts.
    fn ends(&self) -> Vec<Option<u32>> {
        let mut free_at = vec![0; self.workers];
        let mut end = |task: &Task| {
            let slot = free_at.iter_mut().min().filter(|_| task.after.is_none())?;
            *slot += task.ticks;
            Some(*slot)
        };
        self.tasks.iter().map(&mut end).collect()
    }

    /// How a report names the future of a task.
    pub fn name(&self, index: usize) -> String {
        match self.style {
            Style::Submit => format!("t{index}"),
            Style::Map => format!("m[{index}]"),
        }
    }

    /// Whether the future's result is the text `v` and its index in jobrun too: `sleep` has none.
    pub fn has_value(&self, index: usize) -> bool {
        match self.style {
            Style::Submit => self.tasks[index].ticks == 0 || !self.tasks[index].calls(),
            Style::Map => !self.maps_a_call(),
        }
    }

    fn maps_a_call(&self) -> bool {
        self.tasks.iter().all(|task| !task.fails)
            && self.tasks.first().is_some_and(|task| task.prefers_call)
    }

    /// The scenario as `oracle.py` reads it, a tick being so many milliseconds.
    pub fn for_python(&self, tick: u32) -> Value {
        let seconds = |milliseconds: u32| f64::from(milliseconds) / 1000.0;
        let tasks: Vec<Value> = self
            .tasks
            .iter()
            .map(|task| {
                json!({ "seconds": seconds(task.ticks * tick), "fails": task.fails,
                        "after": task.after })
            })
            .collect();
        json!({
            "workers": self.workers,
            "style": if self.style == Style::Map { "map" } else { "submit" },
            "return_when": self.policy.word().to_uppercase(),
            "timeout": self.timeout.map(|half_ticks| seconds(half_ticks * tick / 2)),
            "cancel_pending": self.then != Then::Continue,
            "tasks": tasks,
        })
    }

    /// The scenario as a manifest, a tick being so many milliseconds.
    pub fn manifest(&self, tick: u32) -> String {
        let mut text = format!(
            "name = \"scenario-{}\"\n\n[executor]\nkind = \"thread\"\nmax_workers = {}\n\n\
             [wait]\nreturn_when = \"{}\"\non_return = \"{}\"\n",
            self.id,
            self.workers,
            self.policy.word(),
            self.then.word(),
        );
        if let Some(half_ticks) = self.timeout {
            let _ = writeln!(text, "timeout = \"{}ms\"", half_ticks * tick / 2);
        }
        match self.style {
            Style::Submit => {
                for (index, task) in self.tasks.iter().enumerate() {
                    let body = task.body(index, tick);
                    let _ = write!(text, "\n[[task]]\nname = \"t{index}\"\n{body}");
                    if let Some(after) = task.after {
                        let _ = writeln!(text, "after = [\"t{after}\"]");
                    }
                }
            }
            Style::Map => text += &self.mapped(tick),
        }
        text
    }

    fn mapped(&self, tick: u32) -> String {
        let calls = self.maps_a_call();
        let items: Vec<String> = self
            .tasks
            .iter()
            .enumerate()
            .map(|(index, task)| {
                if calls {
                    format!("\"{}ms\"", task.ticks * tick)
                } else {
                    format!("\"{} v{index} {}\"", task.seconds(tick), task.exit_code())
                }
            })
            .collect();
        let body = if calls {
            "call = \"sleep\"".to_owned()
        } else {
            let script = "set -- $1; sleep $1; echo $2; exit $3";
            format!("run = [\"sh\", \"-c\", \"{script}\", \"sh\", \"{{{{ item }}}}\"]")
        };
        format!("\n[[task]]\nname = \"m\"\n{body}\nmap = [{}]\n", items.join(", "))
    }
}

impl Task {
    fn calls(&self) -> bool {
        self.ticks == 0 || (self.prefers_call && !self.fails)
    }

    fn body(&self, index: usize, tick: u32) -> String {
        match (self.calls(), self.ticks, self.fails) {
            (true, 0, false) => format!("call = \"echo\"\nargs = [\"v{index}\"]\n"),
            (true, 0, true) => format!("call = \"fail\"\nargs = [\"task {index}\"]\n"),
            (true, ticks, _) => format!("call = \"sleep\"\nargs = [\"{}ms\"]\n", ticks * tick),
            (false, ..) => format!(
                "run = [\"sh\", \"-c\", \"sleep {}; echo v{index}; exit {}\"]\n",
                self.seconds(tick),
                self.exit_code(),
            ),
        }
    }

    fn seconds(&self, tick: u32) -> String {
        let milliseconds = self.ticks * tick;
        format!("{}.{:03}", milliseconds / 1000, milliseconds % 1000)
    }

    fn exit_code(&self) -> u32 {
        if self.fails { 3 } else { 0 }
    }
}

impl Policy {
    fn word(self) -> &'static str {
        match self {
            Self::AllCompleted => "all_completed",
            Self::FirstCompleted => "first_completed",
            Self::FirstException => "first_exception",
        }
    }
}

impl Then {
    fn word(self) -> &'static str {
        match self {
            Self::Continue => "continue",
            Self::Drain => "drain",
            Self::Cancel => "cancel",
        }
    }
}

/// A small generator of random numbers (xorshift), so that a seed means the same scenarios on
/// every machine and with every version of every crate.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// One of `low..=high`.
    fn between(&mut self, low: u32, high: u32) -> u32 {
        low + (self.next() >> 33) as u32 % (high - low + 1)
    }

    fn one_in(&mut self, count: u32) -> bool {
        self.between(1, count) == 1
    }
}
