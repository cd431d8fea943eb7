//! What a container may do: capabilities, `--security-opt`, devices.

use super::list;
use crate::status::Refusal;
use api::types::{DeviceMapping, HostConfig};
use container::{Config, DeviceRequest, DriverDevices, SeccompChoice};

/// Fills in the fields of security.
pub fn put(config: &mut Config, host: &HostConfig) -> Result<(), Refusal> {
    config.privileged = host.privileged;
    config.cap_add = list(&host.cap_add).to_vec();
    config.cap_drop = list(&host.cap_drop).to_vec();
    config.masked_paths = host.masked_paths.clone();
    config.readonly_paths = host.readonly_paths.clone();
    config.devices = list(&host.devices).iter().map(device).collect::<Result<_, _>>()?;
    config.driver_devices = list(&host.device_requests).iter().map(driver_device).collect();
    list(&host.security_opt).iter().try_for_each(|text| option(config, text))
}

fn option(config: &mut Config, text: &str) -> Result<(), Refusal> {
    if matches!(text, "no-new-privileges") {
        config.no_new_privileges = true;
        return Ok(());
    }
    if text == "disable" {
        return Ok(());
    }
    if text == "writable-cgroups" {
        config.writable_cgroups = true;
        return Ok(());
    }
    let wrong = |number| Refusal::internal(format!("invalid --security-opt {number}: {text:?}"));
    let (key, value) = text.split_once('=').or_else(|| text.split_once(':')).ok_or_else(|| wrong(1))?;
    match key {
        // SELinux: as on a machine without it, labels mean nothing.
        "label" => {}
        "apparmor" => config.apparmor = Some(value.to_owned()),
        "seccomp" => config.seccomp = seccomp(value)?,
        "no-new-privileges" => config.no_new_privileges = truth(value).ok_or_else(|| wrong(2))?,
        "writable-cgroups" => config.writable_cgroups = truth(value).ok_or_else(|| wrong(2))?,
        "systempaths" if value == "unconfined" => config.system_paths_unconfined = true,
        _ => return Err(wrong(2)),
    }
    Ok(())
}

/// `unconfined`, `builtin`, or the text of a profile.
fn seccomp(value: &str) -> Result<SeccompChoice, Refusal> {
    match value {
        "unconfined" => Ok(SeccompChoice::Unconfined),
        "builtin" | "" => Ok(SeccompChoice::Default),
        profile => {
            let broken = |e: serde_json::Error| Refusal::invalid(format!("Decoding seccomp profile failed: {e}"));
            serde_json::from_str::<serde::de::IgnoredAny>(profile).map_err(broken)?;
            Ok(SeccompChoice::Profile(profile.to_owned()))
        }
    }
}

/// Go's strconv.ParseBool.
fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// `--gpus`, and `--device vendor.com/class=name`
fn driver_device(asked: &api::types::DeviceRequest) -> DriverDevices {
    DriverDevices {
        driver: asked.driver.clone(),
        count: asked.count,
        ids: list(&asked.device_ids).to_vec(),
        capabilities: list(&asked.capabilities).to_vec(),
        options: asked.options.clone().unwrap_or_default(),
    }
}

fn device(asked: &DeviceMapping) -> Result<DeviceRequest, Refusal> {
    let or = |text: &str, other: &str| if text.is_empty() { other.to_owned() } else { text.to_owned() };
    let access = or(&asked.cgroup_permissions, "rwm");
    if asked.path_on_host.is_empty() || !access.bytes().all(|b| b"rwm".contains(&b)) {
        let text = format!("{}:{}:{}", asked.path_on_host, asked.path_in_container, asked.cgroup_permissions);
        return Err(Refusal::invalid(format!("invalid device specification: {text}")));
    }
    let container_path = or(&asked.path_in_container, &asked.path_on_host);
    Ok(DeviceRequest { host_path: asked.path_on_host.clone(), container_path, access })
}
