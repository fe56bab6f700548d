//! Stories about: compile.
