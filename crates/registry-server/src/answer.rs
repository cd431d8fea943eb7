//! What goes back: headers that every answer has, and faults as answers.

use crate::blob_body::{Body, full};
use crate::fault::{Code, Fault};
use http::header::{self, HeaderName, HeaderValue};
use http::{Response, StatusCode};

pub const DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
const VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");

/// An answer in the making.
#[derive(Debug)]
pub struct Answer(Response<Body>);

impl Answer {
    pub fn new(status: StatusCode) -> Answer {
        let mut response = Response::new(full(""));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(VERSION, HeaderValue::from_static("registry/2.0"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        Answer(response)
    }

    /// Values that cannot stand in a header are left out: all of ours can.
    pub fn header(mut self, name: HeaderName, value: impl ToString) -> Answer {
        if let Ok(value) = HeaderValue::from_str(&value.to_string()) {
            self.0.headers_mut().append(name, value);
        }
        self
    }

    pub fn body(self, body: Body) -> Response<Body> {
        self.0.map(|_| body)
    }

    pub fn json(self, value: &serde_json::Value) -> Response<Body> {
        self.header(header::CONTENT_TYPE, "application/json").body(full(value.to_string()))
    }

    pub fn empty(self) -> Response<Body> {
        self.header(header::CONTENT_LENGTH, 0).0
    }
}

/// A fault as the client sees it.
pub fn fault(fault: &Fault) -> Response<Body> {
    let mut answer = Answer::new(fault.status).header(header::CONTENT_TYPE, "application/json");
    if fault.code == Code::Unauthorized {
        answer = answer.header(header::WWW_AUTHENTICATE, r#"Basic realm="dhow registry", charset="UTF-8""#);
    }
    answer.body(full(fault.body()))
}
