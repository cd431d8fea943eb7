//! Profile files: Docker's format, of which the specification's is a part.

use crate::Error;
use crate::machine::Machine;
use crate::names::CAPABILITIES;
use oci::runtime::{Seccomp, SeccompArg, SeccompRule};
use serde::Deserialize;

/// A whole file. Go writes `null` for an empty list, so every list may be one.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct File {
    default_action: Option<String>,
    default_errno_ret: Option<u32>,
    architectures: Option<Vec<String>>,
    arch_map: Option<Vec<ArchMap>>,
    flags: Option<Vec<String>>,
    syscalls: Option<Vec<Rule>>,
}

/// An architecture and those that come with it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ArchMap {
    architecture: String,
    sub_architectures: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Rule {
    /// The old spelling of a single name.
    name: Option<String>,
    names: Option<Vec<String>>,
    action: String,
    errno_ret: Option<u32>,
    args: Option<Vec<SeccompArg>>,
    includes: Option<Filter>,
    excludes: Option<Filter>,
}

/// What a rule depends on.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Filter {
    caps: Option<Vec<String>>,
    arches: Option<Vec<String>>,
    min_kernel: Option<String>,
}

/// What rules are compared with.
struct Place {
    machine: Machine,
    capabilities: u64,
    kernel: (u32, u32),
}

/// Reads a profile file in Docker's format (`--security-opt seccomp=FILE`: `archMap`, `includes`, `excludes`), or in the specification's.
///
/// Rules are kept or dropped for this kernel, this architecture and `capabilities` (bit n is capability number n). A file
/// that says nothing (`{}`) allows everything, as with Docker.
pub fn parse_profile(json: &str, capabilities: u64) -> Result<Seccomp, Error> {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let kernel = kernel_version(&release).unwrap_or_default();
    parse(json, &Place { machine: Machine::NATIVE, capabilities, kernel })
}

fn parse(json: &str, place: &Place) -> Result<Seccomp, Error> {
    if json.trim_start().starts_with('[') {
        return Err(Error::Invalid("it is a list, not an object".to_owned()));
    }
    let file: File = serde_json::from_str(json)?;
    let architectures = architectures(&file, place.machine)?;
    let rules = file.syscalls.unwrap_or_default();
    let default_action = match file.default_action.unwrap_or_default() {
        word if word.is_empty() && rules.is_empty() => "SCMP_ACT_ALLOW".to_owned(),
        word => word,
    };
    let mut syscalls = Vec::with_capacity(rules.len());
    for rule in rules {
        if applies(&rule, place)? {
            syscalls.push(plain(rule)?);
        }
    }
    let profile = Seccomp {
        default_action,
        default_errno_ret: file.default_errno_ret,
        architectures,
        flags: file.flags,
        syscalls,
        ..Seccomp::default()
    };
    crate::rules::Rules::read(&profile)?;
    crate::rules::install_flags(&profile)?;
    Ok(profile)
}

fn architectures(file: &File, machine: Machine) -> Result<Vec<String>, Error> {
    let plain = file.architectures.clone().unwrap_or_default();
    let map = file.arch_map.as_deref().unwrap_or_default();
    if !plain.is_empty() && !map.is_empty() {
        return Err(Error::Invalid("both 'architectures' and 'archMap' are specified, use either".to_owned()));
    }
    let Some(entry) = map.iter().find(|entry| entry.architecture == machine.name()) else { return Ok(plain) };
    let companions = entry.sub_architectures.iter().flatten().cloned();
    Ok([entry.architecture.clone()].into_iter().chain(companions).collect())
}

fn applies(rule: &Rule, place: &Place) -> Result<bool, Error> {
    if let Some(filter) = &rule.excludes {
        let arch = filter.arches.iter().flatten().any(|name| name == place.machine.short_name());
        let capability = filter.caps.iter().flatten().any(|name| place.has(name));
        if arch || capability || at_least(filter, place)? == Some(true) {
            return Ok(false);
        }
    }
    let Some(filter) = &rule.includes else { return Ok(true) };
    let arches = filter.arches.as_deref().unwrap_or_default();
    let arch = arches.is_empty() || arches.iter().any(|name| name == place.machine.short_name());
    let capabilities = filter.caps.iter().flatten().all(|name| place.has(name));
    Ok(at_least(filter, place)? != Some(false) && arch && capabilities)
}

