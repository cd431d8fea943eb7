//! Manifests and indexes as documents: one that is a manifest to one reader and an index to another is refused.

use base::Digest;
use serde::de::{DeserializeOwned, IgnoredAny};
use std::collections::HashMap;

/// Reads a document, unless it can be read as a manifest and as an index (CVE-2021-41190). The error is its reason in
/// words, without saying where the document came from.
pub fn parse<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, String> {
    let broken = |e: serde_json::Error| format!("{what} is broken: {e}");
    let keys: HashMap<String, IgnoredAny> = serde_json::from_slice(bytes).map_err(broken)?;
    let has = |key: &str| keys.keys().any(|other| other.eq_ignore_ascii_case(key));
    if has("manifests") && (has("config") || has("layers") || has("fsLayers")) {
        return Err(format!("{what} is ambiguous: both a manifest and an index"));
    }
    serde_json::from_slice(bytes).map_err(broken)
}

/// Checks that a document and who points at it mean the same type.
pub fn check_type(document: &Digest, inside: Option<&str>, outside: &str) -> Result<(), String> {
    match inside {
        Some(inside) if inside != outside => {
            Err(format!("{document} is ambiguous: {inside:?} inside, {outside:?} outside"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_one_thing_however_its_keys_are_written() {
        let read = |text: &str| parse::<serde_json::Value>("it", text.as_bytes());
        for both in
            [r#"{"manifests":[],"layers":[]}"#, r#"{"Manifests":[],"CONFIG":{}}"#, r#"{"manifests":[],"fslayers":[]}"#]
        {
            assert_eq!(read(both).unwrap_err(), "it is ambiguous: both a manifest and an index");
        }
        read(r#"{"manifests":[]}"#).unwrap();
        read(r#"{"config":{},"layers":[]}"#).unwrap();
        assert!(read("[]").unwrap_err().starts_with("it is broken: "));
    }

    #[test]
    fn types_must_agree_where_both_are_said() {
        let digest = Digest::from_bytes([1; 32]);
        check_type(&digest, None, "a").unwrap();
        check_type(&digest, Some("a"), "a").unwrap();
        assert!(check_type(&digest, Some("a"), "b").unwrap_err().ends_with(r#"is ambiguous: "a" inside, "b" outside"#));
    }
}
