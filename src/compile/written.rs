//! Tasks by their names as templates write them. Knows nothing of expressions.

use std::borrow::Cow;

use foldhash::{HashMap, HashMapExt as _};

use crate::id::TaskId;
use crate::manifest::Manifest;
use crate::template;

/// The tasks of a manifest by what templates write for their names.
pub(super) struct Written<'a> {
    tasks: HashMap<Cow<'a, str>, Named>,
    /// Whether the name of some task is not known, so that an unknown name may be that one's.
    pub incomplete: bool,
}

/// Which task is meant.
#[derive(Clone, Copy, Debug)]
pub(super) enum Named {
    /// This one.
    One(TaskId),
    /// One of two or more whose names are written alike.
    Either(TaskId, TaskId),
}

impl<'a> Written<'a> {
    pub fn new(manifest: &'a Manifest) -> Self {
        let mut tasks = HashMap::with_capacity(manifest.task.len());
        let mut incomplete = manifest.broken.contains(&"task");
        for (index, task) in manifest.task.iter().enumerate() {
            let Some(name) = &task.name else {
                incomplete = true;
                continue;
            };
            let id = TaskId(index as u32);
            let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            let written = if plain {
                Cow::Borrowed(name.as_str())
            } else {
                Cow::Owned(template::written(name))
            };
            tasks
                .entry(written)
                .and_modify(|named| {
                    if let Named::One(first) = *named {
                        let same = manifest.task[first.index()].name.as_ref();
                        // Two tasks of one name are a fault of their own.
                        if same.is_some_and(|other| other.value != name.value) {
                            *named = Named::Either(first, id);
                        }
                    }
                })
                .or_insert(Named::One(id));
        }
        Self { tasks, incomplete }
    }

    /// The task that is written so.
    pub fn get(&self, written: &str) -> Option<Named> {
        self.tasks.get(written).copied()
    }

    /// All names as they are written.
    pub fn all(&self) -> impl Iterator<Item = &str> + Clone {
        self.tasks.keys().map(AsRef::as_ref)
    }
}
