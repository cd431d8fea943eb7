//! The same scenario on dockerd and on dhow, answers diffed.
