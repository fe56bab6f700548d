//! Stories about: conformance.
