//! The engine itself.

mod events;
mod firewall;
mod fsck;
mod info;
mod ping;
mod registry;
mod usage;
mod version;

use crate::app::App;
use axum::Router;
use axum::routing::{get, post};

pub fn routes() -> Router<App> {
    Router::new()
        .route("/metrics", get(crate::metrics::get))
        .route("/_ping", get(ping::get).head(ping::get))
        .route("/version", get(version::get))
        .route("/info", get(info::get))
        .route("/events", get(events::get))
        .route("/auth", post(registry::login))
        .route("/distribution/{*rest}", get(registry::distribution))
        .route("/system/df", get(usage::get))
        .route("/system/fsck", post(fsck::post))
        .route("/system/firewall", get(firewall::get))
}
