//! What a new process is made of. Knows nothing of how it is started.

use std::ffi::{CStr, c_char};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::ptr;

use rustix::process::{Resource, Rlimit};

/// What a new process is made of. It gets a process group of its own, an empty signal mask, SIGPIPE as
/// programs expect it, and of our descriptors those that are not closed on exec. It is killed when the
/// thread that started it ends.
#[derive(Debug)]
pub struct Image<'a> {
    /// The path of the program.
    pub program: &'a CStr,
    /// Its arguments, of which the first is its name.
    pub args: &'a Strings,
    /// Its whole environment.
    pub env: &'a Strings,
    /// Where it runs; here, if not said.
    pub cwd: Option<&'a CStr>,
    /// Its standard input, output and error.
    pub streams: [BorrowedFd<'a>; 3],
    /// Descriptors that it inherits, under the numbers that they have here, even if they are closed on
    /// exec. None of them is a standard stream.
    pub inherits: &'a [OwnedFd],
    /// What it may not exceed, in the order in which it is applied.
    pub limits: &'a [Limit<'a>],
}

/// Something that holds for a process from before it is a program, and for all that it starts.
#[derive(Clone, Copy, Debug)]
pub enum Limit<'a> {
    /// A resource that the system counts for each process.
    Resource(Resource, Rlimit),
    /// So much is added to its niceness.
    Nice(i32),
    /// It joins the cgroup whose open `cgroup.procs` this is.
    Join(BorrowedFd<'a>),
}

/// Strings as the system takes them: one after the other, each ended by a NUL byte.
#[derive(Clone, Debug, Default)]
pub struct Strings {
    bytes: Vec<u8>,
    starts: Vec<usize>,
}

impl Strings {
    /// Adds a string that is made of these parts.
    ///
    /// # Errors
    /// When it contains a NUL byte; then it is not added.
    pub fn push(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        if parts.iter().any(|part| part.contains(&0)) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a NUL byte within a string"));
        }
        self.starts.push(self.bytes.len());
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        self.bytes.push(0);
        Ok(())
    }

    /// Takes all strings out.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.starts.clear();
    }

    /// Pointers to all strings, and the null that ends them.
    pub(super) fn pointers(&self) -> Vec<*const c_char> {
        let each = self.starts.iter().map(|start| self.bytes[*start..].as_ptr().cast());
        each.chain([ptr::null()]).collect()
    }
}

/// Why a process could not be started.
#[derive(Debug)]
pub struct Refused {
    /// What could not be done.
    pub step: Step,
    /// Why, as the system says it.
    pub error: io::Error,
}

/// What is done to start a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// What it is made of is brought together, and it is started.
    Start,
    /// It goes to its working directory.
    Directory,
    /// It is given the limit of this number in [`Image::limits`].
    Limit(usize),
    /// It becomes the program.
    Program,
}

/// What fails before there is a process.
impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self { step: Step::Start, error }
    }
}
