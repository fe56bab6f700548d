//! The random cases of `tests/it/models` alone, which can be built and run optimized in little time:
//! `JOBRUN_TEST_CASES=200000 cargo test --profile model --test model`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop where it stands")]

#[path = "it/models/mod.rs"]
mod models;
