//! `WWW-Authenticate`, as a hostile registry may send it.
#![no_main]

use http::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use libfuzzer_sys::fuzz_target;

#[allow(dead_code)]
#[path = "../../crates/registry/src/challenge.rs"]
mod challenge;

fn seeds() -> Vec<Vec<u8>> {
    let lines: [&[u8]; 3] = [
        br#"Bearer realm="https://auth/token",service="registry",scope="repository:a/b:pull,push",error="invalid_token""#,
        br#"Basic realm="a \"b\"", Negotiate abc==, Bearer realm=x"#,
        b"Basic\nBearer realm=\"\xff\"",
    ];
    lines.iter().map(|line| line.to_vec()).collect()
}

fuzz_target!(init: fuzz::plant(&seeds()), |data: &[u8]| {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(WWW_AUTHENTICATE, value);
        }
    }
    let challenges = challenge::Challenges::of(&headers);
    let _ = (challenges.is_empty(), challenges.bearer(), challenges.bearer_error(), challenges.has_basic());
});
