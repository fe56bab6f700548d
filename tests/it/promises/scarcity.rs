//! Promises about a system that is short of something.
