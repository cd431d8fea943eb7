//! Results as clients get them and give them back.

use super::of_result;
use crate::builds::Made;
use crate::builds::Solution;
use bollard_buildkit_proto::moby::buildkit::v1::frontend::{Ref, RefMap, Result as Wire, result};
use oci::image::Platform;
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;

/// What was solved, as a client gets it.
pub(super) fn of(solution: &Solution) -> Wire {
    match solution {
        Solution::Answers(metadata) => Wire { metadata: metadata.clone(), ..Wire::default() },
        Solution::One { id, made } => {
            let mut metadata = HashMap::new();
            if let Some(config) = config(made) {
                metadata.insert("containerimage.config".to_owned(), config);
            }
            Wire { metadata, result: Some(result::Result::Ref(reference(id))), ..Wire::default() }
        }
        Solution::Several(all) => several(all),
    }
}

fn several(all: &[(Platform, String, Arc<Made>)]) -> Wire {
    let mut metadata = HashMap::new();
    let mut refs = HashMap::new();
    let mut listed = Vec::new();
    for (platform, id, made) in all {
        let name = platform_id(platform);
        if let Some(config) = config(made) {
            metadata.insert(format!("containerimage.config/{name}"), config);
        }
        let mut shown = json!({ "architecture": platform.architecture, "os": platform.os });
        if let Some(variant) = &platform.variant {
            shown["variant"] = json!(variant);
        }
        listed.push(json!({ "ID": name, "Platform": shown }));
        refs.insert(name, reference(id));
    }
    metadata.insert("refs.platforms".to_owned(), json!({ "Platforms": listed }).to_string().into_bytes());
    Wire { metadata, result: Some(result::Result::Refs(RefMap { refs })), ..Wire::default() }
}

/// `linux/arm64/v8`
pub(crate) fn platform_id(platform: &Platform) -> String {
    let variant = platform.variant.as_deref().filter(|variant| !variant.is_empty());
    let variant = variant.map(|variant| format!("/{variant}")).unwrap_or_default();
    format!("{}/{}{variant}", platform.os, platform.architecture)
}

fn reference(id: &str) -> Ref {
    if id.is_empty() {
        return Ref::default();
    }
    Ref { id: id.to_owned(), def: Some(of_result(id)) }
}

fn config(made: &Made) -> Option<Vec<u8>> {
    let Made::Image { solved, index } = made else { return None };
    let product = solved.results().get(*index)?;
    serde_json::to_vec(&product.image).ok()
}

/// The ids in what a client gives back.
pub(super) fn ids(wire: Wire) -> Vec<String> {
    let mut ids: Vec<String> = match wire.result {
        None => Vec::new(),
        Some(result::Result::Ref(one)) => vec![one.id],
        Some(result::Result::Refs(map)) => map.refs.into_values().map(|one| one.id).collect(),
        Some(result::Result::RefDeprecated(id)) => vec![id],
        Some(result::Result::RefsDeprecated(map)) => map.refs.into_values().collect(),
    };
    ids.retain(|id| !id.is_empty());
    ids
}
