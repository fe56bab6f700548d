//! Stories about: reports.
