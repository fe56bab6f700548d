//! Stories about: faults.
