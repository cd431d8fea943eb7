//! `GET /images/{name}/json` and `GET /images/{name}/history`

use super::name;
use crate::app::App;
use crate::present;
use crate::status::{self, Answer};
use crate::version::ApiVersion;
use http::StatusCode;

pub async fn get(app: &App, asked: &str, version: ApiVersion) -> Answer {
    let asked = name(asked);
    let image = app.blocking(move |engine| engine.image(&asked)).await?;
    Ok(status::json(StatusCode::OK, &present::image::inspect(&image, !version.has(44))))
}

pub async fn history(app: &App, asked: &str) -> Answer {
    let asked = name(asked);
    let image = app.blocking(move |engine| engine.image(&asked)).await?;
    Ok(status::json(StatusCode::OK, &present::image::history(&image)))
}
