//! `POST /containers/{id}/stop`, `/restart` and `/kill`

use super::start::changed;
use crate::app::App;
use crate::query::Query;
use crate::routes::stop_request;
use crate::status::{Answer, no_content};
use crate::version::ApiVersion;
use axum::extract::{Path, State};

pub async fn stop(State(app): State<App>, Path(id): Path<String>, version: ApiVersion, query: Query) -> Answer {
    let request = stop_request(version, &query)?;
    let change = app.to_the_end(|engine| async move { engine.stop(&id, request).await }).await?;
    Ok(changed(change))
}

pub async fn restart(State(app): State<App>, Path(id): Path<String>, version: ApiVersion, query: Query) -> Answer {
    let request = stop_request(version, &query)?;
    app.to_the_end(|engine| async move { engine.restart(&id, request).await }).await?;
    Ok(no_content())
}

pub async fn kill(State(app): State<App>, Path(id): Path<String>, query: Query) -> Answer {
    let signal = query.text("signal").map(str::to_owned);
    let name = id.clone();
    let killed = app.blocking(move |engine| engine.kill(&id, signal.as_deref())).await;
    killed.map_err(|refusal| refusal.during(&format!("cannot kill container: {name}")))?;
    Ok(no_content())
}
