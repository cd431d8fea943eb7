//! Who asks, and how the API's headers carry it (`X-Registry-Auth`, `X-Registry-Config`).

use crate::Error;
use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE};
use base64::engine::{DecodePaddingMode, general_purpose};
use std::collections::BTreeMap;
use std::fmt;

/// Base64 with or without padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The server address that stands for Docker Hub.
pub(crate) const HUB: &str = "https://index.docker.io/v1/";

/// Who asks. The default is nobody.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Credentials {
    pub username: String,
    pub password: String,
    /// An OAuth2 refresh token that stands for the password.
    pub identity_token: String,
    /// A bearer token that is sent as it is.
    pub registry_token: String,
    pub server_address: String,
}

/// Secrets are not shown.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = |secret: &str| if secret.is_empty() { "none" } else { "hidden" };
        f.debug_struct("Credentials")
            .field("username", &self.username)
            .field("password", &hidden(&self.password))
            .field("identity_token", &hidden(&self.identity_token))
            .field("registry_token", &hidden(&self.registry_token))
            .field("server_address", &self.server_address)
            .finish()
    }
}

impl Credentials {
    /// What an `X-Registry-Auth` header says. An empty one, `null` and `{}` are nobody.
    pub fn from_header(header: &str) -> Result<Credentials, Error> {
        let wire: Option<Wire> = decode(header, "X-Registry-Auth")?;
        wire.unwrap_or_default().into_credentials("X-Registry-Auth")
    }

    /// The value of an `X-Registry-Auth` header.
    pub fn to_header(&self) -> String {
        URL_SAFE.encode(serde_json::json!(self.wire()).to_string())
    }

    fn wire(&self) -> Wire {
        Wire {
            username: self.username.clone(),
            password: self.password.clone(),
            auth: String::new(),
            identitytoken: self.identity_token.clone(),
            registrytoken: self.registry_token.clone(),
            serveraddress: self.server_address.clone(),
        }
    }

    /// Credentials by registry as an `X-Registry-Config` header.
    pub fn map_to_header(all: &BTreeMap<String, Credentials>) -> String {
        let wires: BTreeMap<&String, Wire> = all.iter().map(|(registry, one)| (registry, one.wire())).collect();
        URL_SAFE.encode(serde_json::json!(wires).to_string())
    }

    /// What an `X-Registry-Config` header says: credentials by registry.
    pub fn map_from_header(header: &str) -> Result<BTreeMap<String, Credentials>, Error> {
        let wires: Option<BTreeMap<String, Wire>> = decode(header, "X-Registry-Config")?;
        let named = |(registry, wire): (String, Wire)| {
            let mut credentials = wire.into_credentials("X-Registry-Config")?;
            if credentials.server_address.is_empty() {
                credentials.server_address.clone_from(&registry);
            }
            Ok((registry, credentials))
        };
        wires.unwrap_or_default().into_iter().map(named).collect()
    }

    /// Whether nobody asks.
    pub fn is_empty(&self) -> bool {
        self.username.is_empty() && self.password.is_empty() && !self.has_token()
    }

    fn has_token(&self) -> bool {
        !self.identity_token.is_empty() || !self.registry_token.is_empty()
    }
}

/// The header's JSON. Other keys (`email`) are ignored.
#[derive(Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
struct Wire {
    #[serde(skip_serializing_if = "String::is_empty")]
    username: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    password: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    auth: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    identitytoken: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    registrytoken: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    serveraddress: String,
}

impl Wire {
    fn into_credentials(self, header: &str) -> Result<Credentials, Error> {
        let (mut username, mut password) = (self.username, self.password);
        if username.is_empty() && !self.auth.is_empty() {
            (username, password) = split_auth(&self.auth).ok_or_else(|| {
                Error::Invalid(format!("invalid {header} header: auth is not base64 of user:password"))
            })?;
        }
        Ok(Credentials {
            username,
            password,
            identity_token: self.identitytoken,
            registry_token: self.registrytoken,
            server_address: self.serveraddress,
        })
    }
}

