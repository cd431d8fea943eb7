//! `GET /images/{name}/get` and `GET /images/get`: images as one archive.

use super::name;
use crate::app::App;
use crate::query::Query;
use crate::status::{Answer, Refusal};
use crate::stream::begun;

pub async fn one(app: &App, asked: &str, query: &Query) -> Answer {
    save(app, vec![name(asked)], query).await
}

pub async fn many(app: &App, query: &Query) -> Answer {
    save(app, query.all("names").filter(|name| !name.is_empty()).map(name).collect(), query).await
}

async fn save(app: &App, names: Vec<String>, query: &Query) -> Answer {
    let platform = super::platform(query)?;
    let work = move |engine: &engine::Engine, sink: &mut begun::Sink| {
        engine.image_save(&names, platform.as_ref(), sink).map_err(Refusal::from)
    };
    begun::archive(app, "application/x-tar", work).await
}
