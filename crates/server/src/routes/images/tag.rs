//! `POST /images/{name}/tag`

use super::name;
use crate::app::App;
use crate::query::Query;
use crate::status::{Answer, Refusal};
use axum::response::IntoResponse;
use http::StatusCode;

pub async fn post(app: &App, source: &str, query: &Query) -> Answer {
    let source = name(source);
    let target = target(query.get("repo"), query.get("tag"))?;
    app.blocking(move |engine| engine.image_tag(&source, &target)).await?;
    Ok(StatusCode::CREATED.into_response())
}

/// A repository and a tag as one name; `latest` unless told.
pub fn target(repository: &str, tag: &str) -> Result<String, Refusal> {
    if repository.is_empty() {
        return Err(Refusal::invalid("invalid reference format"));
    }
    Ok(if tag.is_empty() { repository.to_owned() } else { format!("{repository}:{tag}") })
}
