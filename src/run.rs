//! The driver: one thread, one loop. Feeds notices to the schedule, carries its actions out, writes the ledger, sends events.
