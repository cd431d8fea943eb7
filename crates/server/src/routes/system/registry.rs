//! `POST /auth` and `GET /distribution/{name}/json`: what is asked of a registry without an image.

use crate::app::App;
use crate::auth;
use crate::status::{self, Answer, Refusal};
use crate::stream::begun::Client;
use crate::words;
use api::types::{AuthConfig, AuthResponse, DistributionInspect, WireDescriptor, WirePlatform};
use axum::extract::{Path, State};
use bytes::Bytes;
use engine::Distribution;
use http::{HeaderMap, StatusCode};
use image::Reference;

pub async fn login(State(app): State<App>, body: Bytes) -> Answer {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(Refusal::internal("EOF"));
    }
    let asked: AuthConfig = crate::routes::json_body(&body)?;
    let (client, credentials) = (Client::default(), auth::of_config(asked));
    let cancel = client.cancel();
    let work = move |engine: &engine::Engine| engine.login(&credentials, &cancel).map_err(words::of_login);
    let login = app.blocking(work).await?;
    drop(client);
    let answer = AuthResponse { identity_token: login.identity_token, status: login.status };
    Ok(status::json(StatusCode::OK, &answer))
}

pub async fn distribution(State(app): State<App>, Path(rest): Path<String>, headers: HeaderMap) -> Answer {
    let Some(name) = rest.strip_suffix("/json") else { return Err(Refusal::not_found("page not found")) };
    let name = Reference::parse(name.trim_matches('/')).map_err(|e| Refusal::invalid(base::chain(&e)))?.or_latest();
    let (client, credentials) = (Client::default(), auth::of_headers(&headers));
    let cancel = client.cancel();
    let work = move |engine: &engine::Engine| {
        engine.distribution(&name, &credentials, &cancel).map_err(words::of_distribution)
    };
    let found = app.blocking(work).await?;
    drop(client);
    Ok(status::json(StatusCode::OK, &shown(found)))
}

fn shown(found: Distribution) -> DistributionInspect {
    let descriptor = WireDescriptor {
        media_type: found.descriptor.media_type,
        digest: found.descriptor.digest.to_string(),
        size: found.descriptor.size,
    };
    let platform = |platform: oci::image::Platform| WirePlatform {
        architecture: platform.architecture,
        os: platform.os,
        os_version: platform.os_version.unwrap_or_default(),
        variant: platform.variant.unwrap_or_default(),
    };
    DistributionInspect { descriptor, platforms: found.platforms.into_iter().map(platform).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_has_dockers_shape() {
        let digest: base::Digest = format!("sha256:{}", "8".repeat(64)).parse().expect("a digest");
        let found = Distribution {
            descriptor: oci::image::Descriptor {
                media_type: "m".into(),
                digest,
                size: 527,
                annotations: Default::default(),
                platform: None,
            },
            platforms: vec![oci::image::Platform {
                architecture: "amd64".into(),
                os: "linux".into(),
                ..Default::default()
            }],
        };
        assert_eq!(
            serde_json::to_string(&shown(found)).expect("json"),
            format!(
                r#"{{"Descriptor":{{"mediaType":"m","digest":"{digest}","size":527}},"Platforms":[{{"architecture":"amd64","os":"linux"}}]}}"#
            )
        );
        let login = AuthResponse { identity_token: String::new(), status: "Login Succeeded".into() };
        assert_eq!(serde_json::to_string(&login).expect("json"), r#"{"IdentityToken":"","Status":"Login Succeeded"}"#);
    }
}
