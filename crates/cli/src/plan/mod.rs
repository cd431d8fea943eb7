//! What was typed about a new container becomes what is asked of the engine. Nothing here talks with it.
//!
//! The JSON holds only what differs from the engine's defaults, which docker writes out in full.

pub mod egress;
mod health;
mod key_values;
pub mod mount;
pub mod network;
mod ports;
mod resources;
mod security;

use serde_json::{Map, Value, json};

use crate::grammar::container::ContainerFlags;

/// A JSON object under construction.
type Object = Map<String, Value>;

/// What the plan needs to know of the place the command was typed in.
pub struct Surroundings<'a> {
    /// A variable of the client's environment.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// Relative host paths start here.
    pub folder: std::path::PathBuf,
    /// Rows and columns of the terminal, if stdout is one.
    pub console: Option<(u16, u16)>,
}

impl std::fmt::Debug for Surroundings<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Surroundings {{ folder: {:?}, console: {:?} }}", self.folder, self.console)
    }
}

/// Which standard streams the command stays attached to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attached {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
}

impl Attached {
    /// Whether any is.
    pub fn any(self) -> bool {
        self.stdin || self.stdout || self.stderr
    }
}

/// A container as it will be asked for.
#[derive(Debug)]
pub struct Plan {
    pub image: String,
    pub name: Option<String>,
    pub platform: Option<String>,
    pub attached: Attached,
    pub tty: bool,
    pub remove: bool,
    /// The body of `POST /containers/create`.
    pub body: Value,
}

/// Makes the plan of a container; `detach` is `run -d`.
///
/// # Errors
/// The sentence that docker says, for what its flag parser lets through and its client refuses.
pub fn plan(flags: &ContainerFlags, detach: bool, around: &Surroundings<'_>) -> Result<Plan, String> {
    let (image, command) = flags.operands.split_first().ok_or("an image is needed")?;
    if !matches!(flags.pull.as_str(), "always" | "missing" | "never") {
        let text = &flags.pull;
        return Err(format!("invalid pull option: '{text}': must be one of \"always\", \"missing\" or \"never\""));
    }
    let attached = if detach { Attached::default() } else { attached(flags) };
    let mut body = config(flags, command, around)?;
    body.insert("Image".to_owned(), json!(image));
    put(&mut body, "AttachStdin", attached.stdin);
    put(&mut body, "AttachStdout", attached.stdout);
    put(&mut body, "AttachStderr", attached.stderr);
    put(&mut body, "StdinOnce", attached.stdin && flags.interactive);
    let mut host = host_config(flags, around)?;
    ports::write(flags, &mut body, &mut host)?;
    mount::write(flags, around, &mut body, &mut host);
    body.insert("HostConfig".to_owned(), Value::Object(host));
    network::write(flags, &mut body)?;
    Ok(Plan {
        image: image.clone(),
        name: flags.name.clone().filter(|name| !name.is_empty()),
        platform: flags.platform.as_deref().filter(|text| !text.is_empty()).map(platform).transpose()?,
        attached,
        tty: flags.tty,
        remove: flags.rm,
        body: Value::Object(body),
    })
}

fn attached(flags: &ContainerFlags) -> Attached {
    let named = |stream: &str| flags.attach.iter().any(|name| name == stream);
    let none_named = flags.attach.is_empty();
    Attached {
        stdin: flags.interactive || named("stdin"),
        stdout: none_named || named("stdout"),
        stderr: none_named || named("stderr"),
    }
}

