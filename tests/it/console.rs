//! Stories about: console.