fn decode<T: serde::de::DeserializeOwned>(header: &str, name: &str) -> Result<Option<T>, Error> {
    let header = header.trim();
    if header.is_empty() || header == "null" {
        return Ok(None);
    }
    let bytes =
        decode_base64(header).ok_or_else(|| Error::Invalid(format!("invalid {name} header: it is not base64")))?;
    if bytes.is_empty() {
        return Ok(None);
    }
    // The words of serde_json may repeat a secret, so only the place of the mistake is told.
    serde_json::from_slice(&bytes).map_err(|error| {
        Error::Invalid(format!("invalid {name} header: no JSON as expected at column {}", error.column()))
    })
}

/// Base64 in the URL's or the standard alphabet, with or without padding.
pub(crate) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let text: String = text.trim().chars().map(standard_to_url).collect();
    LENIENT.decode(text).ok()
}

fn standard_to_url(letter: char) -> char {
    match letter {
        '+' => '-',
        '/' => '_',
        other => other,
    }
}

/// `auth` of a configuration: base64 of `user:password`.
pub(crate) fn split_auth(auth: &str) -> Option<(String, String)> {
    let text = String::from_utf8(decode_base64(auth)?).ok()?;
    let (username, password) = text.split_once(':')?;
    Some((username.to_owned(), password.trim_matches('\0').to_owned()))
}

/// The other way of [`split_auth`].
pub(crate) fn join_auth(username: &str, password: &str) -> String {
    general_purpose::STANDARD.encode(format!("{username}:{password}"))
}

/// The host that a server address means: `https://index.docker.io/v1/` is `index.docker.io`.
pub(crate) fn host_of(address: &str) -> &str {
    let address = address.strip_prefix("https://").or_else(|| address.strip_prefix("http://")).unwrap_or(address);
    address.split('/').next().unwrap_or(address)
}

/// Whether a host is one of Docker Hub's names.
pub(crate) fn is_hub(host: &str) -> bool {
    matches!(host, "docker.io" | "index.docker.io" | "registry-1.docker.io")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn somebody() -> Credentials {
        Credentials {
            username: "ann".into(),
            password: "s3cret?>~".into(),
            server_address: "localhost:5000".into(),
            ..Credentials::default()
        }
    }

    #[test]
    fn a_header_survives_the_way_there_and_back() {
        assert_eq!(Credentials::from_header(&somebody().to_header()).unwrap(), somebody());
    }

    #[test]
    fn padding_and_alphabet_do_not_matter() {
        let standard = general_purpose::STANDARD.encode(r#"{"username":"ann","password":"s3cret?>~","email":"a@b"}"#);
        for header in [standard.clone(), standard.trim_end_matches('=').to_owned()] {
            let read = Credentials::from_header(&header).unwrap();
            assert_eq!((read.username.as_str(), read.password.as_str()), ("ann", "s3cret?>~"));
        }
    }

    #[test]
    fn nobody_is_an_empty_header_null_or_an_empty_object() {
        for header in ["", "null", "e30=", "e30", "bnVsbA=="] {
            assert_eq!(Credentials::from_header(header).unwrap(), Credentials::default(), "{header}");
        }
    }

    #[test]
    fn auth_stands_for_user_and_password() {
        let auth = join_auth("ann", "pass:word");
        let read = Credentials::from_header(&URL_SAFE.encode(format!(r#"{{"auth":"{auth}"}}"#))).unwrap();
        assert_eq!((read.username.as_str(), read.password.as_str()), ("ann", "pass:word"));
    }

    #[test]
    fn a_broken_header_is_refused_without_telling_secrets() {
        for header in ["%%%", &URL_SAFE.encode(r#"{"password":["s3cret"]}"#), &URL_SAFE.encode(r#"{"auth":"YWFh"}"#)] {
            let error = Credentials::from_header(header).unwrap_err().to_string();
            assert!(error.starts_with("invalid X-Registry-Auth header"), "{error}");
            assert!(!error.contains("s3cret"));
        }
    }

    #[test]
    fn a_map_names_its_registries() {
        let header =
            URL_SAFE.encode(r#"{"reg:5000":{"username":"u","password":"p"},"docker.io":{"identitytoken":"t"}}"#);
        let map = Credentials::map_from_header(&header).unwrap();
        assert_eq!(map["reg:5000"].server_address, "reg:5000");
        assert_eq!(map["docker.io"].identity_token, "t");
        assert!(Credentials::map_from_header("").unwrap().is_empty());
    }

    #[test]
    fn debug_shows_no_secret() {
        assert!(!format!("{:?}", somebody()).contains("s3cret"));
    }
}
