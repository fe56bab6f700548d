//! Stories about: docs.
