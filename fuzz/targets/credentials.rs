//! `X-Registry-Auth` and `X-Registry-Config`: refused, or read the same way when written out.
#![no_main]

use libfuzzer_sys::fuzz_target;
use registry::Credentials;

fn seeds() -> Vec<Vec<u8>> {
    let basic = Credentials { username: "u".into(), password: "p:ü".into(), ..Credentials::default() };
    let token = Credentials { identity_token: "t".into(), server_address: "https://r/v1/".into(), ..basic.clone() };
    // {"auth":"dTpw"} and {"r":{"auth":"dTpw"}}
    let texts =
        [basic.to_header(), token.to_header(), "eyJhdXRoIjoiZFRwdyJ9".into(), "eyJyIjp7ImF1dGgiOiJkVHB3In19".into()];
    texts.into_iter().map(String::into_bytes).collect()
}

fuzz_target!(init: fuzz::plant(&seeds()), |data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(credentials) = Credentials::from_header(text) {
        assert!(Credentials::from_header(&credentials.to_header()).is_ok_and(|again| again == credentials));
    }
    let _ = Credentials::map_from_header(text);
});
