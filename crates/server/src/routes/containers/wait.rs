//! `POST /containers/{id}/wait`: the header at once, so that a client may start the container; the body when it is over.

use crate::app::App;
use crate::query::Query;
use crate::status::{self, Answer, Refusal};
use crate::stream::body;
use crate::version::ApiVersion;
use api::types::{WaitError, WaitResponse};
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use engine::{WaitCondition, WaitResult};
use http::{StatusCode, header};

/// Before this version the header came with the body.
const EARLY_HEADER: u32 = 30;

pub async fn post(State(app): State<App>, Path(id): Path<String>, version: ApiVersion, query: Query) -> Answer {
    let condition = condition(query.get("condition")).filter(|_| version.has(EARLY_HEADER));
    let condition = match (condition, version.has(EARLY_HEADER)) {
        (Some(condition), _) => condition,
        (None, false) => WaitCondition::NotRunning,
        (None, true) => return Err(Refusal::invalid(format!("invalid condition: {:?}", query.get("condition")))),
    };
    // In memory only: the wait must stand before the answer's header does.
    let over = app.engine.wait(&id, condition)?;
    if !version.has(EARLY_HEADER) {
        return Ok(status::json(StatusCode::OK, &shown(over.await)));
    }
    let (send, body) = body::streamed();
    tokio::spawn(async move {
        tokio::select! {
            result = over => {
                let _ = send.send(body::line(&shown(result))).await;
            }
            () = send.closed() => {}
        }
    });
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

fn condition(text: &str) -> Option<WaitCondition> {
    Some(match text {
        "" | "not-running" => WaitCondition::NotRunning,
        "next-exit" => WaitCondition::NextExit,
        "removed" => WaitCondition::Removed,
        _ => return None,
    })
}

fn shown(result: WaitResult) -> WaitResponse {
    let error = result.error.map(|message| WaitError { message });
    WaitResponse { error, status_code: i64::from(result.exit_code) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_has_an_error_only_when_there_is_one() {
        let text = |result| serde_json::to_string(&shown(result)).expect("json");
        assert_eq!(text(WaitResult { exit_code: 3, error: None }), r#"{"StatusCode":3}"#);
        assert_eq!(
            text(WaitResult { exit_code: 0, error: Some("no".into()) }),
            r#"{"Error":{"Message":"no"},"StatusCode":0}"#
        );
    }

    #[test]
    fn conditions_are_three() {
        assert_eq!(condition("removed"), Some(WaitCondition::Removed));
        assert_eq!(condition(""), Some(WaitCondition::NotRunning));
        assert_eq!(condition("never"), None);
    }
}
