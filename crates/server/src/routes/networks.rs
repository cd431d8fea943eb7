//! Networks: made, shown, joined, left, removed.

use super::json_body;
use crate::app::App;
use crate::filters::Filters;
use crate::present::network;
use crate::query::Query;
use crate::status::{self, Answer, Refusal};
use crate::translate;
use api::types::{NetworkConnect, NetworkCreate, NetworkCreated, NetworkDisconnect, NetworksPruned};
use axum::Router;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use bytes::Bytes;
use engine::{EventKind, NetworkView};
use http::StatusCode;

const FILTERS: [&str; 7] = ["dangling", "driver", "id", "label", "name", "scope", "type"];
const BUILT_IN: [&str; 3] = ["bridge", "host", "none"];

pub fn routes() -> Router<App> {
    Router::new()
        .route("/networks", get(list))
        .route("/networks/create", post(create))
        .route("/networks/prune", post(prune))
        .route("/networks/{id}", get(inspect).delete(remove))
        .route("/networks/{id}/connect", post(connect))
        .route("/networks/{id}/disconnect", post(disconnect))
}

async fn list(State(app): State<App>, query: Query) -> Answer {
    let filters = Filters::of(&query, &FILTERS)?;
    let dangling = filters.flag("dangling")?;
    if let Some(kind) = filters.get("type").iter().find(|kind| !matches!(kind.as_str(), "builtin" | "custom")) {
        return Err(Refusal::invalid(format!("invalid filter: 'type'='{kind}'")));
    }
    let views = app.blocking(|engine| Ok::<_, Refusal>(engine.networks())).await?;
    let mut shown: Vec<_> =
        views.iter().filter(|view| is_asked(view, &filters, dangling)).map(network::inspect).collect();
    for network in &mut shown {
        network.containers.clear();
    }
    Ok(status::json(StatusCode::OK, &shown))
}

fn is_asked(view: &NetworkView, filters: &Filters, dangling: Option<bool>) -> bool {
    let record = &view.record;
    let kind = if is_built_in(&record.name) { "builtin" } else { "custom" };
    filters.pattern("name", &record.name)
        && filters.prefix("id", &record.id)
        && filters.exact("driver", &record.driver)
        && filters.exact("scope", "local")
        && filters.labels("label", &record.labels)
        && filters.exact("type", kind)
        && dangling.is_none_or(|dangling| dangling == (kind == "custom" && view.members.is_empty()))
}

fn is_built_in(name: &str) -> bool {
    BUILT_IN.contains(&name)
}

async fn inspect(State(app): State<App>, Path(id): Path<String>, query: Query) -> Answer {
    if !matches!(query.text("scope").unwrap_or_default(), "" | "local") {
        return Err(Refusal::not_found(format!("network {id} not found")));
    }
    query.flag("verbose");
    let view = app.blocking(move |engine| engine.network(&id)).await?;
    Ok(status::json(StatusCode::OK, &network::inspect(&view)))
}

async fn create(State(app): State<App>, body: Bytes) -> Answer {
    let typed: NetworkCreate = json_body(&body)?;
    let request = translate::network::meant(typed)?;
    let id = app.blocking(move |engine| engine.create_network(request)).await?;
    Ok(status::json(StatusCode::CREATED, &NetworkCreated { id, warning: String::new() }))
}

async fn connect(State(app): State<App>, Path(id): Path<String>, body: Bytes) -> Answer {
    let typed: NetworkConnect = json_body(&body)?;
    app.blocking(move |engine| {
        let request = translate::endpoint(&typed.endpoint_config.unwrap_or_default())?;
        Ok::<_, Refusal>(engine.connect(&id, &typed.container, request)?)
    })
    .await?;
    Ok(StatusCode::OK.into_response())
}

async fn disconnect(State(app): State<App>, Path(id): Path<String>, body: Bytes) -> Answer {
    let typed: NetworkDisconnect = json_body(&body)?;
    app.blocking(move |engine| engine.disconnect(&id, &typed.container, typed.force)).await?;
    Ok(StatusCode::OK.into_response())
}

async fn remove(State(app): State<App>, Path(id): Path<String>) -> Answer {
    app.blocking(move |engine| engine.remove_network(&id)).await?;
    Ok(status::no_content())
}

async fn prune(State(app): State<App>, query: Query) -> Answer {
    let filters = Filters::of(&query, &["label", "label!", "until"])?;
    let until = filters.until()?;
    let deleted = app
        .blocking(move |engine| {
            let deleted = engine.prune_networks(|view| {
                let record = &view.record;
                until.is_none_or(|time| record.created_at < time)
                    && filters.labels("label", &record.labels)
                    && filters.without_labels(&record.labels)
            });
            engine.tell_prune(EventKind::Network, 0);
            Ok::<_, Refusal>(deleted)
        })
        .await?;
    let networks_deleted = Some(deleted).filter(|names| !names.is_empty());
    Ok(status::json(StatusCode::OK, &NetworksPruned { networks_deleted }))
}
