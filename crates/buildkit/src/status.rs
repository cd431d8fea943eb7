//! Errors as gRPC carries them, with what BuildKit's clients look for in them: the place in the Dockerfile, the vertex.

use crate::Error;
use bollard_buildkit_proto::google::protobuf::Any;
use bollard_buildkit_proto::google::rpc;
use bollard_buildkit_proto::pb::{Range, SourceInfo};
use prost::Message;
use serde_json::{Value, json};
use tonic::{Code, Status};

/// Names of details as containerd's `typeurl` has them; their bytes are JSON.
const SOURCE: &str = "github.com/moby/buildkit/errdefs.Source+json";
const VERTEX: &str = "github.com/moby/buildkit/errdefs.Vertex+json";
const CAPABILITY: &str = "github.com/moby/buildkit/errdefs.FrontendCap+json";
const REQUEST: &str = "github.com/moby/buildkit/errdefs.Subrequest+json";

/// What is known of a failure besides its text.
#[derive(Debug, Clone, Default)]
pub struct Place {
    pub source: Option<SourceInfo>,
    pub ranges: Vec<Range>,
    pub vertex: Option<String>,
}

/// A failure as it goes to a client.
pub fn of(error: &Error, place: &Place) -> rpc::Status {
    let mut details = Vec::new();
    if let Some(digest) = &place.vertex {
        details.push(detail(VERTEX, &json!({ "digest": digest })));
    }
    if let Some(source) = place.source.as_ref().filter(|_| !place.ranges.is_empty()) {
        details.push(detail(SOURCE, &json!({ "info": info(source), "ranges": ranges(&place.ranges) })));
    }
    match error {
        // Clients ask otherwise then.
        Error::UnknownCapability(name) => details.push(detail(CAPABILITY, &json!({ "name": name }))),
        Error::UnknownRequest(name) => details.push(detail(REQUEST, &json!({ "name": name }))),
        _ => {}
    }
    rpc::Status { code: code(error) as i32, message: words(error), details }
}

/// The same without a place.
pub fn plain(error: &Error) -> Status {
    grpc(&of(error, &Place::default()))
}

/// A status as the transport carries it.
pub fn grpc(status: &rpc::Status) -> Status {
    let code = Code::from_i32(status.code);
    let code = if code == Code::Ok { Code::Unknown } else { code };
    Status::with_details(code, status.message.clone(), status.encode_to_vec().into())
}

/// What a transport carried.
pub fn parsed(status: &Status) -> rpc::Status {
    let known = rpc::Status::decode(status.details()).ok().filter(|inner| !inner.message.is_empty());
    known.unwrap_or_else(|| rpc::Status {
        code: status.code() as i32,
        message: status.message().to_owned(),
        details: Vec::new(),
    })
}

fn detail(type_url: &str, value: &Value) -> Any {
    Any { type_url: type_url.to_owned(), value: value.to_string().into_bytes() }
}

/// Clients write the code's name before every text but `Unknown`'s.
fn code(error: &Error) -> Code {
    match error {
        Error::Cancelled => Code::Cancelled,
        Error::Build(error) if error.is_cancelled() => Code::Cancelled,
        Error::NotFound(_) => Code::NotFound,
        Error::Unsupported(_) | Error::UnknownCapability(_) | Error::UnknownRequest(_) => Code::Unimplemented,
        Error::Gone(_) => Code::Unavailable,
        _ => Code::Unknown,
    }
}

fn words(error: &Error) -> String {
    match error {
        Error::Build(error) if error.is_cancelled() => "context canceled".to_owned(),
        Error::Build(error) => match error {
            build::Error::Step { source, .. } => cause(source.cause()),
            other => cause(other),
        },
        other => base::chain(other),
    }
}

fn cause(error: &build::Error) -> String {
    match error {
        build::Error::NoSource { path } => {
            format!("failed to compute cache key: failed to calculate checksum of ref: {path:?}: not found")
        }
        other => base::chain(other),
    }
}

fn info(source: &SourceInfo) -> Value {
    use base64::Engine as _;
    let data = base64::engine::general_purpose::STANDARD.encode(&source.data);
    json!({ "filename": source.filename, "data": data, "language": source.language })
}

fn ranges(ranges: &[Range]) -> Value {
    let position = |position: Option<bollard_buildkit_proto::pb::Position>| {
        let position = position.unwrap_or_default();
        json!({ "line": position.line, "character": position.character })
    };
    ranges.iter().map(|range| json!({ "start": position(range.start), "end": position(range.end) })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard_buildkit_proto::pb::Position;

    #[test]
    fn a_failed_step_is_told_with_its_place() {
        let exit = build::Error::Exit { command: "/bin/sh -c false".to_owned(), code: 1 };
        let place = Place {
            source: Some(SourceInfo {
                filename: "Dockerfile".to_owned(),
                data: b"x".to_vec(),
                ..SourceInfo::default()
            }),
            ranges: vec![Range { start: Some(Position { line: 2, character: 0 }), end: None }],
            vertex: Some("sha256:1".to_owned()),
        };
        let status = of(&Error::Build(exit), &place);
        let text = "process \"/bin/sh -c false\" did not complete successfully: exit code: 1";
        assert_eq!((status.code, status.message.as_str()), (Code::Unknown as i32, text));
        let source: Value = serde_json::from_slice(&status.details[1].value).expect("JSON");
        assert_eq!(source["ranges"][0]["start"]["line"], 2);
        assert_eq!(source["info"]["data"], "eA==");
        assert_eq!(parsed(&grpc(&status)), status);
    }

    #[test]
    fn strange_codes_of_clients_are_errors_all_the_same() {
        for code in [0, -1, 17, i32::MIN, i32::MAX] {
            let status = rpc::Status { code, message: "x".to_owned(), details: Vec::new() };
            assert_ne!(grpc(&status).code(), Code::Ok, "{code}");
        }
    }
}
