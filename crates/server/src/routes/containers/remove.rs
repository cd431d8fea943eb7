//! `DELETE /containers/{id}`

use crate::app::App;
use crate::query::Query;
use crate::status::{Answer, Refusal, no_content};
use axum::extract::{Path, State};
use engine::Removal;

pub async fn delete(State(app): State<App>, Path(id): Path<String>, query: Query) -> Answer {
    if query.flag("link") {
        return Err(Refusal::unsupported("links between containers are not supported by this engine yet"));
    }
    let removal = Removal { force: query.flag("force"), volumes: query.flag("v") };
    app.to_the_end(|engine| async move { engine.remove(&id, removal).await }).await?;
    Ok(no_content())
}
