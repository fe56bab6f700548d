//! Stories about: embed.