fn config(flags: &ContainerFlags, command: &[String], around: &Surroundings<'_>) -> Result<Object, String> {
    let mut config = Object::new();
    put_text(&mut config, "Hostname", &flags.hostname);
    put_text(&mut config, "Domainname", &flags.domainname);
    put_text(&mut config, "User", &flags.user);
    put_text(&mut config, "WorkingDir", &flags.workdir);
    put_text(&mut config, "StopSignal", &flags.stop_signal);
    put(&mut config, "Tty", flags.tty);
    put(&mut config, "OpenStdin", flags.interactive);
    if let Some(seconds) = flags.stop_timeout {
        config.insert("StopTimeout".to_owned(), json!(seconds));
    }
    if !command.is_empty() {
        config.insert("Cmd".to_owned(), json!(command));
    }
    if let Some(entrypoint) = &flags.entrypoint {
        config.insert("Entrypoint".to_owned(), json!([entrypoint]));
    }
    put_list(&mut config, "Env", &key_values::environment(&flags.env_file, &flags.env, around)?);
    let mut labels = key_values::labels(&flags.label_file, &flags.label)?;
    labels.extend(health::label(flags));
    put_map(&mut config, "Labels", labels);
    if let Some(check) = health::check(flags)? {
        config.insert("Healthcheck".to_owned(), check);
    }
    Ok(config)
}

fn host_config(flags: &ContainerFlags, around: &Surroundings<'_>) -> Result<Object, String> {
    let mut host = Object::new();
    let restart = restart_policy(flags.restart.as_deref().unwrap_or_default())?;
    if flags.rm && restart["Name"] != "no" {
        return Err("conflicting options: cannot specify both --restart and --rm".to_owned());
    }
    host.insert("RestartPolicy".to_owned(), restart);
    put(&mut host, "AutoRemove", flags.rm);
    put(&mut host, "Privileged", flags.privileged);
    put(&mut host, "PublishAllPorts", flags.publish_all);
    put(&mut host, "ReadonlyRootfs", flags.read_only);
    if let Some(init) = flags.init {
        host.insert("Init".to_owned(), json!(init));
    }
    for (key, value) in [
        ("ContainerIDFile", &flags.cidfile),
        ("Runtime", &flags.runtime),
        ("Isolation", &flags.isolation),
        ("VolumeDriver", &flags.volume_driver),
    ] {
        put_text(&mut host, key, value);
    }
    for (key, values) in [
        ("Dns", &flags.dns),
        ("DnsOptions", &flags.dns_option),
        ("DnsSearch", &flags.dns_search),
        ("ExtraHosts", &flags.add_host),
        ("GroupAdd", &flags.group_add),
        ("Links", &flags.link),
        ("VolumesFrom", &flags.volumes_from),
    ] {
        put_list(&mut host, key, values);
    }
    if let Some(policy) = flags.egress.policy() {
        host.insert("Egress".to_owned(), policy);
    }
    namespaces(flags, &mut host)?;
    logging(flags, &mut host)?;
    resources::write(flags, &mut host)?;
    security::write(flags, &mut host)?;
    put_map(&mut host, "Annotations", key_values::pairs(&flags.annotation));
    put_map(&mut host, "Sysctls", key_values::pairs(&flags.sysctl));
    if flags.storage_opt.iter().any(|option| !option.contains('=')) {
        return Err("invalid storage option".to_owned());
    }
    put_map(&mut host, "StorageOpt", key_values::pairs(&flags.storage_opt));
    if let Some((rows, columns)) = around.console {
        host.insert("ConsoleSize".to_owned(), json!([rows, columns]));
    }
    Ok(host)
}

fn namespaces(flags: &ContainerFlags, host: &mut Object) -> Result<(), String> {
    let one_of = |value: &Option<String>, words: &[&str]| {
        value.as_deref().is_none_or(|text| text.is_empty() || words.contains(&text))
    };
    let pid_of_container =
        flags.pid.as_deref().is_some_and(|text| text.strip_prefix("container:").is_some_and(|c| !c.is_empty()));
    if !pid_of_container && !one_of(&flags.pid, &["host"]) {
        return Err("--pid: invalid PID mode".to_owned());
    }
    if !one_of(&flags.uts, &["host"]) {
        return Err("--uts: invalid UTS mode".to_owned());
    }
    if !one_of(&flags.userns, &["host"]) {
        return Err("--userns: invalid USER mode".to_owned());
    }
    if !one_of(&flags.cgroupns, &["host", "private"]) {
        return Err("--cgroupns: invalid CGROUP mode".to_owned());
    }
    for (key, value) in [
        ("PidMode", &flags.pid),
        ("UTSMode", &flags.uts),
        ("UsernsMode", &flags.userns),
        ("CgroupnsMode", &flags.cgroupns),
        ("IpcMode", &flags.ipc),
    ] {
        put_text(host, key, value);
    }
    Ok(())
}

