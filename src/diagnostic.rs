//! Faults of a text: where, what is wrong, what to do; and how they are shown.
