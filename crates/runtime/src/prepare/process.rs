//! The process part of a plan.

use super::{PrepareError, Result, capabilities, machine};
use crate::{ProcessPlan, limits};
use oci::runtime::{Linux, Process, Spec};
use std::collections::BTreeMap;

/// Checks a process and compiles it.
pub(crate) fn compile(process: &Process, seccomp: Option<Vec<u8>>) -> Result<ProcessPlan> {
    check(process)?;
    let none = oci::runtime::Capabilities::default();
    let rlimits = process.rlimits.iter().map(|limit| {
        let number =
            limits::number(&limit.kind).ok_or_else(|| PrepareError::Invalid(format!("limit {}", limit.kind)))?;
        match limit.soft <= limit.hard {
            true => Ok((number, limit.soft, limit.hard)),
            false => Err(PrepareError::Invalid(format!("{}: the soft limit is above the hard one", limit.kind))),
        }
    });
    let mut plan = ProcessPlan {
        args: process.args.iter().map(|text| text.clone().into_bytes()).collect(),
        env: environment(&process.env),
        cwd: process.cwd.clone(),
        uid: process.user.uid,
        gid: process.user.gid,
        groups: process.user.additional_gids.clone(),
        umask: process.user.umask,
        capabilities: capabilities::compile(process.capabilities.as_ref().unwrap_or(&none))?,
        rlimits: rlimits.collect::<Result<_>>()?,
        no_new_privileges: process.no_new_privileges,
        seccomp: seccomp.filter(|filter| !filter.is_empty()),
        seccomp_flags: seccomp::USUAL_FLAGS,
        terminal: process.terminal,
        console_size: process.console_size.map(|size| (size.height, size.width)),
        oom_score_adj: process.oom_score_adj,
        apparmor_profile: process.apparmor_profile.clone().filter(|profile| !profile.is_empty()),
        ..ProcessPlan::default()
    };
    machine::of_process(process, &mut plan)?;
    Ok(plan)
}

/// The same for a process that joins a container: what it does not say is the container's.
pub(crate) fn compile_joining(process: &Process, spec: &Spec, seccomp: Option<Vec<u8>>) -> Result<ProcessPlan> {
    let mut whole = process.clone();
    if let Some(init) = &spec.process {
        whole.scheduler = whole.scheduler.or_else(|| init.scheduler.clone());
        whole.io_priority = whole.io_priority.or_else(|| init.io_priority.clone());
        whole.exec_cpu_affinity = whole.exec_cpu_affinity.or_else(|| init.exec_cpu_affinity.clone());
        if whole.rlimits.is_empty() {
            whole.rlimits.clone_from(&init.rlimits);
        }
    }
    let mut plan = compile(&whole, seccomp)?;
    machine::of_container(spec.linux.as_ref().unwrap_or(&Linux::default()), &mut plan)?;
    Ok(plan)
}

/// Each variable once, in the order of their last appearance: the last one counts.
fn environment(list: &[String]) -> Vec<Vec<u8>> {
    let name = |entry: &'_ str| entry.split_once('=').map_or(entry.len(), |(name, _)| name.len());
    let mut last = BTreeMap::new();
    for (position, entry) in list.iter().enumerate() {
        last.insert(&entry[..name(entry)], position);
    }
    let is_last = |(position, entry): &(usize, &String)| last.get(&entry[..name(entry)]) == Some(position);
    list.iter().enumerate().filter(is_last).map(|(_, entry)| entry.clone().into_bytes()).collect()
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
        Some(_) => check_labels(process),
    }
}

/// A label that no security module would enforce is no protection.
pub(super) fn check_labels(process: &Process) -> Result<()> {
    let given = |label: &Option<String>| label.as_ref().is_some_and(|label| !label.is_empty());
    if given(&process.selinux_label) {
        let exists = rustix::fs::access("/sys/fs/selinux/enforce", rustix::fs::Access::EXISTS).is_ok();
        let absent = "selinux label is specified in config, but selinux is disabled or not supported";
        return Err(match exists {
            true => PrepareError::Unsupported("SELinux labels".into()),
            false => PrepareError::Refused(absent.into()),
        });
    }
    let enabled = || std::fs::read("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.starts_with(b"Y"));
    if given(&process.apparmor_profile) && !enabled() {
        let absent = "unable to apply apparmor profile: apparmor: config provided but apparmor not supported";
        return Err(PrepareError::Refused(absent.into()));
    }
    Ok(())
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
        assert_eq!(plan.seccomp_flags, seccomp::USUAL_FLAGS);
    }

    #[test]
    fn the_last_of_equal_variables_counts() {
        let list = ["A=1", "B=2", "A=", "C", "A=x=y"].map(str::to_owned);
        assert_eq!(environment(&list), [b"B=2".to_vec(), b"C".to_vec(), b"A=x=y".to_vec()]);
    }

    #[test]
    fn a_joining_process_has_the_limits_and_priorities_of_the_container() {
        let mut init = process();
        init.rlimits = vec![Rlimit { kind: "RLIMIT_NOFILE".into(), soft: 1, hard: 2 }];
        let (class, priority) = ("IOPRIO_CLASS_BE".to_owned(), 4);
        init.io_priority = Some(oci::runtime::IoPriority { class, priority });
        let personality = Some(oci::runtime::Personality { domain: "LINUX32".into(), flags: Vec::new() });
        let linux = Some(Linux { personality, ..Linux::default() });
        let spec = Spec { process: Some(init), linux, ..Spec::default() };
        let plan = compile_joining(&process(), &spec, None).unwrap();
        assert_eq!((plan.rlimits, plan.io_priority, plan.personality), (vec![(7, 1, 2)], Some(2 << 13 | 4), Some(8)));
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
