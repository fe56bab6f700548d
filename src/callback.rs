//! The queue of callbacks and who does them. Knows nothing of the schedule.
