//! `DELETE /containers/{id}`

use crate::app::App;
use crate::query::Query;
use crate::status::{Answer, Refusal, no_content};
use axum::extract::{Path, State};
use engine::Removal;

pub async fn delete(State(app): State<App>, Path(id): Path<String>, query: Query) -> Answer {
    if query.flag("link") {
        app.engine.inspect(&id)?;
        return Err(Refusal::internal("Conflict, cannot remove the default link name of the container"));
    }
    let removal = Removal { force: query.flag("force"), volumes: query.flag("v") };
    app.to_the_end(|engine| async move { engine.remove(&id, removal).await }).await?;
    Ok(no_content())
}

/// `DELETE /containers/{id}/{alias}?link=1`: a container's link, by its full name.
pub async fn delete_link(State(app): State<App>, Path((id, alias)): Path<(String, String)>, query: Query) -> Answer {
    if !query.flag("link") {
        return Err(Refusal::not_found(format!("No such container: {id}/{alias}")));
    }
    app.blocking(move |engine| engine.remove_link(&id, &alias)).await?;
    Ok(no_content())
}
