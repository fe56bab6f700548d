//! A backend under a virtual clock: nothing runs, everything ends when the script says so.
