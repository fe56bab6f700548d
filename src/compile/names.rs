//! The names of tasks: which there are, and which are meant by a name or a glob. Knows nothing of
//! what tasks do.

use std::cell::OnceCell;
use std::ops::Range;
use std::rc::Rc;

use foldhash::{HashMap, HashMapExt as _};
use globset::{Glob, GlobMatcher};

use crate::compile::context::{Context, name_of};
use crate::diagnostic::Diagnostic;
use crate::graph::When;
use crate::id::TaskId;
use crate::manifest::{Spanned, Task};

/// The tasks of a manifest by name.
pub(super) struct Names<'a> {
    by_name: HashMap<&'a str, TaskId>,
    /// Sorted by name, so that a glob need only look at what starts like it. Many jobs have no globs.
    sorted: OnceCell<Vec<(&'a str, TaskId)>>,
    /// Whether the name of some task is not known, so that an unknown name may be that one's.
    incomplete: bool,
}

/// Tasks that are named by a list of names and globs.
pub(super) enum Found {
    /// By its name.
    One(TaskId),
    /// By a glob.
    Several(Vec<TaskId>),
    /// None.
    Unknown,
}

impl<'a> Names<'a> {
    /// Indexes the tasks; missing, malformed and duplicate names are faults.
    pub fn new(context: &mut Context<'a>) -> Self {
        let tasks = &context.manifest.task;
        let mut names = Self {
            by_name: HashMap::with_capacity(tasks.len()),
            sorted: OnceCell::new(),
            incomplete: context.manifest.broken.contains(&"task"),
        };
        if tasks.is_empty() && !names.incomplete {
            context.fault(
                Diagnostic::error("no-tasks", "the manifest has no tasks").hint(
                    "add one: [[task]], then name = \"hello\" and run = [\"echo\", \"hello\"]",
                ),
            );
        }
        for (index, task) in tasks.iter().enumerate() {
            names.add(context, TaskId(index as u32), task);
        }
        names
    }

    fn add(&mut self, context: &mut Context<'a>, id: TaskId, task: &'a Spanned<Task>) {
        let Some(name) = &task.name else {
            self.incomplete = true;
            if !task.broken.contains(&"name") {
                context.fault(
                    Diagnostic::error("missing-key", "this task has no `name`")
                        .at(task.range())
                        .hint("add a line such as name = \"build\""),
                );
            }
            return;
        };
        if let Some(problem) = malformed(name) {
            context.fault(
                Diagnostic::error("bad-name", format!("`{}` is not a task name", name.value))
                    .at(name.range())
                    .label(problem)
                    .hint("use letters, digits, `.`, `_`, `-`, `/` and `:`"),
            );
        }
        if let Some(first) = self.by_name.get(name.as_str()) {
            let first = &context.manifest.task[first.index()].name;
            let message = format!("there are two tasks named `{}`", name.value);
            context.fault(
                Diagnostic::error("duplicate-name", message)
                    .at(name.range())
                    .label("the second")
                    .hint("give one of them another name")
                    .note(first.as_deref().and_then(Spanned::range), "the first"),
            );
            return;
        }
        self.by_name.insert(name, id);
    }

    fn sorted(&self) -> &[(&'a str, TaskId)] {
        self.sorted.get_or_init(|| {
            let mut names: Vec<_> = self.by_name.iter().map(|(name, id)| (*name, *id)).collect();
            names.sort_unstable();
            names
        })
    }

    /// The task of a name.
    pub fn get(&self, name: &str) -> Option<TaskId> {
        self.by_name.get(name).copied()
    }

    /// All names, sorted.
    pub fn all(&self) -> impl Iterator<Item = &'a str> + Clone {
        self.sorted().iter().map(|(name, _)| *name)
    }

