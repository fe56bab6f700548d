//! Stories about: builtins.
