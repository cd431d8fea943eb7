//! Looks at argv0 and the first word, calls one crate, maps the result to an exit code.
fn main() {}
