//! The files of a job: reads what a manifest includes, and makes one manifest of all. Knows nothing of
//! what tasks say.
//!
//! Tasks, executors, resources, callbacks and `vars` of all files are merged, each file once, what a
//! file includes before its own. What holds in one file alone is kept with that file.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::compile::options::Options;
use crate::diagnostic::{Diagnostic, Faults, Source, Sources, utf8};
use crate::manifest::{self, Entries, Given, MAX_TOTAL, Manifest, Span, Spanned};

/// A job may have so many files.
const MAX_FILES: usize = 10_000;

/// So many files of a circle are shown.
const SHOWN_CIRCLE: usize = 12;

/// What could be missing because a file could not be read, so that it is not missed as well.
const MERGED: [&str; 5] = ["task", "executors", "resources", "vars", "callback"];

/// All files of a job.
pub(super) struct Whole<'a> {
    /// The manifest, and in it what is merged of what it includes.
    pub manifest: Cow<'a, Manifest>,
    /// The included files in the order read, with what holds in each alone.
    pub included: Vec<Part>,
    /// The texts of all files.
    pub sources: Sources,
    /// The place of each file among those merged, the manifest's first.
    pub rank: Vec<usize>,
}

/// An included file.
pub(super) struct Part {
    /// Its path as people know it.
    pub name: String,
    /// The folder that its paths start from.
    pub dir: Arc<Path>,
    /// Where its places begin.
    pub base: usize,
    /// What is left of it: its own `defaults`, `env` and so on.
    pub manifest: Manifest,
}

/// Reads all that `root` includes.
pub(super) fn whole<'a>(root: Cow<'a, Manifest>, options: &Options) -> (Whole<'a>, Faults) {
    let sources = root.source.clone().map(Sources::from).unwrap_or_default();
    if root.include.is_none() {
        let whole = Whole { manifest: root, included: Vec::new(), sources, rank: vec![0] };
        return (whole, Faults::new());
    }
    let mut reading = Reading::new(&root, sources, options);
    reading.run();
    reading.merge(root)
}

/// The folder that the paths of the manifest start from.
pub(super) fn dir(manifest: &Manifest, options: &Options) -> PathBuf {
    let source = manifest.source.as_deref();
    let folder = source.and_then(|source| Path::new(source.name()).parent());
    let dir = options.dir.as_deref().or(folder);
    dir.filter(|dir| *dir != Path::new("")).unwrap_or(Path::new(".")).to_owned()
}

/// Files being read. It goes down like a recursion, but on a stack of its own: a chain of files may
/// be long.
struct Reading<'o> {
    options: &'o Options,
    sources: Sources,
    faults: Faults,
    included: Vec<Part>,
    /// What each file includes, the manifest's first.
    includes: Vec<Vec<Spanned<String>>>,
    root_name: Option<String>,
    root_dir: PathBuf,
    /// Which file each path is, however it was reached; `None` for one that cannot be used.
    known: HashMap<PathBuf, Option<usize>>,
    /// The files whose includes are being read, each with the next of them.
    open: Vec<(usize, usize)>,
    /// The files in the order in which they are merged.
    order: Vec<usize>,
    /// Whether some file could not be used.
    lost: bool,
}

impl<'o> Reading<'o> {
    fn new(root: &Manifest, sources: Sources, options: &'o Options) -> Self {
        let root_name = root.source.as_ref().map(|source| source.name().to_owned());
        let root_dir = dir(root, options);
        let path = root_name.as_deref().and_then(|name| Path::new(name).file_name());
        let path = path.filter(|name| *name != "-").map(|name| root_dir.join(name));
        let canonical = path.and_then(|path| options.files.canonical(&path).ok());
        Self {
            options,
            sources,
            faults: Faults::new(),
            included: Vec::new(),
            includes: vec![includes(root)],
            root_name,
            root_dir,
            known: canonical.into_iter().map(|path| (path, Some(0))).collect(),
            open: vec![(0, 0)],
            order: Vec::new(),
            lost: false,
        }
    }

    fn run(&mut self) {
        while let Some((file, next)) = self.open.last_mut() {
            let Some(include) = self.includes[*file].get(*next).cloned() else {
                self.order.push(*file);
                self.open.pop();
                continue;
            };
            *next += 1;
            let by = *file;
            if let Err(fault) = self.include(by, &include) {
                self.lost = true;
                self.faults.push(*fault);
            }
        }
    }

