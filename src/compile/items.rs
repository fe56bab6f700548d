//! The items of a group: what a `map` or a `matrix` says together.

use std::collections::HashSet;

use crate::compile::context::Context;
use crate::compile::flow;
use crate::compile::names::title;
use crate::compile::sources;
use crate::compile::templates::Scope;
use crate::diagnostic::{Diagnostic, did_you_mean};
use crate::graph::MAX_FUTURES;
use crate::job::{self, Items};
use crate::manifest::{Entries, MapSource, Matrix, Spanned, Task};
use crate::template::Template;
use crate::value::Value;

/// A matrix has at most so many axes. With two values each, far fewer make too many futures.
const MAX_AXES: usize = 1000;

/// The items of a task, and what yields them if only a run knows them. No items if it is no group, or,
/// after a fault, if there can be none.
pub(super) fn compile(
    context: &mut Context<'_>,
    task: &Task,
    scope: Scope<'_>,
) -> (Option<Items>, Option<Template>) {
    if refuse_several(context, task) {
        return (None, None);
    }
    match (task.map.as_deref(), &task.matrix, &task.each) {
        (Some(map), ..) => match &map.value {
            MapSource::Template(text) => {
                let text = Spanned { value: text.clone(), span: map.span, key: map.key };
                let (items, expansion) = flow::items(context, &text, scope).unzip();
                (items, expansion.flatten())
            }
            _ => (sources::items(context, "this `map`", map), None),
        },
        (None, Some(matrix), _) => (self::matrix(context, matrix), None),
        (None, None, Some(_)) => (Some(Items::Each), None),
        (None, None, None) => (None, None),
    }
}

/// Says which of the keys that make a group a task has beside another one.
fn refuse_several(context: &mut Context<'_>, task: &Task) -> bool {
    let keys = [
        ("map", task.map.as_deref().map(Spanned::entry)),
        ("matrix", task.matrix.as_deref().map(Spanned::entry)),
        ("each", task.each.as_deref().map(Spanned::entry)),
    ];
    let given: Vec<_> = keys.into_iter().filter_map(|(key, at)| Some((key, at?))).collect();
    let [(first, place), (second, other), ..] = given.as_slice() else { return false };
    let message = format!("{} has both `{first}` and `{second}`", title(task));
    let hint = match *second {
        "matrix" => "keep one of them; a list can be an axis of the matrix",
        _ => "keep one of them: `each` has as many futures as the task that it follows",
    };
    let fault = Diagnostic::error("both-groups", message)
        .at(other.clone())
        .hint(hint)
        .note(place.clone(), "the other one");
    context.fault(fault);
    true
}

/// The combinations of a matrix.
fn matrix(context: &mut Context<'_>, matrix: &Spanned<Matrix>) -> Option<Items> {
    let names = matrix.names();
    if refuse_axes(context, matrix, &names) {
        return None;
    }
    let axes: Vec<_> = names.iter().map(|name| axis(context, matrix, name)).collect();
    let included: Vec<_> =
        matrix.include.iter().map(|given| whole(context, matrix, &names, given)).collect();
    let mut known = true;
    for given in &matrix.exclude {
        known &= partial(context, matrix, &names, given) && !is_all(context, given);
    }
    let axes: Vec<(String, Items)> = axes.into_iter().collect::<Option<_>>()?;
    let included: Vec<Vec<Value>> = included.into_iter().collect::<Option<_>>()?;
    let readable = known && matrix.axes.broken.is_empty();
    if !readable || !few_enough(context, matrix, &axes, included.len()) {
        return None;
    }
    let excluded = left_out(context, matrix, &axes);
    job::Matrix::new(axes, &excluded, included).map(Items::Matrix)
}

/// Says what is wrong with the names of the axes, if anything is.
fn refuse_axes(context: &mut Context<'_>, matrix: &Spanned<Matrix>, names: &[&str]) -> bool {
    let count = names.len();
    // Only a program can name one twice; a text cannot.
    let distinct = names.iter().collect::<HashSet<_>>().len();
    let message = match count {
        0 if matrix.axes.broken.is_empty() => "this `matrix` has no axes".to_owned(),
        _ if count > MAX_AXES => format!("this `matrix` has {count} axes; the most are {MAX_AXES}"),
        _ if count > distinct => "this `matrix` has two axes of the same name".to_owned(),
        _ => return false,
    };
    let fault = Diagnostic::error("wrong-axes", message)
        .at(matrix.range())
        .hint("write lists by name, such as { os = [\"linux\", \"mac\"], version = [1, 2] }");
    context.fault(fault);
    true
}

/// An axis of that name; without values if only `include` names it.
fn axis(context: &mut Context<'_>, matrix: &Matrix, name: &str) -> Option<(String, Items)> {
    let items = match matrix.axes.get(name) {
        Some(values) => sources::items(context, &format!("the axis `{name}`"), values)?,
        None => Items::List(Vec::new()),
    };
    Some((name.to_owned(), items))
}

