//! What a container may reach outside: our own field of the request, or labels that say the same.

use crate::status::Refusal;
use api::types::{ContainerConfig, EgressPolicy, HostConfig};
use container::{EgressDefault, EgressRequest, NetworkMode};

/// The policy that is asked for, if one is. The field counts before the labels.
pub fn of(typed: &ContainerConfig, host: &HostConfig, network: &NetworkMode) -> Result<Option<EgressRequest>, Refusal> {
    let request = match &host.egress {
        Some(asked) => Some(merged(asked, EgressRequest::default())?),
        None => engine::egress_of(&typed.labels.clone().unwrap_or_default())?,
    };
    if let Some(request) = &request {
        engine::check_egress(request)?;
        engine::check_egress_mode(network)?;
    }
    if host.auto_remove && request.as_ref().is_some_and(|request| request.learn) {
        return Err(Refusal::invalid(
            "what is learned about egress is kept with the container: leave --rm out, and read it with dhow network egress",
        ));
    }
    Ok(request)
}

/// What `asked` makes of a policy: fields that are missing stay.
pub fn merged(asked: &EgressPolicy, mut has: EgressRequest) -> Result<EgressRequest, Refusal> {
    match asked.default.as_deref() {
        None => {}
        Some("") => has.default = None,
        Some("deny") => has.default = Some(EgressDefault::Deny),
        Some("allow") => has.default = Some(EgressDefault::Allow),
        Some(other) => return Err(Refusal::invalid(format!("invalid egress {other:?}: deny or allow"))),
    }
    if let Some(allow) = &asked.allow {
        has.allow.clone_from(allow);
    }
    if let Some(deny) = &asked.deny {
        has.deny.clone_from(deny);
    }
    has.learn = asked.learn.unwrap_or(has.learn);
    Ok(has)
}

/// As it is shown.
pub fn shown(has: &EgressRequest) -> EgressPolicy {
    let default = has.default.map(|default| match default {
        EgressDefault::Deny => "deny".to_owned(),
        EgressDefault::Allow => "allow".to_owned(),
    });
    let list = |list: &Vec<String>| Some(list.clone()).filter(|list| !list.is_empty());
    EgressPolicy { default, allow: list(&has.allow), deny: list(&has.deny), learn: has.learn.then_some(true) }
}
