//! `GET /version`

use crate::app::App;
use crate::status::{self, Answer, Refusal};
use api::types::{Component, MAX_VERSION, Platform, Texts, Version};
use axum::extract::State;
use http::StatusCode;

/// This program's own version.
pub const OWN: &str = env!("CARGO_PKG_VERSION");

pub async fn get(State(app): State<App>) -> Answer {
    let kernel = app.blocking(|engine| Ok::<_, Refusal>(engine.info().kernel)).await?;
    Ok(status::json(StatusCode::OK, &of(kernel, app.options().experimental)))
}

fn of(kernel: String, experimental: bool) -> Version {
    let oldest = crate::version::oldest().to_string();
    let details = [
        ("ApiVersion", MAX_VERSION),
        ("Arch", architecture()),
        ("BuildTime", ""),
        ("Experimental", if experimental { "true" } else { "false" }),
        ("GitCommit", ""),
        ("GoVersion", ""),
        ("KernelVersion", &kernel),
        ("MinAPIVersion", &oldest),
        ("Os", "linux"),
    ];
    let details: Texts = details.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Version {
        platform: Platform { name: "Dhow".to_owned() },
        components: vec![Component { name: "Engine".to_owned(), version: OWN.to_owned(), details }],
        version: OWN.to_owned(),
        api_version: MAX_VERSION.to_owned(),
        min_api_version: oldest.clone(),
        os: "linux".to_owned(),
        arch: architecture().to_owned(),
        kernel_version: kernel,
        experimental,
        ..Version::default()
    }
}

/// The machine, in Go's words.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_has_the_fields_that_clients_read() {
        let answer = serde_json::to_value(of("6.18.0".into(), false)).expect("json");
        let experimental = serde_json::to_value(of("6.18.0".into(), true)).expect("json");
        assert_eq!((&answer["Experimental"], &experimental["Experimental"]), (&serde_json::Value::Null, &true.into()));
        assert_eq!(experimental["Components"][0]["Details"]["Experimental"], "true");
        assert_eq!(answer["ApiVersion"], "1.51");
        assert_eq!(answer["MinAPIVersion"], "1.24");
        assert_eq!(answer["Components"][0]["Name"], "Engine");
        assert_eq!(answer["Components"][0]["Details"]["MinAPIVersion"], "1.24");
        assert_eq!(answer["KernelVersion"], "6.18.0");
        assert_eq!(answer["Platform"]["Name"], "Dhow");
    }
}
