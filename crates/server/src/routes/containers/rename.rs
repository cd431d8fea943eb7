//! `POST /containers/{id}/rename`

use crate::app::App;
use crate::query::Query;
use crate::status::{Answer, Refusal, no_content};
use axum::extract::{Path, State};

pub async fn post(State(app): State<App>, Path(id): Path<String>, query: Query) -> Answer {
    let name = query.get("name").trim_start_matches('/').to_owned();
    if name.is_empty() {
        return Err(Refusal::invalid("Neither old nor new names may be empty"));
    }
    app.blocking(move |engine| engine.rename(&id, &name).map_err(|error| refused(error, &name))).await?;
    Ok(no_content())
}

fn refused(error: engine::Error, name: &str) -> Refusal {
    let (taken, wrong) = (matches!(error, engine::Error::NameTaken { .. }), matches!(error, engine::Error::Name(_)));
    let mut refusal = Refusal::from(error);
    if wrong {
        // Here Docker writes names as it keeps them.
        refusal.message = refusal.message.replace(&format!("({name})"), &format!("(/{name})"));
    }
    if taken || wrong { refusal.during("Error when allocating new name") } else { refusal }
}
