//! Networks: the three built-in ones.

use super::unsupported::not_yet;
use crate::app::App;
use crate::filters::Filters;
use crate::present::network;
use crate::query::Query;
use crate::status::{self, Answer, Refusal};
use api::types::NetworkInspect;
use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use http::StatusCode;

const FILTERS: [&str; 7] = ["dangling", "driver", "id", "label", "name", "scope", "type"];

pub fn routes() -> Router<App> {
    Router::new()
        .route("/networks", get(list))
        .route("/networks/create", post(create))
        .route("/networks/prune", post(prune))
        .route("/networks/{id}", get(inspect).delete(remove))
        .route("/networks/{id}/connect", post(connect))
        .route("/networks/{id}/disconnect", post(connect))
}

async fn all(app: &App) -> Result<Vec<NetworkInspect>, Refusal> {
    app.blocking(|engine| {
        let mtu = engine.settings().mtu;
        Ok::<_, Refusal>(network::built_in(&engine.info(), mtu, &engine.list()))
    })
    .await
}

async fn list(State(app): State<App>, query: Query) -> Answer {
    let filters = Filters::of(&query, &FILTERS)?;
    let dangling = filters.flag("dangling")?;
    let mut networks = all(&app).await?;
    networks.retain(|network| {
        filters.pattern("name", &network.name)
            && filters.prefix("id", &network.id)
            && filters.exact("driver", &network.driver)
            && filters.exact("scope", &network.scope)
            && filters.labels("label", &network.labels)
            && filters.exact("type", "builtin")
            && dangling != Some(true)
    });
    for network in &mut networks {
        network.containers.clear();
    }
    Ok(status::json(StatusCode::OK, &networks))
}

async fn inspect(State(app): State<App>, Path(id): Path<String>) -> Answer {
    let network = find(&app, &id).await?;
    Ok(status::json(StatusCode::OK, &network))
}

async fn find(app: &App, id: &str) -> Result<NetworkInspect, Refusal> {
    let networks = all(app).await?;
    let named = networks.iter().find(|network| network.name == id);
    let found = named.or_else(|| networks.iter().find(|network| !id.is_empty() && network.id.starts_with(id)));
    found.cloned().ok_or_else(|| Refusal::not_found(format!("network {id} not found")))
}

async fn create() -> Answer {
    Err(not_yet("making networks"))
}

async fn connect(State(app): State<App>, Path(id): Path<String>) -> Answer {
    find(&app, &id).await?;
    Err(not_yet("moving containers between networks"))
}

async fn remove(State(app): State<App>, Path(id): Path<String>) -> Answer {
    let network = find(&app, &id).await?;
    let text = format!("{} is a pre-defined network and cannot be removed", network.name);
    Err(Refusal::new(StatusCode::FORBIDDEN, text))
}

async fn prune(query: Query) -> Answer {
    Filters::of(&query, &["label", "label!", "until"])?;
    Ok(status::json(StatusCode::OK, &serde_json::json!({"NetworksDeleted": null})))
}
