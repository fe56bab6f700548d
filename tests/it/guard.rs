//! Stories about: guard.
