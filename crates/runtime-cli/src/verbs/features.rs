//! `features`: what this runtime can do, as JSON (runtime-spec 1.3, features.md and features-linux.md).

use crate::error::{Error, Result};
use crate::words::say;
use serde::Serialize;
use serde_json::{Value, json};

const HOOKS: [&str; 6] = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

const NAMESPACES: [&str; 8] = ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"];

/// Options of mounts that are not for the file system.
const MOUNT_OPTIONS: &[&str] = &[
    "async",
    "atime",
    "bind",
    "defaults",
    "dev",
    "diratime",
    "dirsync",
    "exec",
    "idmap",
    "iversion",
    "lazytime",
    "loud",
    "mand",
    "noatime",
    "nodev",
    "nodiratime",
    "noexec",
    "noiversion",
    "nolazytime",
    "nomand",
    "norelatime",
    "nostrictatime",
    "nosuid",
    "nosymfollow",
    "private",
    "ratime",
    "rbind",
    "rdev",
    "rdiratime",
    "relatime",
    "remount",
    "rexec",
    "ridmap",
    "rnoatime",
    "rnodev",
    "rnodiratime",
    "rnoexec",
    "rnorelatime",
    "rnostrictatime",
    "rnosuid",
    "rnosymfollow",
    "ro",
    "rprivate",
    "rrelatime",
    "rro",
    "rrw",
    "rshared",
    "rslave",
    "rstrictatime",
    "rsuid",
    "rsymfollow",
    "runbindable",
    "rw",
    "shared",
    "silent",
    "slave",
    "strictatime",
    "suid",
    "symfollow",
    "sync",
    "tmpcopyup",
    "unbindable",
];

const ACTIONS: [&str; 9] = [
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_TRAP",
];

const OPERATORS: [&str; 7] =
    ["SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT", "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE"];

/// Those whose calls a kernel for x86 or ARM never makes are let by.
const ARCHITECTURES: [&str; 18] = [
    "SCMP_ARCH_AARCH64",
    "SCMP_ARCH_ARM",
    "SCMP_ARCH_LOONGARCH64",
    "SCMP_ARCH_MIPS",
    "SCMP_ARCH_MIPS64",
    "SCMP_ARCH_MIPS64N32",
    "SCMP_ARCH_MIPSEL",
    "SCMP_ARCH_MIPSEL64",
    "SCMP_ARCH_MIPSEL64N32",
    "SCMP_ARCH_PPC",
    "SCMP_ARCH_PPC64",
    "SCMP_ARCH_PPC64LE",
    "SCMP_ARCH_RISCV64",
    "SCMP_ARCH_S390",
    "SCMP_ARCH_S390X",
    "SCMP_ARCH_X32",
    "SCMP_ARCH_X86",
    "SCMP_ARCH_X86_64",
];

const SECCOMP_FLAGS: [&str; 4] = [
    "SECCOMP_FILTER_FLAG_TSYNC",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_LOG",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
];

const MEMORY_MODES: [&str; 7] = [
    "MPOL_BIND",
    "MPOL_DEFAULT",
    "MPOL_INTERLEAVE",
    "MPOL_LOCAL",
    "MPOL_PREFERRED",
    "MPOL_PREFERRED_MANY",
    "MPOL_WEIGHTED_INTERLEAVE",
];

const MEMORY_FLAGS: [&str; 3] = ["MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"];

pub fn run() -> Result<()> {
    let mut json = Vec::new();
    let layout = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut json, layout);
    features().serialize(&mut serializer).map_err(|e| Error::of(&e))?;
    json.push(b'\n');
    say(&String::from_utf8_lossy(&json))
}

fn features() -> Value {
    json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": oci::state::VERSION,
        "hooks": HOOKS,
        "mountOptions": MOUNT_OPTIONS,
        "linux": linux(),
        "annotations": {
            "org.opencontainers.runc.checkpoint.enabled": "true",
            "org.opencontainers.runc.version": env!("CARGO_PKG_VERSION"),
        },
        "potentiallyUnsafeConfigAnnotations": ["bundle", "org.systemd.property.", "org.criu.config"],
    })
}