/// A whole combination: a value for each axis, in their order.
fn whole(
    context: &mut Context<'_>,
    matrix: &Matrix,
    names: &[&str],
    given: &Spanned<Entries<Value>>,
) -> Option<Vec<Value>> {
    let known = partial(context, matrix, names, given);
    let values: Vec<_> = names.iter().map(|name| given.get(name)).collect();
    for (name, value) in names.iter().zip(&values) {
        if value.is_none() {
            let message = format!("this combination has no `{name}`");
            let fault = Diagnostic::error("missing-axis", message)
                .at(given.range())
                .hint(format!("give a value for every axis: {}", listed(names)));
            context.fault(fault);
        }
    }
    let values: Option<Vec<Value>> =
        values.into_iter().map(|value| value.map(|value| value.value.clone())).collect();
    values.filter(|_| known)
}

/// Whether a combination has no axis but those of the matrix; says which if it has.
fn partial(
    context: &mut Context<'_>,
    matrix: &Matrix,
    names: &[&str],
    given: &Spanned<Entries<Value>>,
) -> bool {
    let mut known = true;
    for (name, value) in given.iter() {
        // An axis that could not be read is not to be missed as well.
        if names.contains(&name) || matrix.axes.broken.iter().any(|broken| broken == name) {
            continue;
        }
        known = false;
        let hint = did_you_mean(name, names.iter().copied())
            .unwrap_or_else(|| format!("the axes are: {}", listed(names)));
        let message = format!("this matrix has no axis `{name}`");
        let fault = Diagnostic::error("unknown-axis", message).at(value.key_range()).hint(hint);
        context.fault(fault);
    }
    known
}

/// Whether what is left out is everything, for it names no axis; says it if it does.
fn is_all(context: &mut Context<'_>, given: &Spanned<Entries<Value>>) -> bool {
    let all = given.iter().len() == 0;
    if all {
        let fault = Diagnostic::error("wrong-value", "this leaves every combination out")
            .at(given.range())
            .hint("name the values to leave out, such as { os = \"mac\" }");
        context.fault(fault);
    }
    all
}

/// Names for a message, the first ones of many.
fn listed(names: &[&str]) -> String {
    const MOST: usize = 12;
    let more = if names.len() > MOST { ", …" } else { "" };
    let first: Vec<_> = names.iter().take(MOST).map(|name| format!("`{name}`")).collect();
    first.join(", ") + more
}

/// Whether there are not too many combinations, be it that some are left out; says it if there are.
fn few_enough(
    context: &mut Context<'_>,
    matrix: &Spanned<Matrix>,
    axes: &[(String, Items)],
    included: usize,
) -> bool {
    let lengths = || axes.iter().map(|(_, values)| values.len());
    let count = job::product(lengths());
    if count.is_some_and(|count| count + included as u128 <= u128::from(MAX_FUTURES)) {
        return true;
    }
    let count = count.map_or_else(
        || {
            let digits: f64 = lengths().map(|length| (length as f64).log10()).sum();
            format!("about 10^{digits:.0}")
        },
        |count| count.to_string(),
    );
    let what = format!("this `matrix` has {count} combinations");
    context.fault(sources::too_many(&what, matrix.range()));
    false
}

/// For each combination of the axes whether it is left out; nothing if none is.
fn left_out(context: &mut Context<'_>, matrix: &Matrix, axes: &[(String, Items)]) -> Vec<bool> {
    let mut gone = Vec::new();
    for given in &matrix.exclude {
        let places = places(axes, given);
        if places.is_empty() && given.names().all(|name| is_written(matrix, name)) {
            let fault = Diagnostic::warning("no-effect", "no combination has these values")
                .at(given.range())
                .hint("correct a value, or leave this out of `exclude`");
            context.fault(fault);
        }
        for place in places {
            let place = place as usize;
            if gone.len() <= place {
                gone.resize(place + 1, false);
            }
            gone[place] = true;
        }
    }
    gone
}

/// Whether the values of an axis are in the manifest itself, so that they are what they will be.
fn is_written(matrix: &Matrix, name: &str) -> bool {
    let source = matrix.axes.get(name).map(|axis| &axis.value);
    matches!(source, Some(MapSource::List(_) | MapSource::Range { .. }))
}

/// The places of the combinations that have all these values. There are not more of them than a job
/// has futures.
fn places(axes: &[(String, Items)], given: &Entries<Value>) -> Vec<u32> {
    let mut places = vec![0];
    for (name, values) in axes {
        let len = values.len() as u32;
        let wanted: Vec<u32> = match given.get(name) {
            Some(value) => values.positions(value),
            None => (0..len).collect(),
        };
        places = places
            .iter()
            .flat_map(|place| wanted.iter().map(move |position| place * len + position))
            .collect();
    }
    places
}
