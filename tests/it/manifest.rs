//! Stories about: manifest.
