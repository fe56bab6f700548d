//! Stories about: cli.