/// Whether the kernel is as new as the filter says; `None` when it says nothing.
fn at_least(filter: &Filter, place: &Place) -> Result<Option<bool>, Error> {
    let Some(text) = filter.min_kernel.as_deref().filter(|text| !text.is_empty()) else { return Ok(None) };
    let wrong = || Error::Invalid(format!("invalid kernel version {text:?}, expected \"<kernel>.<major>\""));
    let (kernel, major) = text.split_once('.').ok_or_else(wrong)?;
    let number = |digits: &str| digits.parse::<u8>().map(u32::from).map_err(|_| wrong());
    let least = (number(kernel)?, number(major)?);
    if least == (0, 0) {
        return Err(wrong());
    }
    Ok(Some(place.kernel >= least))
}

fn plain(rule: Rule) -> Result<SeccompRule, Error> {
    let names = match (rule.name.filter(|name| !name.is_empty()), rule.names.unwrap_or_default()) {
        (Some(_), names) if !names.is_empty() => {
            return Err(Error::Invalid("both 'name' and 'names' are specified, use either".to_owned()));
        }
        (Some(name), _) => vec![name],
        (None, names) => names,
    };
    Ok(SeccompRule { names, action: rule.action, errno_ret: rule.errno_ret, args: rule.args.unwrap_or_default() })
}

impl Place {
    fn has(&self, capability: &str) -> bool {
        CAPABILITIES.iter().position(|name| *name == capability).is_some_and(|bit| self.capabilities >> bit & 1 == 1)
    }
}

