//! Containers on the real kernel, as root, from a keeper of one thread. Every test leaves nothing behind.

mod attacks;
mod basics;
mod bundles;
mod failures;
mod joins;
mod suite;
mod world;

use std::process::ExitCode;
use world::World;

type Test = (&'static str, fn(&World));

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).peekable();
    if arguments.next_if(|argument| argument == "--tiny-init").is_some() {
        return runtime::init_main(arguments);
    }
    suite::run(&[basics::TESTS, failures::TESTS, attacks::TESTS, joins::TESTS, bundles::TESTS].concat(), World::new)
}
