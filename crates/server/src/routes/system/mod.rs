//! The engine itself.

mod events;
mod info;
mod ping;
mod version;

pub use version::architecture;

use crate::app::App;
use axum::Router;
use axum::routing::get;

pub fn routes() -> Router<App> {
    Router::new()
        .route("/_ping", get(ping::get).head(ping::get))
        .route("/version", get(version::get))
        .route("/info", get(info::get))
        .route("/events", get(events::get))
}
