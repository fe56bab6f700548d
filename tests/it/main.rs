//! The tests: stories told through the public interface.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop where it stands")]

mod admission;
mod agreement;
mod bind;
mod bombs;
mod bounds;
mod builtins;
mod callbacks;
mod cases;
mod check;
mod cli;
mod compile;
mod conformance;
mod console;
mod dataflow;
mod differential;
mod docs;
mod embed;
mod executors;
mod expansion;
mod faults;
mod files;
mod filter;
mod formats;
mod guard;
mod inbox;
mod include;
mod lint;
mod manifest;
mod models;
mod promises;
mod reports;
mod schedule;
mod secrets;
mod story;
mod strings;
mod supervise;
mod template;
mod tidy;
mod told;
mod workloads;
