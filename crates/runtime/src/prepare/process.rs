//! The process part of a plan.

use super::{PrepareError, Result, capabilities};
use crate::{ProcessPlan, limits};
use oci::runtime::Process;

/// Checks a process and compiles it.
pub(crate) fn compile(process: &Process, seccomp: Option<Vec<u8>>) -> Result<ProcessPlan> {
    check(process)?;
    let bytes = |list: &[String]| list.iter().map(|text| text.clone().into_bytes()).collect();
    let none = oci::runtime::Capabilities::default();
    let rlimits = process.rlimits.iter().map(|limit| {
        let number =
            limits::number(&limit.kind).ok_or_else(|| PrepareError::Invalid(format!("limit {}", limit.kind)))?;
        match limit.soft <= limit.hard {
            true => Ok((number, limit.soft, limit.hard)),
            false => Err(PrepareError::Invalid(format!("{}: the soft limit is above the hard one", limit.kind))),
        }
    });
    Ok(ProcessPlan {
        args: bytes(&process.args),
        env: bytes(&process.env),
        cwd: process.cwd.clone(),
        uid: process.user.uid,
        gid: process.user.gid,
        groups: process.user.additional_gids.clone(),
        umask: process.user.umask,
        capabilities: capabilities::compile(process.capabilities.as_ref().unwrap_or(&none))?,
        rlimits: rlimits.collect::<Result<_>>()?,
        no_new_privileges: process.no_new_privileges,
        seccomp: seccomp.filter(|filter| !filter.is_empty()),
        terminal: process.terminal,
        console_size: process.console_size.map(|size| (size.height, size.width)),
        oom_score_adj: process.oom_score_adj,
        apparmor_profile: process.apparmor_profile.clone().filter(|profile| !profile.is_empty()),
    })
}

fn check(process: &Process) -> Result<()> {
    let invalid = |what: &str| Err(PrepareError::Invalid(what.to_owned()));
    if process.args.first().is_none_or(String::is_empty) {
        return invalid("no program");
    }
    if process.args.iter().chain(&process.env).chain([&process.cwd]).any(|text| text.contains('\0')) {
        return invalid("an argument, variable or folder with a NUL inside");
    }
    if !process.cwd.starts_with('/') {
        return invalid("the working directory is not absolute");
    }
    let user = &process.user;
    // To the kernel this number is "no change", which would leave the process root.
    if [user.uid, user.gid].iter().chain(&user.additional_gids).any(|id| *id == u32::MAX) {
        return invalid("a user or group 4294967295");
    }
    if process.oom_score_adj.is_some_and(|score| !(-1000..=1000).contains(&score)) {
        return invalid("oom_score_adj is not between -1000 and 1000");
    }
    match process.selinux_label.as_deref() {
        None | Some("") => Ok(()),
        Some(label) => Err(PrepareError::Unsupported(format!("the SELinux label {label}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci::runtime::Rlimit;

    fn process() -> Process {
        Process { args: vec!["sh".into()], cwd: "/".into(), ..Process::default() }
    }

    #[test]
    fn a_plain_process_is_accepted() {
        let plan = compile(&process(), None).unwrap();
        assert_eq!((plan.args, plan.capabilities), (vec![b"sh".to_vec()], crate::Capabilities::default()));
    }

    #[test]
    fn what_the_kernel_would_misread_is_refused() {
        let mut all = vec![process(); 7];
        all[0].args.clear();
        all[1].cwd = "tmp".into();
        all[2].user.uid = u32::MAX;
        all[3].user.additional_gids = vec![0, u32::MAX];
        all[4].env = vec!["A=\0".into()];
        all[5].rlimits = vec![Rlimit { kind: "RLIMIT_NOFILE".into(), soft: 2, hard: 1 }];
        all[6].oom_score_adj = Some(-1001);
        for process in all {
            assert!(matches!(compile(&process, None), Err(PrepareError::Invalid(_))), "{process:?}");
        }
    }
}
