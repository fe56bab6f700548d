//! Stories about: executors.