    /// The tasks that a name or glob means.
    pub fn find(&self, pattern: &str) -> Found {
        if let Some(id) = self.by_name.get(pattern) {
            return Found::One(*id);
        }
        let Some(glob) = glob(pattern) else { return Found::Unknown };
        let alike = self.alike(pattern).iter();
        let mut found: Vec<_> =
            alike.filter(|(name, _)| glob.is_match(name)).map(|(_, id)| *id).collect();
        found.sort_unstable();
        Found::Several(found)
    }

    /// The names that a glob may match: up to its first wildcard they are the same.
    fn alike(&self, pattern: &str) -> &[(&'a str, TaskId)] {
        let prefix = &pattern[..pattern.find(['*', '?']).unwrap_or(pattern.len())];
        let sorted = self.sorted();
        let start = sorted.partition_point(|(name, _)| *name < prefix);
        let count = sorted[start..].partition_point(|(name, _)| name.starts_with(prefix));
        &sorted[start..start + count]
    }

    /// Says that no task is meant by `pattern`, unless that may only follow from another fault.
    pub fn report_unknown(
        &self,
        context: &mut Context<'_>,
        pattern: &str,
        place: Option<Range<usize>>,
    ) {
        if !self.incomplete {
            let fault = self.unknown(context, pattern);
            context.fault(fault.at(place));
        }
    }

    /// The fault of a name or glob that means no task.
    pub fn unknown(&self, context: &mut Context<'_>, pattern: &str) -> Diagnostic {
        let group = pattern.strip_suffix(']').and_then(|rest| rest.rsplit_once('['));
        if let Some((task, _)) = group.filter(|(task, _)| self.by_name.contains_key(task)) {
            return Diagnostic::error("unknown-task", format!("`{pattern}` is not a task"))
                .hint(format!("name the whole group: `{task}`"));
        }
        if glob(pattern).is_some() {
            return Diagnostic::error("unknown-task", format!("no task matches `{pattern}`"))
                .hint_if(context.guess(pattern, self.all()));
        }
        Diagnostic::error("unknown-task", format!("there is no task `{pattern}`"))
            .hint_if(context.guess(pattern, self.all()))
    }

    /// The tasks that a task is `after`, each once, in the order written.
    pub fn after(&self, context: &mut Context<'_>, id: TaskId, globs: &mut Globs) -> Vec<TaskId> {
        let task = &context.manifest.task[id.index()];
        let Some(after) = &task.after else { return Vec::new() };
        let mut found = Vec::with_capacity(after.len());
        for pattern in &after.value {
            if let Some(one) = self.by_name.get(pattern.as_str()) {
                globs.add(*one, id, &mut found);
                continue;
            }
            let several = globs.meaning(self, context, pattern);
            if several.iter().all(|other| *other == id) && !globs.are_too_many() {
                self.report_unknown(context, pattern, pattern.range());
            }
            for other in several.iter().filter(|other| **other != id) {
                globs.add(*other, id, &mut found);
            }
        }
        found
    }
}

/// Where a task says that it comes after `next`, and how it says so.
pub(super) fn place_of_edge(
    context: &Context<'_>,
    id: TaskId,
    next: TaskId,
) -> Option<(Range<usize>, &'static str)> {
    let name = context.task_name(next);
    let task = &context.manifest.task[id.index()];
    let after = task.after.as_ref().map(|after| after.value.as_slice()).unwrap_or_default();
    let exact = after.iter().find(|pattern| pattern.value == name);
    let by_glob =
        || after.iter().find(|pattern| glob(pattern).is_some_and(|glob| glob.is_match(name)));
    if let Some(pattern) = exact.or_else(by_glob) {
        return Some((pattern.range()?, "is after"));
    }
    if let Some(each) = task.each.as_deref().filter(|each| each.value == name) {
        return Some((each.range()?, "follows"));
    }
    // They are in the order of the tasks.
    let start = context.mentions.partition_point(|mention| mention.by < id);
    let mut own = context.mentions[start..].iter().take_while(|mention| mention.by == id);
    Some((own.find(|mention| mention.of == next)?.place.range()?, "uses"))
}

/// What is kept from one `after` to the next.
pub(super) struct Globs {
    /// What each glob means; many tasks have the same.
    meanings: HashMap<String, Rc<[TaskId]>>,
    /// For each task the last one that was found to be after it, so that it is so once.
    last: Vec<Option<TaskId>>,
    /// How many names globs were held against.
    looks: usize,
}

/// Globs are held against so many names in all: each takes its time, and there may be many of both.
const MAX_LOOKS: usize = 10_000_000;

impl Globs {
    pub fn new(tasks: usize) -> Self {
        Self { meanings: HashMap::new(), last: vec![None; tasks], looks: 0 }
    }

