//! Capabilities and security options.

use serde_json::json;

use super::{Object, key_values::plain, put_list};
use crate::grammar::container::ContainerFlags;

pub(super) fn write(flags: &ContainerFlags, host: &mut Object) -> Result<(), String> {
    let added = capabilities(&flags.cap_add);
    let dropped: Vec<String> = capabilities(&flags.cap_drop).into_iter().filter(|name| !added.contains(name)).collect();
    put_list(host, "CapAdd", &added);
    put_list(host, "CapDrop", &dropped);
    let mut options = Vec::new();
    for text in &flags.security_opt {
        // The client turns this one into empty path lists; the engine never sees it.
        if text == "systempaths=unconfined" {
            host.insert("MaskedPaths".to_owned(), json!([]));
            host.insert("ReadonlyPaths".to_owned(), json!([]));
        } else {
            options.push(option(text)?);
        }
    }
    put_list(host, "SecurityOpt", &options);
    Ok(())
}

/// Names in capitals and with `CAP_`, sorted, each once; `ALL` stays as it is.
fn capabilities(names: &[String]) -> Vec<String> {
    let full = |name: &String| {
        let name = name.trim().to_uppercase();
        if name == "ALL" || name == "RESET" || name.starts_with("CAP_") { name } else { format!("CAP_{name}") }
    };
    let mut all: Vec<String> = names.iter().map(full).collect();
    all.sort();
    all.dedup();
    all
}

/// A seccomp profile's file is read here, where it is, and sent inline.
fn option(text: &str) -> Result<String, String> {
    let (key, value) = text.split_once('=').or_else(|| text.split_once(':')).unwrap_or((text, ""));
    if value.is_empty() && key != "no-new-privileges" {
        return Err(format!("invalid --security-opt: {text:?}"));
    }
    if key != "seccomp" || matches!(value, "unconfined" | "builtin") {
        return Ok(text.to_owned());
    }
    let profile = std::fs::read(value)
        .map_err(|cause| format!("opening seccomp profile ({value}) failed: open {value}: {}", plain(&cause)))?;
    let profile: serde_json::Value = serde_json::from_slice(&profile)
        .map_err(|cause| format!("compacting json for seccomp profile ({value}) failed: {cause}"))?;
    Ok(format!("seccomp={profile}"))
}
