//! What a build leaves for programs: the id of its image and its metadata, in files.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::failure::Failure;

/// What a build came to.
#[derive(Debug)]
pub struct Built {
    pub image: String,
    pub names: Vec<String>,
    /// As BuildKit's exporters tell it.
    pub response: BTreeMap<String, String>,
}

/// A file of an id that is not so is worse than none.
pub fn forget(path: Option<&str>) -> Result<(), Failure> {
    match path.map(std::fs::remove_file) {
        Some(Err(error)) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::said(format!("removing image ID file: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes the files of `--iidfile` and `--metadata-file`.
pub fn keep(built: &Built, (id, metadata): (Option<&str>, Option<&str>)) -> Result<(), Failure> {
    if let Some(path) = id {
        write(path, &built.image)?;
    }
    if let Some(path) = metadata {
        write(path, &format!("{:#}\n", described(built)))?;
    }
    Ok(())
}

fn write(path: &str, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|error| Failure::said(format!("cannot write {path}: {error}")))
}

/// Values that are JSON in base64 stand as JSON.
fn described(built: &Built) -> Value {
    let mut all: BTreeMap<String, Value> = BTreeMap::new();
    for (key, text) in &built.response {
        let json = STANDARD.decode(text).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        let value = json.filter(|json| json.is_object() || json.is_array()).unwrap_or_else(|| text.clone().into());
        all.insert(key.clone(), value);
    }
    if !built.image.is_empty() {
        all.entry("containerimage.config.digest".to_owned()).or_insert_with(|| built.image.clone().into());
    }
    if !built.names.is_empty() {
        all.entry("image.name".to_owned()).or_insert_with(|| built.names.join(",").into());
    }
    serde_json::json!(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_in_base64_are_objects() {
        let response = BTreeMap::from([
            ("containerimage.descriptor".to_owned(), STANDARD.encode(r#"{"size":7}"#)),
            ("containerimage.digest".to_owned(), "sha256:1".to_owned()),
        ]);
        let json = described(&Built { image: "sha256:2".to_owned(), names: vec!["a:1".to_owned()], response });
        assert_eq!(json["containerimage.descriptor"]["size"], 7);
        assert_eq!(json["containerimage.digest"], "sha256:1");
        assert_eq!((&json["containerimage.config.digest"], &json["image.name"]), (&"sha256:2".into(), &"a:1".into()));
    }
}
