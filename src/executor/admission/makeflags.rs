//! The jobserver in the text of `MAKEFLAGS`: found there, and put there. Knows nothing of tokens.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// Where a jobserver is to be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// A named pipe.
    Fifo(PathBuf),
    /// Two descriptors that were inherited: one to read tokens from, one to write them to.
    Pipe(u32, u32),
    /// What stands there instead.
    Unusable(String),
}

/// The jobserver that these flags name; the last counts, as it does for make.
pub(super) fn jobserver(flags: &OsStr) -> Option<Address> {
    let value = |word: &[u8]| {
        word.strip_prefix(b"--jobserver-auth=")
            .or_else(|| word.strip_prefix(b"--jobserver-fds="))
            .map(address)
    };
    options(flags).filter_map(value).last()
}

fn address(value: &[u8]) -> Address {
    if let Some(path) = value.strip_prefix(b"fifo:") {
        return Address::Fifo(OsStr::from_bytes(path).into());
    }
    let text = String::from_utf8_lossy(value);
    let pair = text.split_once(',').map(|(read, write)| (read.parse(), write.parse()));
    match pair {
        Some((Ok(read), Ok(write))) => Address::Pipe(read, write),
        // Negative numbers are make's way to say that this child shall not have it.
        _ => Address::Unusable(text.into_owned()),
    }
}

/// These flags with another jobserver, of so many jobs, in place of what they say of jobs.
pub(super) fn with_jobserver(flags: &OsStr, jobs: u32, address: &str) -> OsString {
    let about_jobs = |word: &&[u8]| word.starts_with(b"-j") || word.starts_with(b"--jobserver-");
    let mut merged = Vec::new();
    for word in options(flags).filter(|word| !about_jobs(word)) {
        merged.extend_from_slice(word);
        merged.push(b' ');
    }
    // Where nothing comes first, make writes a blank: without one it would take the first word for
    // letters of flags.
    if merged.is_empty() {
        merged.push(b' ');
    }
    merged.extend_from_slice(format!("-j{jobs} --jobserver-auth={address}").as_bytes());
    let variables = words(flags).skip_while(|word| *word != b"--");
    for word in variables {
        merged.push(b' ');
        merged.extend_from_slice(word);
    }
    OsString::from_vec(merged)
}

/// The words before the variables, which come after `--`.
fn options(flags: &OsStr) -> impl Iterator<Item = &[u8]> {
    words(flags).take_while(|word| *word != b"--").filter(|word| !word.is_empty())
}

fn words(flags: &OsStr) -> impl Iterator<Item = &[u8]> {
    flags.as_bytes().split(|byte| *byte == b' ')
}

#[cfg(test)]
mod tests {
    use super::{Address, jobserver, with_jobserver};
    use std::ffi::OsStr;

    #[test]
    fn the_last_jobserver_before_the_variables_is_found() {
        let found = |flags: &str| jobserver(OsStr::new(flags));
        assert_eq!(found(""), None);
        assert_eq!(found("ks -j"), None);
        assert_eq!(found(" -j3 --jobserver-auth=3,4"), Some(Address::Pipe(3, 4)));
        assert_eq!(found("k -j3 --jobserver-fds=5,6"), Some(Address::Pipe(5, 6)));
        assert_eq!(
            found(
                " --jobserver-auth=3,4 --jobserver-auth=fifo:/tmp/GMfifo1 -- A=--jobserver-auth=7,8"
            ),
            Some(Address::Fifo("/tmp/GMfifo1".into()))
        );
        for off in ["-2,-2", "3", "", "a,b"] {
            let flags = format!(" -j3 --jobserver-auth={off}");
            assert_eq!(found(&flags), Some(Address::Unusable(off.to_owned())));
        }
    }

    #[test]
    fn a_jobserver_takes_the_place_of_another_and_leaves_the_rest() {
        let with = |flags: &str| with_jobserver(OsStr::new(flags), 4, "8,9");
        assert_eq!(with(""), " -j4 --jobserver-auth=8,9");
        assert_eq!(with("ks"), "ks -j4 --jobserver-auth=8,9");
        assert_eq!(
            with("k -j3 --jobserver-auth=3,4 -l2 -- A=1\\ 2 B=-j5"),
            "k -l2 -j4 --jobserver-auth=8,9 -- A=1\\ 2 B=-j5"
        );
    }
}
