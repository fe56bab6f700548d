//! Newline-delimited JSON events.
