//! Stories about: differential.
