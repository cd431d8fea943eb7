//! `POST /containers/create`

use crate::app::App;
use crate::present;
use crate::query::Query;
use crate::routes::system::architecture;
use crate::status::{self, Answer, Refusal};
use crate::translate::{self, Around, Asked, Neighbour};
use crate::version::ApiVersion;
use api::types::{CreateRequest, CreateResponse};
use axum::extract::State;
use bytes::Bytes;
use engine::Engine;
use http::StatusCode;
use rustix::fs::{FileType, stat};
use std::path::Path;

pub async fn post(State(app): State<App>, version: ApiVersion, query: Query, body: Bytes) -> Answer {
    let answer = app.blocking(move |engine| create(engine, &query, version, &body)).await?;
    Ok(status::json(StatusCode::CREATED, &answer))
}

fn create(engine: &Engine, query: &Query, version: ApiVersion, body: &[u8]) -> Result<CreateResponse, Refusal> {
    let invalid = |error: serde_json::Error| Refusal::invalid(format!("invalid JSON: {error}"));
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(Refusal::invalid("config cannot be empty in order to create a container"));
    }
    let request: CreateRequest = serde_json::from_slice(body).map_err(invalid)?;
    if let Some(platform) = query.text("platform") {
        check_platform(platform, &request.config.image)?;
    }
    let mut meant = translate::meant(Asked { request: &request, version }, &Host(engine))?;
    meant.config.asked = present::kept(serde_json::from_slice(body).map_err(invalid)?);
    let created = engine.create(query.text("name"), meant.config)?;
    let warnings = meant.warnings.into_iter().chain(created.warnings).collect();
    Ok(CreateResponse { id: created.id.to_string(), warnings })
}

/// Only this machine's platform can run here.
fn check_platform(platform: &str, image: &str) -> Result<(), Refusal> {
    let mut parts = platform.split('/');
    let (first, second) = (parts.next().unwrap_or_default(), parts.next());
    let (os, machine) = match second {
        Some(machine) => (first, machine),
        None if first == "linux" => (first, architecture()),
        None => ("linux", first),
    };
    let machine = match machine {
        "x86_64" | "x86-64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    if os == "linux" && machine == architecture() {
        return Ok(());
    }
    Err(Refusal::invalid(format!(
        "image with reference {image} was found but its platform (linux/{}) does not match the specified platform ({os}/{machine})",
        architecture()
    )))
}

/// This machine and its containers.
struct Host<'a>(&'a Engine);

impl Around for Host<'_> {
    fn processors(&self) -> usize {
        std::thread::available_parallelism().map_or(1, Into::into)
    }

    fn limits(&self) -> bool {
        self.0.has_limits()
    }

    /// One that is not there is a wrong request: a client takes 404 at creation for a missing image, and would pull it.
    fn neighbour(&self, name: &str) -> Result<Neighbour, Refusal> {
        let snapshot =
            self.0.inspect(name).map_err(|error| Refusal { status: StatusCode::BAD_REQUEST, ..error.into() })?;
        Ok(Neighbour { id: snapshot.container.id.to_string(), mounts: snapshot.container.mounts.clone() })
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    fn device(&self, path: &str) -> Result<(i64, i64), Refusal> {
        let data = stat(path).map_err(|error| Refusal::invalid(format!("stat {path}: {error}")))?;
        if FileType::from_raw_mode(data.st_mode) != FileType::BlockDevice {
            return Err(Refusal::invalid(format!("{path} is not a block device")));
        }
        Ok((i64::from(rustix::fs::major(data.st_rdev)), i64::from(rustix::fs::minor(data.st_rdev))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machines_platform_is_taken() {
        let check = |text: &str| check_platform(text, "busybox");
        assert!(check(&format!("linux/{}", architecture())).is_ok());
        assert!(check("linux").is_ok());
        assert!(check("windows/amd64").is_err());
        assert!(check("linux/s390x").is_err());
    }
}
