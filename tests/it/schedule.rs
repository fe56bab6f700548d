//! Stories about the schedule: what starts, stops and returns when, told under a virtual clock.

mod checker;
mod driver;
mod makespan;
mod random;
mod sim;
mod stories;
