//! What futures left, as templates ask for it. Knows nothing of work.
//!
//! Whoever comes after a group sees it as it was when its wait returned: what its members do after that
//! changes nothing. What cannot change any more is made once, and kept for all who ask.

use std::cell::{OnceCell, RefCell};
use std::fmt;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _};

use crate::id::{NodeId, TaskId};
use crate::job::Job;
use crate::ledger::{Ledger, Record};
use crate::outcome::{Failure, Return, State};
use crate::template::{Attribute, Fact, Facts, Ready, Whose, written};
use crate::value::Value;

/// What is kept from one question to the next.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// The tasks by what templates write for their names.
    tasks: OnceCell<HashMap<String, TaskId>>,
    values: RefCell<HashMap<Key, Arc<Value>>>,
    ready: RefCell<HashMap<Key, Ready>>,
}

/// The attribute of a task, as it is now or as it was when its wait returned.
type Key = (TaskId, Attribute, Moment);

/// When groups are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Moment {
    /// When their wait returned: for a task.
    Return,
    /// Now: for a callback.
    Now,
}

/// What a template can ask.
pub(super) struct Past<'s> {
    pub job: &'s Job,
    pub ledger: &'s Ledger,
    pub memory: &'s Memory,
    pub moment: Moment,
    /// The counterpart, under `each`.
    pub parent: Option<NodeId>,
}

impl fmt::Debug for Past<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Past").field("parent", &self.parent).finish_non_exhaustive()
    }
}

impl Facts for Past<'_> {
    fn fact(&self, of: Whose<'_>, attribute: Attribute) -> Option<Fact<'_>> {
        match of {
            Whose::Parent => self.of_parent(attribute),
            Whose::Task(name) => match self.task(name) {
                Some(task) => self.of_task(task, attribute),
                None => of_absent(attribute).map(made),
            },
        }
    }

    fn ready(&self, of: Whose<'_>, attribute: Attribute) -> Option<Ready> {
        let task = match of {
            Whose::Task(name) => self.task(name).filter(|task| self.is_settled(*task)),
            Whose::Parent => None,
        };
        let Some(task) = task else {
            return self.fact(of, attribute).map(|fact| Ready::new(&fact));
        };
        let key = (task, attribute, self.moment);
        if let Some(ready) = self.memory.ready.borrow().get(&key) {
            return Some(ready.clone());
        }
        let ready = if self.lies_there(task, attribute) {
            Ready::new(&*self.of_task(task, attribute)?)
        } else {
            Ready::new(&self.make(task, attribute)?)
        };
        self.memory.ready.borrow_mut().insert(key, ready.clone());
        Some(ready)
    }
}

