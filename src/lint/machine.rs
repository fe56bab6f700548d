//! What rules ask of a machine, and the machine that this runs on. It is asked, never changed.

use std::env;
use std::ffi::OsString;
use std::path::Path;

use crate::supervise;

/// What can be asked of a machine.
pub trait Machine {
    /// Whether a child in `cwd` would find this program; `path` is its own `PATH`, if it has one.
    fn has_program(&self, program: &str, path: Option<&str>, cwd: &Path) -> bool;

    /// Whether there is a folder at this path.
    fn has_folder(&self, path: &Path) -> bool;
}

/// The machine that this runs on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Here;

impl Machine for Here {
    fn has_program(&self, program: &str, path: Option<&str>, cwd: &Path) -> bool {
        let path = path.map(OsString::from).or_else(|| env::var_os("PATH"));
        supervise::has_program(program.as_ref(), path.as_deref(), cwd)
    }

    fn has_folder(&self, path: &Path) -> bool {
        path.is_dir()
    }
}