/// The first two numbers of a kernel's release: `6.18.2-arch1` is (6, 18).
fn kernel_version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Place = Place { machine: Machine::X86_64, capabilities: 1 << 21, kernel: (5, 10) };

    fn names(json: &str) -> Vec<String> {
        let profile = parse(&format!(r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{json}]}}"#), &HERE).unwrap();
        profile.syscalls.into_iter().flat_map(|rule| rule.names).collect()
    }

    fn kept(condition: &str) -> bool {
        !names(&format!(r#"{{"names":["read"],"action":"SCMP_ACT_ALLOW",{condition}}}"#)).is_empty()
    }

    #[test]
    fn rules_depend_on_capabilities_architecture_and_kernel() {
        assert!(kept(r#""includes":{"caps":["CAP_SYS_ADMIN"]}"#));
        assert!(!kept(r#""includes":{"caps":["CAP_SYS_ADMIN","CAP_BPF"]}"#));
        assert!(!kept(r#""excludes":{"caps":["CAP_BPF","CAP_SYS_ADMIN"]}"#));
        assert!(kept(r#""includes":{"arches":["amd64","x32"]}"#));
        assert!(!kept(r#""includes":{"arches":["s390x"]}"#));
        assert!(!kept(r#""excludes":{"arches":["amd64"]}"#));
        assert!(kept(r#""includes":{"minKernel":"4.8"}"#));
        assert!(kept(r#""includes":{"minKernel":"5.10"}"#));
        assert!(!kept(r#""includes":{"minKernel":"5.11"}"#));
        assert!(!kept(r#""excludes":{"minKernel":"5.10"}"#));
        assert!(kept(r#""includes":{},"excludes":null"#));
        assert!(!kept(r#""includes":{"caps":["CAP_OF_THE_FUTURE"]}"#));
    }

    #[test]
    fn null_lists_and_the_old_single_name_are_read() {
        assert_eq!(
            names(r#"{"name":"read","names":null,"action":"SCMP_ACT_ALLOW","args":null,"comment":""}"#),
            ["read"]
        );
    }

    #[test]
    fn the_architecture_map_gives_this_machines_entry() {
        let json = r#"{"defaultAction":"SCMP_ACT_ALLOW","archMap":[
            {"architecture":"SCMP_ARCH_S390X","subArchitectures":["SCMP_ARCH_S390"]},
            {"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86","SCMP_ARCH_X32"]}]}"#;
        assert_eq!(parse(json, &HERE).unwrap().architectures, ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]);
    }

    #[test]
    fn a_profile_of_the_specification_is_read_as_it_stands() {
        let json = r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,"architectures":["SCMP_ARCH_X86_64"],
            "flags":["SECCOMP_FILTER_FLAG_LOG"],"syscalls":[{"names":["socket"],"action":"SCMP_ACT_ALLOW",
            "args":[{"index":0,"value":1,"valueTwo":2,"op":"SCMP_CMP_MASKED_EQ"}]}]}"#;
        let profile = parse(json, &HERE).unwrap();
        assert_eq!(profile, serde_json::from_str(json).unwrap());
        assert_eq!(crate::install_flags(&profile).unwrap(), 2);
    }

    #[test]
    fn flags_that_are_not_spoken_of_are_those_of_runc() {
        let flags = |flags: Option<&[&str]>, action: &str| {
            let rule =
                SeccompRule { names: vec!["read".to_owned()], action: action.to_owned(), ..SeccompRule::default() };
            let flags = flags.map(|flags| flags.iter().map(|flag| format!("SECCOMP_FILTER_FLAG_{flag}")).collect());
            crate::install_flags(&Seccomp { flags, syscalls: vec![rule], ..Seccomp::default() })
        };
        let allow = "SCMP_ACT_ALLOW";
        assert_eq!((flags(None, allow).unwrap(), flags(Some(&[]), allow).unwrap()), (4, 0));
        assert_eq!(flags(Some(&["TSYNC", "LOG", "SPEC_ALLOW"]), allow).unwrap(), 6);
        let waits = Some(["WAIT_KILLABLE_RECV"].as_slice());
        assert_eq!((flags(waits, allow).unwrap(), flags(waits, "SCMP_ACT_NOTIFY").unwrap()), (0, 32));
        let unknown = flags(Some(&["NONE"]), allow).unwrap_err().to_string();
        assert!(unknown.ends_with("seccomp flag SECCOMP_FILTER_FLAG_NONE is not known to runc"), "{unknown}");
    }

    #[test]
    fn only_a_profile_that_asks_a_listener_needs_one() {
        let rule = |action: &str| SeccompRule {
            names: vec!["read".to_owned()],
            action: action.to_owned(),
            ..SeccompRule::default()
        };
        let profile = |actions: &[&str]| Seccomp {
            syscalls: actions.iter().map(|one| rule(one)).collect(),
            ..Seccomp::default()
        };
        assert!(crate::uses_notify(&profile(&["SCMP_ACT_ALLOW", "SCMP_ACT_NOTIFY"])));
        assert!(!crate::uses_notify(&profile(&["SCMP_ACT_ALLOW"])));
        assert!(crate::is_empty(&profile(&[])) && !crate::is_empty(&profile(&["SCMP_ACT_ALLOW"])));
    }

    #[test]
    fn an_empty_file_allows_everything() {
        assert_eq!(parse("{}", &HERE).unwrap().default_action, "SCMP_ACT_ALLOW");
    }

    #[test]
    fn broken_files_are_refused() {
        let rule = |rule: &str| format!(r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{rule}]}}"#);
        for json in [
            "".to_owned(),
            "[]".to_owned(),
            r#"{"defaultAction":"SCMP_ACT_SOMETHING"}"#.to_owned(),
            r#"{"defaultAction":"SCMP_ACT_NOTIFY"}"#.to_owned(),
            r#"{"defaultAction":"SCMP_ACT_ALLOW","flags":["NONE"]}"#.to_owned(),
            r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86"],"archMap":[{"architecture":"a"}]}"#
                .to_owned(),
            rule(r#"{"name":"read","names":["write"],"action":"SCMP_ACT_ALLOW"}"#),
            rule(r#"{"names":[""],"action":"SCMP_ACT_ALLOW"}"#),
            rule(r#"{"names":["read"],"action":""}"#),
            rule(r#"{"names":["read"],"action":"SCMP_ACT_ERRNO","errnoRet":4096}"#),
            rule(r#"{"names":["write"],"action":"SCMP_ACT_NOTIFY"}"#),
            rule(r#"{"names":["read"],"action":"SCMP_ACT_ALLOW","args":[{"index":6,"op":"SCMP_CMP_EQ"}]}"#),
            rule(r#"{"names":["read"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"op":"=="}]}"#),
            rule(r#"{"names":["read"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":-1,"op":"SCMP_CMP_EQ"}]}"#),
            rule(r#"{"names":["read"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"4"}}"#),
            rule(r#"{"names":["read"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"4.8.1"}}"#),
            rule(r#"{"names":["read"],"action":"SCMP_ACT_ALLOW","excludes":{"minKernel":"0.0"}}"#),
        ] {
            assert!(parse(&json, &HERE).is_err(), "{json}");
        }
    }

    #[test]
    fn releases_of_all_sorts_have_a_version() {
        for (release, version) in [("6.18.44", (6, 18)), ("3.12-rc5", (3, 12)), ("5.10-1-amd64", (5, 10))] {
            assert_eq!(kernel_version(release), Some(version));
        }
        assert_eq!(kernel_version("linux"), None);
    }
}
