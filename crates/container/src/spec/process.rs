//! The process of a container, and that of an exec.

use super::{ExecRequest, SpecError, Surroundings, capability, limit};
use crate::{Config, Container, NetworkMode, PidMode, UtsMode, target, user};
use oci::runtime::{Capabilities, ConsoleSize, Process, User};
use std::collections::HashMap;
use std::path::Path;

/// Where the small init stands in the container.
pub(super) const INIT: &str = "/sbin/docker-init";

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The process of `container`.
pub(super) fn init(container: &Container, around: &Surroundings) -> Result<Process, SpecError> {
    let config = &container.config;
    let command = config.entrypoint.iter().chain(&config.cmd).flatten().cloned();
    let mut args: Vec<String> = Vec::new();
    if has_init(config) {
        args.extend([INIT.to_owned(), "--".to_owned()]);
    }
    args.extend(command);
    Ok(Process {
        terminal: config.tty,
        args,
        env: environment(container, config.tty, &[], &around.user),
        cwd: working_dir(&[&config.working_dir])?,
        ..common(container, &around.user, super::capabilities(config, around.capability_bound)?)?
    })
}

/// The process part of an exec in `container`. `user` is whom `exec.user` names, or the container's own user.
///
/// It has the limits, the profile and the no-new-privileges of the container; `exec.privileged` gives it all capabilities.
pub fn exec_process(
    container: &Container,
    exec: &ExecRequest,
    user: &user::Found,
    capability_bound: u64,
) -> Result<Process, SpecError> {
    let config = &container.config;
    let capabilities = match exec.privileged {
        true => super::capabilities(&Config { privileged: true, ..Config::default() }, capability_bound)?,
        false => super::capabilities(config, capability_bound)?,
    };
    Ok(Process {
        terminal: exec.tty,
        console_size: exec.console_size.filter(|_| exec.tty).map(|(height, width)| ConsoleSize { height, width }),
        args: exec.args.clone(),
        env: environment(container, exec.tty, &exec.env, user),
        cwd: working_dir(&[&exec.working_dir, &config.working_dir])?,
        ..common(container, user, capabilities)?
    })
}

/// What the two have in common.
fn common(container: &Container, user: &user::Found, capabilities: u64) -> Result<Process, SpecError> {
    let config = &container.config;
    Ok(Process {
        user: User { uid: user.uid, gid: user.gid, umask: None, additional_gids: user.groups.clone() },
        capabilities: Some(sets(capabilities)),
        rlimits: limit::rlimits(&config.ulimits)?,
        no_new_privileges: config.no_new_privileges,
        apparmor_profile: apparmor(config),
        oom_score_adj: config.oom_score_adj,
        ..Process::default()
    })
}

/// Never inheritable, never ambient (CVE-2022-24769). Also for other users than root: execve(2) clears theirs by itself.
fn sets(capabilities: u64) -> Capabilities {
    let names = capability::names(capabilities);
    Capabilities {
        bounding: names.clone(),
        effective: names.clone(),
        permitted: names,
        inheritable: Vec::new(),
        ambient: Vec::new(),
    }
}

/// The small init makes sense as process 1 of an own pid namespace only.
pub(super) fn has_init(config: &Config) -> bool {
    config.init && config.pid == PidMode::Private
}

/// The container's host name: as asked, else the machine's when it shares the machine's network or name, else the short id.
pub fn hostname(container: &Container) -> String {
    let config = &container.config;
    if !config.hostname.is_empty() {
        return config.hostname.clone();
    }
    if config.network == NetworkMode::Host || config.uts == UtsMode::Host {
        return rustix::system::uname().nodename().to_string_lossy().into_owned();
    }
    container.id.short()
}

/// The first of `choices` that is not empty, else `/`.
fn working_dir(choices: &[&str]) -> Result<String, SpecError> {
    match choices.iter().find(|path| !path.is_empty()) {
        None => Ok("/".to_owned()),
        Some(path) => target::clean(path).ok_or_else(|| {
            SpecError::Invalid(format!("Cwd must be an absolute path: the working directory is {path:?}"))
        }),
    }
}

/// Docker's defaults, the container's env, `extra` (an exec's) over both, and HOME from passwd when nobody set it.
fn environment(container: &Container, tty: bool, extra: &[String], user: &user::Found) -> Vec<String> {
    let mut defaults = vec![PATH.to_owned(), format!("HOSTNAME={}", hostname(container))];
    if tty {
        defaults.push("TERM=xterm".to_owned());
    }
    let own = [&container.config.env[..], &container.config.secret_env[..]].concat();
    let mut env = overlay([&defaults, &own, extra]);
    if !env.iter().any(|entry| entry.strip_prefix("HOME=").is_some_and(|home| !home.is_empty())) {
        env.retain(|entry| !entry.starts_with("HOME="));
        env.push(format!("HOME={}", user.home));
    }
    env
}

/// The lists one over the other: a key keeps its first place and has its last value; `KEY` without `=` takes it away.
fn overlay(lists: [&[String]; 3]) -> Vec<String> {
    let mut entries: Vec<Option<&str>> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for entry in lists.into_iter().flatten() {
        match entry.split_once('=') {
            Some(("", _)) => {}
            Some((key, _)) => match places.get(key) {
                Some(place) => entries[*place] = Some(entry),
                None => {
                    places.insert(key, entries.len());
                    entries.push(Some(entry));
                }
            },
            None => {
                if let Some(place) = places.remove(entry.as_str()) {
                    entries[place] = None;
                }
            }
        }
    }
    entries.into_iter().flatten().map(str::to_owned).collect()
}

/// The profile that was asked for, on a machine that has AppArmor: without one, Docker starts the container unconfined too.
fn apparmor(config: &Config) -> Option<String> {
    let profile = config.apparmor.as_deref().filter(|name| !name.is_empty() && *name != "unconfined")?;
    let is_on =
        || std::fs::read(Path::new("/sys/module/apparmor/parameters/enabled")).is_ok_and(|text| text.starts_with(b"Y"));
    is_on().then(|| profile.to_owned())
}

#[cfg(test)]
#[path = "process_tests.rs"]
mod tests;