fn logging(flags: &ContainerFlags, host: &mut Object) -> Result<(), String> {
    let driver = flags.log_driver.as_deref().unwrap_or_default();
    if driver == "none" && !flags.log_opt.is_empty() {
        return Err(format!("invalid logging opts for driver {driver}"));
    }
    if !driver.is_empty() || !flags.log_opt.is_empty() {
        let options = key_values::pairs(&flags.log_opt);
        host.insert("LogConfig".to_owned(), json!({ "Type": driver, "Config": options }));
    }
    Ok(())
}

/// `no`, `always`, `unless-stopped` or `on-failure[:times]`; the engine judges the name.
pub(crate) fn restart_policy(text: &str) -> Result<Value, String> {
    let (name, times) = text.split_once(':').map_or((text, None), |(name, times)| (name, Some(times)));
    if name.is_empty() && times.is_some() {
        return Err("invalid restart policy format: no policy provided before colon".to_owned());
    }
    let times: i64 = match times {
        None | Some("") => 0,
        Some(times) => {
            times.parse().map_err(|_| "invalid restart policy format: maximum retry count must be an integer")?
        }
    };
    let name = if name.is_empty() { "no" } else { name };
    Ok(if times == 0 { json!({ "Name": name }) } else { json!({ "Name": name, "MaximumRetryCount": times }) })
}

/// `os/arch[/variant]` from what people write of it, such as `arm64` or `linux/x86_64`.
fn platform(text: &str) -> Result<String, String> {
    let wrong =
        || format!("error parsing specified platform: {text:?}: cannot parse platform specifier: invalid argument");
    let parts: Vec<&str> = text.split('/').collect();
    let good = |part: &&str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    if parts.len() > 3 || !parts.iter().all(good) {
        return Err(wrong());
    }
    let machine = |name: &str| match name.to_lowercase().as_str() {
        "x86_64" | "x86-64" => "amd64".to_owned(),
        "aarch64" => "arm64".to_owned(),
        other => other.to_owned(),
    };
    Ok(match parts.as_slice() {
        ["linux"] => "linux".to_owned(),
        [arch] => format!("linux/{}", machine(arch)),
        [os, arch] => format!("{}/{}", os.to_lowercase(), machine(arch)),
        [os, arch, variant] => format!("{}/{}/{}", os.to_lowercase(), machine(arch), variant.to_lowercase()),
        _ => return Err(wrong()),
    })
}

fn put(object: &mut Object, key: &str, value: bool) {
    if value {
        object.insert(key.to_owned(), Value::Bool(true));
    }
}

fn put_text(object: &mut Object, key: &str, value: &Option<String>) {
    if let Some(text) = value.as_ref().filter(|text| !text.is_empty()) {
        object.insert(key.to_owned(), json!(text));
    }
}

fn put_number(object: &mut Object, key: &str, value: Option<i64>) {
    if let Some(number) = value.filter(|number| *number != 0) {
        object.insert(key.to_owned(), json!(number));
    }
}

fn put_list(object: &mut Object, key: &str, values: &[String]) {
    if !values.is_empty() {
        object.insert(key.to_owned(), json!(values));
    }
}

fn put_map(object: &mut Object, key: &str, values: Object) {
    if !values.is_empty() {
        object.insert(key.to_owned(), Value::Object(values));
    }
}

pub use key_values::environment;
pub use ports::bindings;

#[cfg(test)]
mod tests;
