//! Rules about programs and folders that are not there.

use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::job::{Action, CallbackAction, CommandSpec, Place, ProgramSpec};
use crate::lint::scene::{Found, Scene, is_first};
use crate::manifest::{Program, Spanned, Task};
use crate::template::Template;
use crate::value::Value;

/// Folders to run in that are not there. What comes after something may find what that has made.
pub(super) fn folders(scene: &Scene<'_>, found: &mut Found<'_>) {
    let defaults = scene.manifest.defaults.as_ref().and_then(|it| it.0.cwd.as_deref());
    for task in scene.tasks().filter(|task| is_first(task.node)) {
        let Action::Run(command) = &task.spec.action else { continue };
        let Some(cwd) = command.cwd.as_ref().and_then(constant) else { continue };
        let folder = scene.job.origin.dir_of(task.spec.place).join(cwd);
        if !scene.machine.has_folder(&folder) {
            let written = task.written.cwd.as_deref().or(defaults).and_then(Spanned::range);
            found.add(format!("there is no folder `{cwd}`"), |it| {
                it.at(written.or_else(|| task.name_range()))
                    .label("commands would run here")
                    .hint("make it, or run after the task that does")
            });
        }
    }
}

/// Programs and shells that are not there.
pub(super) fn programs(scene: &Scene<'_>, found: &mut Found<'_>) {
    let defaults = scene.manifest.defaults.as_ref().map(|defaults| &*defaults.0);
    for task in scene.tasks() {
        let Action::Run(command) = &task.spec.action else { continue };
        let first = is_first(task.node);
        if let Some(program) = missing(scene, command, task.spec.place, first) {
            let place = place_of_program(task.written, defaults).or_else(|| task.name_range());
            report(found, command, &program, place);
        }
    }
    for (callback, written) in scene.callbacks() {
        let CallbackAction::Do(Action::Run(command)) = &callback.action else { continue };
        if let Some(program) = missing(scene, command, callback.place, false) {
            let place = written.run.as_deref().and_then(|run| first_word(run, None));
            report(found, command, &program, place);
        }
    }
}

fn report(
    found: &mut Found<'_>,
    command: &CommandSpec,
    program: &str,
    place: Option<Range<usize>>,
) {
    let shell = matches!(command.program, ProgramSpec::Script { .. });
    let what = if shell { "shell" } else { "program" };
    let (message, hint) = if program.contains('/') {
        let hint = "correct the path, or run after the task that makes it";
        (format!("there is no {what} `{program}`"), hint)
    } else {
        (format!("the {what} `{program}` is not in PATH"), "install it, or correct its name")
    };
    found.add(message, |it| it.at(place).hint(hint));
}

/// The program of a command, if it is known and not there. A path may be made by what comes before,
/// unless this is `first`.
fn missing(scene: &Scene<'_>, command: &CommandSpec, place: Place, first: bool) -> Option<String> {
    let program = match &command.program {
        ProgramSpec::Argv(words) => constant(words.first()?)?,
        ProgramSpec::Script { shell, .. } => shell.first()?,
    };
    if program.contains('/') && !first && !Path::new(program).is_absolute() {
        return None;
    }
    let dir = scene.job.origin.dir_of(place);
    let cwd = match &command.cwd {
        Some(cwd) => dir.join(constant(cwd)?),
        None => PathBuf::from(dir),
    };
    if !scene.machine.has_folder(&cwd) {
        return None;
    }
    // The last one counts.
    let common = &scene.job.environments[place.file as usize].env;
    let path = match common.iter().chain(&command.env).rev().find(|(name, _)| name == "PATH") {
        Some((_, path)) => Some(constant(path)?),
        None => None,
    };
    (!scene.machine.has_program(program, path, &cwd)).then(|| program.to_owned())
}

/// Where the first word of what a task runs is written, or the shell of its script.
fn place_of_program(task: &Task, defaults: Option<&Task>) -> Option<Range<usize>> {
    let run = task.run.as_deref().or_else(|| defaults?.run.as_deref())?;
    let shell = task.shell.as_deref().or_else(|| defaults?.shell.as_deref());
    first_word(run, shell.and_then(|shell| shell.first()))
}

fn first_word(run: &Spanned<Program>, shell: Option<&Spanned<String>>) -> Option<Range<usize>> {
    let first = match &run.value {
        Program::Argv(words) => words.first(),
        Program::Script(_) => shell,
    };
    first.map_or_else(|| run.range(), Spanned::range)
}

fn constant(text: &Template) -> Option<&str> {
    match text.constant()? {
        Value::Str(text) => Some(text),
        _ => None,
    }
}
