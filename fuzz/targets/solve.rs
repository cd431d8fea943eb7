//! What a client of BuildKit's protocol asks for: understood or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: fuzz::plant(&buildkit::fixture::seeds()), |data: &[u8]| {
    buildkit::fixture::solve(data);
});
