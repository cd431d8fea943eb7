//! Containers made without a keeper, on the real kernel and as root. Every test leaves nothing behind.

mod bundle;
mod execs;
mod gates;
mod hooks;
mod listeners;
mod rootless;
mod seals;
#[path = "../containers/suite.rs"]
mod suite;
#[path = "../containers/world.rs"]
mod world;

use bundle::Bundle;
use std::process::ExitCode;

type Test = (&'static str, fn(&Bundle));

fn main() -> ExitCode {
    if std::env::args().next().as_deref() == Some(runtime::ZYGOTE) {
        return runtime::zygote_main();
    }
    if let Some(code) = seals::other_face() {
        return code;
    }
    let all = [gates::TESTS, hooks::TESTS, execs::TESTS, listeners::TESTS, rootless::TESTS, seals::TESTS].concat();
    suite::run(&all, Bundle::new)
}
