//! What a client is told when a request fails: the codes of the specification, their status, their JSON.

use http::StatusCode;
use serde_json::{Value, json};
use std::io;

/// distribution-spec, "Error codes", and one for what is ours to mend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    BlobUnknown,
    BlobUploadInvalid,
    BlobUploadUnknown,
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    SizeInvalid,
    Unauthorized,
    Denied,
    Unsupported,
    TooManyRequests,
    Unknown,
}

impl Code {
    fn word(self) -> &'static str {
        match self {
            Code::BlobUnknown => "BLOB_UNKNOWN",
            Code::BlobUploadInvalid => "BLOB_UPLOAD_INVALID",
            Code::BlobUploadUnknown => "BLOB_UPLOAD_UNKNOWN",
            Code::DigestInvalid => "DIGEST_INVALID",
            Code::ManifestBlobUnknown => "MANIFEST_BLOB_UNKNOWN",
            Code::ManifestInvalid => "MANIFEST_INVALID",
            Code::ManifestUnknown => "MANIFEST_UNKNOWN",
            Code::NameInvalid => "NAME_INVALID",
            Code::NameUnknown => "NAME_UNKNOWN",
            Code::SizeInvalid => "SIZE_INVALID",
            Code::Unauthorized => "UNAUTHORIZED",
            Code::Denied => "DENIED",
            Code::Unsupported => "UNSUPPORTED",
            Code::TooManyRequests => "TOOMANYREQUESTS",
            Code::Unknown => "UNKNOWN",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Code::BlobUnknown | Code::BlobUploadUnknown | Code::ManifestUnknown | Code::NameUnknown => {
                StatusCode::NOT_FOUND
            }
            Code::BlobUploadInvalid
            | Code::DigestInvalid
            | Code::ManifestBlobUnknown
            | Code::ManifestInvalid
            | Code::NameInvalid
            | Code::SizeInvalid => StatusCode::BAD_REQUEST,
            Code::Unauthorized => StatusCode::UNAUTHORIZED,
            Code::Denied => StatusCode::FORBIDDEN,
            Code::Unsupported => StatusCode::METHOD_NOT_ALLOWED,
            Code::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Code::Unknown => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    pub code: Code,
    pub status: StatusCode,
    pub message: String,
    /// For the log, not for the client.
    #[source]
    cause: Option<io::Error>,
    detail: Option<Value>,
}

impl Fault {
    pub fn new(code: Code, message: String) -> Fault {
        Fault { code, status: code.status(), message, cause: None, detail: None }
    }

    pub fn with_status(self, status: StatusCode) -> Fault {
        Fault { status, ..self }
    }

    pub fn with_detail(self, detail: Value) -> Fault {
        Fault { detail: Some(detail), ..self }
    }

    /// Whether something is only not there.
    pub fn is_unknown(&self) -> bool {
        self.status == StatusCode::NOT_FOUND
    }

    /// For `map_err`: this registry's own disk failed while it did `action`.
    pub fn io(action: &'static str) -> impl Fn(io::Error) -> Fault {
        move |cause| {
            let full = matches!(cause.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
            let (status, message) = if full {
                (StatusCode::INSUFFICIENT_STORAGE, format!("cannot {action}: the disk of the registry is full"))
            } else {
                (StatusCode::INTERNAL_SERVER_ERROR, format!("cannot {action}"))
            };
            Fault { code: Code::Unknown, status, message, cause: Some(cause), detail: None }
        }
    }

    /// The body of the answer.
    pub fn body(&self) -> Vec<u8> {
        let mut error = json!({ "code": self.code.word(), "message": self.message });
        if let Some(detail) = &self.detail {
            error["detail"] = detail.clone();
        }
        json!({ "errors": [error] }).to_string().into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_has_the_shape_of_the_specification() {
        let fault = Fault::new(Code::BlobUnknown, "no such blob".to_owned()).with_detail(json!("x"));
        let body: Value = serde_json::from_slice(&fault.body()).unwrap();
        assert_eq!(body, json!({"errors": [{"code": "BLOB_UNKNOWN", "message": "no such blob", "detail": "x"}]}));
        assert!(fault.is_unknown());
    }

    #[test]
    fn a_full_disk_is_told_as_such() {
        let fault = Fault::io("write an upload")(io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(fault.status, StatusCode::INSUFFICIENT_STORAGE);
        assert!(fault.message.contains("full"), "{fault}");
        assert_eq!(base::chain(&fault), "cannot write an upload: the disk of the registry is full: no storage space");
    }
}