impl Past<'_> {
    /// The task that is written so; `None` if it is not a part of this run.
    fn task(&self, name: &str) -> Option<TaskId> {
        let tasks = self.memory.tasks.get_or_init(|| {
            let all = self.job.graph.tasks();
            let mut tasks = HashMap::with_capacity(all.len());
            tasks.extend(all.map(|(id, task)| (written(&task.name), id)));
            tasks
        });
        tasks.get(name).copied()
    }

    fn of_task(&self, task: TaskId, attribute: Attribute) -> Option<Fact<'_>> {
        if self.lies_there(task, attribute) {
            let node = self.job.graph.end_of(task);
            return Some(Fact::There(self.result(node)));
        }
        if !self.is_settled(task) {
            return self.make(task, attribute).map(made);
        }
        let key = (task, attribute, self.moment);
        if let Some(value) = self.memory.values.borrow().get(&key) {
            return Some(Fact::Made(Arc::clone(value)));
        }
        let value = Arc::new(self.make(task, attribute)?);
        self.memory.values.borrow_mut().insert(key, Arc::clone(&value));
        Some(Fact::Made(value))
    }

    /// Whether it is the result of a plain task, which needs not be made.
    fn lies_there(&self, task: TaskId, attribute: Attribute) -> bool {
        attribute == Attribute::Result && !self.job.graph.task(task).size.is_group()
    }

    /// Whether what is asked of a task cannot change any more.
    fn is_settled(&self, task: TaskId) -> bool {
        let graph = &self.job.graph;
        let is_done = |node| self.ledger.record(NodeId(node)).state.is_done();
        match self.moment {
            _ if !graph.task(task).size.is_group() => is_done(graph.end_of(task).0),
            Moment::Return => self.ledger.group(task).is_some(),
            Moment::Now => self.ledger.group(task).is_some() && graph.members(task).all(is_done),
        }
    }

    /// An attribute that lies nowhere.
    fn make(&self, task: TaskId, attribute: Attribute) -> Option<Value> {
        let group = self.job.graph.task(task).size.is_group();
        let suited = if group { Attribute::OF_GROUP } else { Attribute::OF_PLAIN };
        if !suited.contains(&attribute) {
            return None;
        }
        let futures = self.futures(task);
        Some(match attribute {
            Attribute::State => self.state(task).word().into(),
            Attribute::Results => Value::List(
                futures
                    .map(
                        |(node, state)| {
                            if state.is_done() { self.result(node).clone() } else { Value::Null }
                        },
                    )
                    .collect(),
            ),
            Attribute::Done => self.entries(futures.filter(|(_, state)| state.is_done())),
            Attribute::NotDone => self.entries(futures.filter(|(_, state)| !state.is_done())),
            Attribute::Errors => self.entries(futures.filter(|(_, state)| state.is_failure())),
            _ => return None,
        })
    }

    /// The futures of a task, and where they stand at the moment that counts.
    fn futures(&self, task: TaskId) -> impl Iterator<Item = (NodeId, State)> {
        let graph = &self.job.graph;
        let nodes = if graph.task(task).size.is_group() {
            graph.members(task)
        } else {
            let node = graph.end_of(task).0;
            node..node + 1
        };
        let mut unfinished = match self.moment {
            Moment::Return => self.ledger.unfinished(task).iter().peekable(),
            Moment::Now => [].iter().peekable(),
        };
        // Both are in the order of the nodes.
        nodes.map(NodeId).map(move |node| match unfinished.next_if(|(other, _)| *other == node) {
            Some((_, state)) => (node, *state),
            None => (node, self.record(node).state),
        })
    }

    fn state(&self, task: TaskId) -> State {
        let graph = &self.job.graph;
        if !graph.task(task).size.is_group() {
            return self.record(graph.end_of(task)).state;
        }
        let idle = |node| self.record(NodeId(node)).state == State::Pending;
        match self.ledger.group(task).map(Return::verdict) {
            Some(verdict) => verdict,
            None if graph.members(task).all(idle) => State::Pending,
            None => State::Running,
        }
    }

    fn entries(&self, futures: impl Iterator<Item = (NodeId, State)>) -> Value {
        let entry = |(node, state)| {
            let entries = Attribute::OF_FUTURE.into_iter();
            Value::Map(
                entries.map(|it| (it.word().to_owned(), self.of_future(node, state, it))).collect(),
            )
        };
        Value::List(futures.map(entry).collect())
    }

    /// An attribute of a future that stood so.
    fn of_future(&self, node: NodeId, state: State, attribute: Attribute) -> Value {
        let graph = &self.job.graph;
        match attribute {
            Attribute::Name => graph.name(node).to_string().into(),
            Attribute::Index => graph.index_in_group(node).map_or(Value::Null, Value::from),
            Attribute::Item => match graph.counterpart(node) {
                Some(counterpart) => self.result(counterpart).clone(),
                None => self.job.item(node, self.ledger).unwrap_or_default(),
            },
            Attribute::State => state.word().into(),
            Attribute::Result if state.is_done() => self.result(node).clone(),
            Attribute::Error if state.is_done() => {
                self.record(node).failure().map_or(Value::Null, error)
            }
            _ => Value::Null,
        }
    }

    fn of_parent(&self, attribute: Attribute) -> Option<Fact<'_>> {
        let node = self.parent?;
        let record = self.record(node);
        if attribute == Attribute::Result {
            return Some(Fact::There(self.result(node)));
        }
        let has = Attribute::OF_FUTURE.contains(&attribute);
        has.then(|| made(self.of_future(node, record.state, attribute)))
    }

    /// What a future left. Whoever looks at the run from outside sees no secrets.
    fn result(&self, node: NodeId) -> &Value {
        match self.moment {
            Moment::Return => self.ledger.result(node),
            Moment::Now => &self.record(node).result,
        }
    }

    fn record(&self, node: NodeId) -> &Record {
        self.ledger.record(node)
    }
}

/// What there is to say of a task that is not a part of this run.
fn of_absent(attribute: Attribute) -> Option<Value> {
    Some(match attribute {
        Attribute::State => State::Skipped.word().into(),
        Attribute::Result => Value::Null,
        Attribute::Results | Attribute::Done | Attribute::NotDone | Attribute::Errors => {
            Value::List(Vec::new())
        }
        _ => return None,
    })
}

fn error(failure: &Failure) -> Value {
    Value::Map(vec![
        ("kind".to_owned(), failure.kind.word().into()),
        ("message".to_owned(), failure.message.as_str().into()),
    ])
}

fn made<'a>(value: Value) -> Fact<'a> {
    Fact::Made(Arc::new(value))
}
