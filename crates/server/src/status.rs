//! Kinds of failure as HTTP statuses, and the one shape of every error body: `{"message": ...}`.

use crate::words;
use axum::response::{IntoResponse, Response};
use base::{Kind, Kinded};
use http::{StatusCode, header};

/// An answer that is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub status: StatusCode,
    pub message: String,
}

/// What handlers give.
pub type Answer = Result<Response, Refusal>;

impl Refusal {
    pub fn new(status: StatusCode, message: impl Into<String>) -> Refusal {
        Refusal { status, message: message.into() }
    }
    /// 400
    pub fn invalid(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, message)
    }
    /// 404
    pub fn not_found(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::NOT_FOUND, message)
    }
    /// 409
    pub fn conflict(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::CONFLICT, message)
    }
    /// 501
    pub fn unsupported(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::NOT_IMPLEMENTED, message)
    }
    /// 500
    pub fn internal(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }
    /// The same refusal, with what was tried before its words.
    pub fn during(self, what: &str) -> Refusal {
        Refusal { status: self.status, message: format!("{what}: {}", self.message) }
    }
}

/// The status of a kind of failure.
pub fn of(kind: Kind) -> StatusCode {
    match kind {
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::Invalid => StatusCode::BAD_REQUEST,
        Kind::Denied => StatusCode::FORBIDDEN,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Unsupported => StatusCode::NOT_IMPLEMENTED,
        Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl From<engine::Error> for Refusal {
    fn from(error: engine::Error) -> Refusal {
        match words::of(&error) {
            Some(refusal) => refusal,
            None => Refusal::new(of(error.kind()), base::chain(&error)),
        }
    }
}

impl From<build::Error> for Refusal {
    fn from(error: build::Error) -> Refusal {
        crate::routes::refused_build(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        if self.status.is_server_error() {
            tracing::error!(status = self.status.as_u16(), "{}", self.message);
        } else {
            tracing::debug!(status = self.status.as_u16(), "{}", self.message);
        }
        json(self.status, &api::types::ErrorResponse { message: self.message })
    }
}

/// A JSON answer, with a newline at its end as Docker writes it.
pub fn json<T: serde::Serialize + ?Sized>(status: StatusCode, value: &T) -> Response {
    match serde_json::to_vec(value) {
        Ok(mut bytes) => {
            bytes.push(b'\n');
            (status, [(header::CONTENT_TYPE, "application/json")], bytes).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// 204
pub fn no_content() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_error_becomes_a_status_and_dockers_words() {
        let refusal = Refusal::from(engine::Error::NoContainer("web".into()));
        assert_eq!(refusal, Refusal::not_found("No such container: web"));
        let refusal = Refusal::from(engine::Error::Image(image::Error::NotFound("busybox".into())));
        assert_eq!(refusal, Refusal::not_found("No such image: busybox:latest"));
    }
}