    /// Reads a file that `by` includes, unless that was done.
    fn include(&mut self, by: usize, include: &Spanned<String>) -> Result<(), Box<Diagnostic>> {
        let folder = self.name(by).map(Path::new).and_then(Path::parent);
        let name = folder.unwrap_or(Path::new("")).join(include.as_str()).display().to_string();
        let path = self.dir(by).join(include.as_str());
        let canonical = self.options.files.canonical(&path);
        let canonical = canonical.map_err(|error| unreadable(include, &name, &error))?;
        match self.known.get(&canonical) {
            // A file that is reached in two ways is there once.
            Some(known) => match known.filter(|file| self.is_open(*file)) {
                Some(file) => return Err(Box::new(self.circle(file, include))),
                None => return Ok(()),
            },
            None => self.known.insert(canonical.clone(), None),
        };
        let source = self.read(include, &name, &path)?;
        self.sources.add(Arc::clone(&source));
        let (manifest, faults) = manifest::parse(&source);
        self.faults.append(faults);
        let Some(manifest) = manifest else {
            self.lost = true;
            return Ok(());
        };
        let file = self.includes.len();
        self.known.insert(canonical, Some(file));
        self.includes.push(includes(&manifest));
        let dir = path.parent().unwrap_or(Path::new(".")).into();
        self.included.push(Part { name, dir, base: source.base(), manifest });
        self.open.push((file, 0));
        Ok(())
    }

    fn read(
        &self,
        include: &Spanned<String>,
        name: &str,
        path: &Path,
    ) -> Result<Arc<Source>, Box<Diagnostic>> {
        if self.known.len() > MAX_FILES {
            let fault =
                Diagnostic::error("too-large", format!("a job has at most {MAX_FILES} files"));
            return Err(Box::new(fault.at(include.range()).hint("put small files together")));
        }
        let bytes = self.options.files.read(path);
        let bytes = bytes.map_err(|error| unreadable(include, name, &error))?;
        let text = utf8(bytes).map_err(|fault| {
            let message = format!("cannot read `{name}`: {}", fault.message);
            Diagnostic { message, ..*fault }.at(include.range())
        })?;
        if self.sources.end() + text.len() > MAX_TOTAL {
            let message = format!("with `{name}` the files of this job have more than 1 GiB");
            let fault = Diagnostic::error("too-large", message).at(include.range());
            return Err(Box::new(fault.hint("use `map` for many tasks that are alike")));
        }
        Ok(Arc::new(Source::new(name, text).at(self.sources.end())))
    }

    fn name(&self, file: usize) -> Option<&str> {
        match file.checked_sub(1) {
            Some(included) => Some(&self.included[included].name),
            None => self.root_name.as_deref(),
        }
    }

    fn dir(&self, file: usize) -> &Path {
        file.checked_sub(1).map_or(&self.root_dir, |included| &self.included[included].dir)
    }

    fn is_open(&self, file: usize) -> bool {
        self.open.iter().any(|(open, _)| *open == file)
    }

    /// The fault of an include that leads back to `first`, which is open.
    fn circle(&self, first: usize, include: &Spanned<String>) -> Diagnostic {
        let start = self.open.iter().position(|(open, _)| *open == first).unwrap_or_default();
        let chain = &self.open[start..];
        let name = |file: usize| self.name(file).unwrap_or("the manifest");
        let shown = chain.iter().take(SHOWN_CIRCLE);
        let mut files: Vec<_> = shown.clone().map(|(file, _)| name(*file)).collect();
        let more = format!("({} more)", chain.len().saturating_sub(SHOWN_CIRCLE));
        if chain.len() > SHOWN_CIRCLE {
            files.push(&more);
        }
        files.push(name(first));
        let message = if chain.len() == 1 {
            format!("{} includes itself", name(first))
        } else {
            format!("these files include each other: {}", files.join(" -> "))
        };
        let mut fault = Diagnostic::error("include-cycle", message)
            .at(include.range())
            .label("back to the first")
            .hint("take one of these paths out of its `include`");
        for (file, next) in shown.take(chain.len() - 1) {
            let place = next.checked_sub(1).and_then(|at| self.includes[*file].get(at));
            fault = fault.note(place.and_then(Spanned::range), "by way of this");
        }
        fault
    }

