//! Links on the engine's own bridge: which containers are known by which names.

use super::{Around, list};
use crate::status::Refusal;
use api::types::HostConfig;
use container::{Link, NetworkMode};

/// The links; on networks that people made they are among the endpoints' wishes instead.
pub fn of(host: &HostConfig, mode: &NetworkMode, around: &dyn Around) -> Result<Vec<Link>, Refusal> {
    if !matches!(mode, NetworkMode::Bridge) {
        return Ok(Vec::new());
    }
    list(&host.links).iter().map(|text| link(text, around)).collect()
}

/// `container:alias`, `container`, or as inspect shows it, `/container:/parent/alias`.
fn link(text: &str, around: &dyn Around) -> Result<Link, Refusal> {
    let wrong = || Refusal::internal(format!("bad format for links: {text}"));
    let (name, alias) = text.split_once(':').unwrap_or((text, text));
    if name.is_empty() || alias.is_empty() || alias.contains(':') {
        return Err(wrong());
    }
    let (name, alias) = (name.trim_start_matches('/'), alias.rsplit('/').next().unwrap_or(alias));
    if alias.is_empty() || alias.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(wrong());
    }
    let found = around.neighbour(name).map_err(|e| e.during(&format!("could not get container for {name}")))?;
    Ok(Link { container: found.id, name: name.to_owned(), alias: alias.to_owned() })
}
