//! What `exec` runs: a whole process from a file, or the container's own with what the options change.

use crate::bundle;
use crate::error::{Error, Result};
use crate::store::Container;
use crate::words::options::Exec;
use oci::runtime::{Process, User};

/// Reads and checks it.
pub fn read(container: &Container, options: &Exec) -> Result<Process> {
    match &options.process {
        Some(path) => bundle::read_process(path),
        None => {
            if options.command.is_empty() {
                return Err(Error::new("exec args cannot be empty"));
            }
            let bundle = bundle::enter(Some(&container.saved.bundle))?;
            let process = change(bundle.spec.process.unwrap_or_default(), options)?;
            bundle::check_process(Some(&process))?;
            Ok(process)
        }
    }
}

fn change(mut process: Process, options: &Exec) -> Result<Process> {
    process.args.clone_from(&options.command);
    if let Some(cwd) = filled(&options.cwd) {
        process.cwd = cwd;
    }
    process.apparmor_profile = filled(&options.apparmor).or(process.apparmor_profile);
    process.selinux_label = filled(&options.process_label).or(process.selinux_label);
    add_capabilities(&mut process, &options.caps);
    process.env.extend(options.env.iter().cloned());
    process.terminal = options.tty;
    process.no_new_privileges = options.no_new_privs.unwrap_or(process.no_new_privileges);
    if let Some(user) = filled(&options.user) {
        change_user(&mut process.user, &user)?;
    }
    for gid in &options.additional_gids {
        let gid =
            u32::try_from(*gid).map_err(|_| Error::new(format!("additional-gids must be a positive number {gid}")))?;
        process.user.additional_gids.push(gid);
    }
    Ok(process)
}

fn filled(text: &Option<String>) -> Option<String> {
    text.clone().filter(|text| !text.is_empty())
}

/// Ambient capabilities must be inheritable too, so they are only added to a process that has inheritable ones.
fn add_capabilities(process: &mut Process, added: &[String]) {
    if added.is_empty() {
        return;
    }
    let sets = process.capabilities.get_or_insert_default();
    for set in [&mut sets.bounding, &mut sets.effective, &mut sets.permitted] {
        set.extend(added.iter().cloned());
    }
    if !sets.inheritable.is_empty() {
        sets.ambient.extend(added.iter().cloned());
    }
}

/// `UID[:GID]`, in plain digits: what looks odd was meant to be something else.
fn change_user(user: &mut User, text: &str) -> Result<()> {
    let number = |text: &str, what: &str| match text.parse() {
        Ok(_) if text.starts_with('+') => Err(Error::new(format!("bad {what}: {text:?}: not a plain number"))),
        number => number.map_err(|e| Error::new(format!("bad {what}: {text:?}: {e}"))),
    };
    let (uid, gid) = text.split_once(':').map_or((text, None), |(uid, gid)| (uid, Some(gid)));
    if let Some(gid) = gid {
        user.gid = number(gid, "gid")?;
    }
    user.uid = number(uid, "uid")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_change_the_process_of_the_container() {
        let process = Process {
            cwd: "/".to_owned(),
            args: vec!["sh".to_owned()],
            env: vec!["A=1".to_owned()],
            terminal: true,
            ..Process::default()
        };
        let options = Exec {
            command: vec!["id".to_owned()],
            cwd: Some("/tmp".to_owned()),
            env: vec!["B=2".to_owned()],
            user: Some("1000:100".to_owned()),
            additional_gids: vec![7],
            caps: vec!["CAP_SYSLOG".to_owned()],
            ..Exec::default()
        };
        let changed = change(process, &options).unwrap();
        assert_eq!((changed.cwd.as_str(), changed.terminal), ("/tmp", false));
        assert_eq!(changed.env, ["A=1", "B=2"]);
        assert_eq!((changed.user.uid, changed.user.gid, changed.user.additional_gids), (1000, 100, vec![7]));
        let sets = changed.capabilities.unwrap();
        assert_eq!((sets.bounding.len(), sets.ambient.len()), (1, 0));
    }

    #[test]
    fn a_user_is_told_by_numbers() {
        let mut user = User::default();
        assert!(change_user(&mut user, "root").unwrap_err().message.starts_with("bad uid: "));
        assert!(change_user(&mut user, "0:wheel").unwrap_err().message.starts_with("bad gid: "));
        assert!(change_user(&mut user, "+0").unwrap_err().message.ends_with("not a plain number"));
        change_user(&mut user, "5").unwrap();
        assert_eq!((user.uid, user.gid), (5, 0));
    }
}
