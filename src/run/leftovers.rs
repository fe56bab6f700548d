//! What tasks have left behind when a run ends: it is told of, asked to end, and killed. Knows nothing of
//! futures.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::executor::Backend;
use crate::guard::{Leftover, Remains};
use crate::mask::Masker;
use crate::work::Notice;

/// How long what is left behind may take to end when it is asked to.
const GRACE: Duration = Duration::from_secs(1);

/// How long nobody looks whether it has ended, which nobody tells.
const LOOK: Duration = Duration::from_millis(10);

/// How many processes a warning names.
const NAMED: usize = 5;

/// How many characters of a command are shown.
const SHOWN: usize = 200;

/// What is left, as it may be shown.
pub(super) fn list(remains: &Remains, masker: &Masker) -> Vec<Leftover> {
    let shown = |leftover: Leftover| Leftover {
        command: short(&masker.text(&leftover.command)),
        future: leftover.future.map(|future| masker.owned(future)),
        ..leftover
    };
    remains.list().into_iter().map(shown).collect()
}

fn short(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// What to say of it.
pub(super) fn warning(list: &[Leftover]) -> String {
    let count = list.len();
    let mut text = match count {
        1 => "1 process was left behind and is ended now".to_owned(),
        _ => format!("{count} processes were left behind and are ended now"),
    };
    for (place, leftover) in list.iter().take(NAMED).enumerate() {
        let Leftover { pid, command, future } = leftover;
        let between = if place == 0 { ": " } else { ", " };
        // Writing to a string cannot fail.
        let _ = write!(text, "{between}`{command}` (pid {pid}");
        let _ = match future {
            Some(future) => write!(text, ", of {future})"),
            None => write!(text, ")"),
        };
    }
    if count > NAMED {
        let _ = write!(text, " and {} more", count - NAMED);
    }
    text
}

/// Asks what is left to end, waits a short time, or until a signal shows that somebody is impatient, and
/// kills the rest.
pub(super) fn end(remains: &Remains, backend: &mut impl Backend, at_once: bool) {
    if !at_once {
        remains.terminate();
        let asked = Instant::now();
        while !remains.is_empty() && asked.elapsed() < GRACE {
            let next_look = backend.now().after(LOOK);
            if let Some(Notice::Signal(_)) = backend.next(Some(next_look)) {
                break;
            }
        }
    }
    if !remains.is_empty() {
        remains.kill();
    }
}