    /// Adds a task to the list of those that `after` is after, unless it is there.
    pub fn add(&mut self, found: TaskId, after: TaskId, list: &mut Vec<TaskId>) {
        let dependent = &mut self.last[found.index()];
        if *dependent != Some(after) {
            *dependent = Some(after);
            list.push(found);
        }
    }

    /// Whether finding out what all globs mean would take too long.
    pub fn are_too_many(&self) -> bool {
        self.looks > MAX_LOOKS
    }

    fn meaning(&mut self, names: &Names<'_>, context: &Context<'_>, glob: &str) -> Rc<[TaskId]> {
        if let Some(known) = self.meanings.get(glob) {
            return Rc::clone(known);
        }
        self.looks += names.alike(glob).len();
        if self.are_too_many() {
            return Rc::default();
        }
        let found = ids(names.find(glob)).into_iter();
        let meaning: Rc<[TaskId]> = found.filter(|id| can_be_globbed(context, *id)).collect();
        self.meanings.insert(glob.to_owned(), Rc::clone(&meaning));
        meaning
    }
}

/// A glob in an `after` stands for the ordinary tasks, not for clean-up and failure handling.
fn can_be_globbed(context: &Context<'_>, id: TaskId) -> bool {
    let task = &context.manifest.task[id.index()];
    let default = context.defaults(task.span).and_then(|defaults| defaults.when.as_ref());
    let when = task.when.as_ref().or(default);
    when.is_none_or(|when| when.value == When::Success)
}

/// The longest glob, in bytes: of what is longer, the matcher would be large and slow.
const MAX_GLOB: usize = 1000;

/// The matcher of a glob; `None` for a name, and for what could match no name.
fn glob(pattern: &str) -> Option<GlobMatcher> {
    let legal = |c: char| is_name_character(c) || matches!(c, '*' | '?');
    if !pattern.contains(['*', '?']) || !pattern.chars().all(legal) || pattern.len() > MAX_GLOB {
        return None;
    }
    // `**` has a meaning of its own for paths, which names are not.
    let mut single = pattern.to_owned();
    while single.contains("**") {
        single = single.replace("**", "*");
    }
    Some(Glob::new(&single).ok()?.compile_matcher())
}

fn is_name_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | ':')
}

/// What is wrong with a name.
fn malformed(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("it is empty".to_owned());
    }
    // Large jobs have many names; the bytes of other characters are no characters of a name either.
    let place = name.bytes().position(|byte| !is_name_character(char::from(byte)))?;
    let wrong = name[place..].chars().next()?;
    Some(match wrong {
        ' ' => "it has a space".to_owned(),
        other => format!("it has `{other}`"),
    })
}

/// All that was found.
pub(super) fn ids(found: Found) -> Vec<TaskId> {
    match found {
        Found::One(id) => vec![id],
        Found::Several(ids) => ids,
        Found::Unknown => Vec::new(),
    }
}

/// The name of a task for a message: its own, or that it has none.
pub(super) fn title(task: &Task) -> String {
    match name_of(task) {
        "" => "this task".to_owned(),
        name => format!("`{name}`"),
    }
}