fn linux() -> Value {
    let enabled = json!({ "enabled": true });
    json!({
        "namespaces": NAMESPACES,
        "capabilities": runtime::known_capabilities(),
        "cgroup": { "v1": true, "v2": true, "systemd": true, "systemdUser": true, "rdma": true },
        "seccomp": {
            "enabled": true,
            "actions": ACTIONS,
            "operators": OPERATORS,
            "archs": ARCHITECTURES,
            "knownFlags": SECCOMP_FLAGS,
            "supportedFlags": SECCOMP_FLAGS,
        },
        "apparmor": enabled,
        // Labels of processes are set, those of mounts are not.
        "selinux": { "enabled": false },
        "intelRdt": { "enabled": true, "schemata": true, "monitoring": true },
        "memoryPolicy": { "modes": MEMORY_MODES, "flags": MEMORY_FLAGS },
        "mountExtensions": { "idmap": enabled },
        "netDevices": enabled,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci::runtime::{Seccomp, SeccompArg, SeccompRule};

    fn profile(action: &str, op: &str, architecture: &str, flag: &str) -> Seccomp {
        let arg = SeccompArg { index: 0, value: 1, value_two: 1, op: op.to_owned() };
        Seccomp {
            default_action: "SCMP_ACT_ALLOW".to_owned(),
            architectures: vec![architecture.to_owned()],
            flags: Some(vec![flag.to_owned()]),
            listener_path: "/run/listener".to_owned(),
            syscalls: vec![SeccompRule {
                names: vec!["getcwd".to_owned()],
                action: action.to_owned(),
                args: vec![arg],
                ..SeccompRule::default()
            }],
            ..Seccomp::default()
        }
    }

    #[test]
    fn whatever_is_listed_of_seccomp_compiles() {
        let (action, op, arch, flag) = (ACTIONS[1], OPERATORS[0], "SCMP_ARCH_X86_64", SECCOMP_FLAGS[0]);
        let actions = ACTIONS.map(|action| profile(action, op, arch, flag)).into_iter();
        let operators = OPERATORS.map(|op| profile(action, op, arch, flag));
        let architectures = ARCHITECTURES.map(|arch| profile(action, op, arch, flag));
        let flags = SECCOMP_FLAGS.map(|flag| profile(action, op, arch, flag));
        for profile in actions.chain(operators).chain(architectures).chain(flags) {
            seccomp::compile(&profile).unwrap_or_else(|e| panic!("{profile:?}: {e}"));
            seccomp::install_flags(&profile).unwrap_or_else(|e| panic!("{profile:?}: {e}"));
        }
    }

    #[test]
    fn whatever_is_listed_of_memory_policies_is_taken() {
        let policy = |mode: &str, flags: &[&str]| {
            let nodes = if ["MPOL_DEFAULT", "MPOL_LOCAL"].contains(&mode) { "" } else { "0" };
            let spec = json!({
                "ociVersion": "1.2.0",
                "root": { "path": "rootfs" },
                "linux": {
                    "namespaces": [{ "type": "mount" }],
                    "memoryPolicy": { "mode": mode, "nodes": nodes, "flags": flags }
                }
            });
            runtime::validate(&serde_json::from_value(spec).unwrap())
        };
        MEMORY_MODES.iter().for_each(|mode| policy(mode, &[]).unwrap());
        MEMORY_FLAGS.iter().for_each(|flag| policy("MPOL_BIND", &[flag]).unwrap());
        policy("MPOL_BIND", &["MPOL_F_NONE"]).unwrap_err();
    }

    #[test]
    fn lists_are_without_doubles() {
        let mut options = MOUNT_OPTIONS.to_vec();
        options.sort_unstable();
        options.dedup();
        assert_eq!(options.len(), MOUNT_OPTIONS.len());
        assert_eq!(features()["linux"]["capabilities"][0], "CAP_CHOWN");
    }
}