    fn merge(mut self, root: Cow<'_, Manifest>) -> (Whole<'static>, Faults) {
        let mut whole = root.into_owned();
        let mut own = Some(merged_part(&mut whole));
        let mut merger = Merger { whole, places: HashMap::new(), faults: self.faults };
        let mut rank = vec![0; self.includes.len()];
        for (at, file) in self.order.iter().enumerate() {
            rank[*file] = at;
            merger.add(match file.checked_sub(1) {
                Some(included) => merged_part(&mut self.included[included].manifest),
                None => own.take().unwrap_or_default(),
            });
        }
        if self.lost {
            merger.whole.broken.extend(MERGED);
        }
        let manifest = Cow::Owned(merger.whole);
        let whole = Whole { manifest, included: self.included, sources: self.sources, rank };
        (whole, merger.faults)
    }
}

fn unreadable(include: &Spanned<String>, name: &str, error: &std::io::Error) -> Diagnostic {
    Diagnostic::error("include", format!("cannot read `{name}`: {error}"))
        .at(include.range())
        .hint("paths start from the folder of the file that they are written in")
}

fn includes(manifest: &Manifest) -> Vec<Spanned<String>> {
    manifest.include.as_ref().map(|list| list.value.clone()).unwrap_or_default()
}

/// Takes out what is merged.
fn merged_part(manifest: &mut Manifest) -> Manifest {
    let is_merged = |key: &&str| MERGED.contains(key) || *key == "executor";
    Manifest {
        task: std::mem::take(&mut manifest.task),
        executor: manifest.executor.take(),
        executors: manifest.executors.take(),
        resources: manifest.resources.take(),
        vars: manifest.vars.take(),
        callback: std::mem::take(&mut manifest.callback),
        broken: manifest.broken.extract_if(.., |key| is_merged(&&**key)).collect(),
        ..Manifest::default()
    }
}

/// What is merged so far.
struct Merger {
    whole: Manifest,
    /// Where each name of each table is declared.
    places: HashMap<(&'static str, String), Option<Range<usize>>>,
    faults: Faults,
}

impl Merger {
    fn add(&mut self, part: Manifest) {
        self.whole.task.extend(part.task);
        self.whole.callback.extend(part.callback);
        self.whole.broken.extend(part.broken);
        match (&self.whole.executor, part.executor) {
            (Some(first), Some(second)) => {
                let fault = clash("`[executor]`", first.key_range(), second.key_range());
                self.faults.push(fault);
            }
            (None, other) => self.whole.executor = other,
            (Some(_), None) => {}
        }
        self.entries("executors", |whole| &mut whole.executors, part.executors);
        self.entries("resources", |whole| &mut whole.resources, part.resources);
        self.entries("vars", |whole| &mut whole.vars, part.vars);
    }

    fn entries<T>(
        &mut self,
        table: &'static str,
        of: impl Fn(&mut Manifest) -> &mut Given<Entries<T>>,
        part: Given<Entries<T>>,
    ) {
        let Some(part) = part else { return };
        let Spanned { value: mut part, span, key } = *part;
        let nothing = || Box::new(Spanned { value: Entries::default(), span, key });
        let whole = of(&mut self.whole).get_or_insert_with(nothing);
        whole.value.broken.append(&mut part.broken);
        for (name, value) in part {
            let place = value.key_range();
            match self.places.entry((table, name)) {
                Entry::Occupied(first) => {
                    let what = format!("`{}` of `{table}`", first.key().1);
                    self.faults.push(clash(&what, first.get().clone(), place));
                }
                Entry::Vacant(vacant) => {
                    whole.value.push(vacant.key().1.clone(), value);
                    vacant.insert(place);
                }
            }
        }
    }
}

/// The fault of what two files say. The later of the two is its place.
fn clash(what: &str, one: Option<Range<usize>>, other: Option<Range<usize>>) -> Diagnostic {
    let start = |range: &Option<Range<usize>>| range.as_ref().map(|range| range.start);
    let (first, second) = if start(&one) <= start(&other) { (one, other) } else { (other, one) };
    Diagnostic::error("clash", format!("{what} is declared in two files"))
        .at(second)
        .label("the second")
        .hint("keep one of them, or give them different names")
        .note(first, "the first")
}

impl Whole<'_> {
    /// The file of a place: 0 for the manifest, and from 1 on those in `included`.
    pub fn file(&self, span: Span) -> usize {
        if self.included.is_empty() {
            return 0;
        }
        span.range().map_or(0, |range| {
            self.included.partition_point(|included| included.base <= range.start)
        })
    }

    /// What a file says of itself alone.
    pub fn own(&self, file: usize) -> &Manifest {
        file.checked_sub(1).map_or(&*self.manifest, |included| &self.included[included].manifest)
    }

    /// How many files there are.
    pub fn len(&self) -> usize {
        self.included.len() + 1
    }
}
