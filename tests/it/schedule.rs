//! Stories about: schedule.
