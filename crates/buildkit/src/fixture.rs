//! A way in for fuzzing: messages of clients without a connection.

use crate::frontend::{self, FrontendOptions};
use crate::gateway::Definition;
use bollard_buildkit_proto::moby::buildkit::v1::SolveRequest;
use bollard_buildkit_proto::pb;
use prost::Message;
use std::collections::BTreeMap;

/// What a client sends to have something built: read, its definition understood, its attributes made a request, or refused.
pub fn solve(bytes: &[u8]) {
    if let Ok(definition) = pb::Definition::decode(bytes) {
        let _ = Definition::parse(&definition);
    }
    let Ok(asked) = SolveRequest::decode(bytes) else { return };
    if let Some(definition) = &asked.definition {
        let _ = Definition::parse(definition);
    }
    let attributes = asked.frontend_attrs.into_iter().collect();
    let _ = FrontendOptions::parse(&attributes, BTreeMap::new());
    let _ = frontend::request(&attributes, &asked.entitlements, container::Config::default());
    let _ = frontend::cache_imports(&attributes);
    let _ = frontend::multi_platform(&attributes);
}

/// Messages to begin with.
pub fn seeds() -> Vec<Vec<u8>> {
    let attributes = [
        ("filename", "a/Dockerfile"),
        ("platform", "linux/amd64,linux/arm64/v8"),
        ("build-arg:A", "b"),
        ("context:x", "docker-image://busybox"),
        ("cache-imports", r#"[{"Type":"registry","Attrs":{"ref":"a/b:c"}}]"#),
        ("add-hosts", "a=10.0.0.1"),
        ("ulimit", "nofile=10:20"),
        ("attest:provenance", "mode=max"),
        ("multi-platform", "true"),
    ];
    let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let asked = SolveRequest {
        frontend_attrs: attributes,
        entitlements: vec!["network.host".to_owned()],
        definition: Some(crate::gateway::of_result("a")),
        ..SolveRequest::default()
    };
    vec![asked.encode_to_vec(), crate::gateway::of_result("a").encode_to_vec()]
}
