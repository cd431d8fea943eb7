//! Who asks a registry: the header `X-Registry-Auth`, and the body of a login.

use api::types::AuthConfig;
use http::HeaderMap;
use registry::Credentials;

/// The credentials of a request. As for Docker, a header that cannot be read is nobody's.
pub fn of_headers(headers: &HeaderMap) -> Credentials {
    let text = headers.get("x-registry-auth").and_then(|value| value.to_str().ok()).unwrap_or_default();
    Credentials::from_header(text).unwrap_or_else(|error| {
        tracing::debug!("{}", base::chain(&error));
        Credentials::default()
    })
}

pub fn of_config(config: AuthConfig) -> Credentials {
    Credentials {
        username: config.username,
        password: config.password,
        identity_token: config.identitytoken,
        registry_token: config.registrytoken,
        server_address: config.serveraddress,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(value: &str) -> Credentials {
        let mut headers = HeaderMap::new();
        headers.insert("X-Registry-Auth", value.parse().expect("a header"));
        of_headers(&headers)
    }

    #[test]
    fn a_header_is_read() {
        let me = Credentials { username: "me".into(), password: "p?>~~".into(), ..Credentials::default() };
        assert_eq!(asked(&me.to_header()), me);
    }

    #[test]
    fn what_cannot_be_read_is_nobody() {
        for text in ["", "e30=", "%%%", "bm9uc2Vuc2U=", "bnVsbA=="] {
            assert_eq!(asked(text), Credentials::default(), "{text:?}");
        }
        assert_eq!(of_headers(&HeaderMap::new()), Credentials::default());
    }

    #[test]
    fn a_login_names_its_registry() {
        let config: AuthConfig =
            serde_json::from_str(r#"{"username":"me","password":"x","serveraddress":"r.example"}"#).expect("json");
        let who = of_config(config);
        assert_eq!((who.username.as_str(), who.server_address.as_str()), ("me", "r.example"));
    }
}
