//! The project's own tools: tidy, test, bench.
fn main() {}
