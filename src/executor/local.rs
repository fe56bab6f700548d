//! The backend of a real run: the clock, the executors of this machine, the channel.
