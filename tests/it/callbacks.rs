//! Stories about: callbacks.
