//! Stories about: supervise.
