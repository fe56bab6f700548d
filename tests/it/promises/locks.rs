//! Promises about two runs at once, and the files of a run.

mod files;
mod turns;
