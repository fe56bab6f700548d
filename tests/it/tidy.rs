//! Stories about: tidy.
