//! Stories about: template.
