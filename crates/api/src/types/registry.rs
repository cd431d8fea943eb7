//! Registries: who asks, what a login, a search and a look bring.

use serde::{Deserialize, Serialize};

/// The body of `POST /auth`, and of the header `X-Registry-Auth` (there in base64).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", default)]
pub struct AuthConfig {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub username: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub password: String,
    /// `user:password` in base64, in the place of both.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub auth: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub email: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub serveraddress: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub identitytoken: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub registrytoken: String,
}

/// One hit of `GET /images/search`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SearchResult {
    pub star_count: u64,
    pub is_official: bool,
    pub name: String,
    pub is_automated: bool,
    pub description: String,
}

wire! {
    /// What `POST /auth` answers.
    pub struct AuthResponse {
        pub identity_token: String,
        pub status: String,
    }

    /// `GET /distribution/{name}/json`
    pub struct DistributionInspect {
        pub descriptor: WireDescriptor,
        pub platforms: Vec<WirePlatform>,
    }
}

/// Points at a manifest or an index.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WireDescriptor {
    pub media_type: String,
    pub digest: String,
    /// Bytes.
    pub size: u64,
}

/// A machine that an image is for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WirePlatform {
    pub architecture: String,
    pub os: String,
    #[serde(rename = "os.version", skip_serializing_if = "String::is_empty")]
    pub os_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub variant: String,
}
