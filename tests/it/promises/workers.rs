//! Promises about worker processes that misbehave.
