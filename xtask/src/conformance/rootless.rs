//! runc's integration tests as an ordinary user: with its own id alone, and with ids of /etc/subuid and a group of its own.

use super::bats::Bats;
use super::{Suite, stage};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

/// The suite's own name for it.
const NAME: &str = "rootless";
/// Where the suite puts containers when the user may make groups.
const GROUP: &str = "runc-cgroups-integration-test";

/// An ordinary user with what was given to it.
pub struct User {
    uid: u32,
    gid: u32,
    home: String,
    ids: Option<Ids>,
}

/// Ranges in /etc/subuid and /etc/subgid: first and how many. The user's group is made with them.
struct Ids {
    uids: (u32, u32),
    gids: (u32, u32),
    groups: Vec<PathBuf>,
}

/// The suite once for each sort of user.
pub fn suites(checkout: &Path) -> Result<Vec<Box<dyn Suite>>, String> {
    let plain = User::find()?;
    let mut rich = User::find()?;
    rich.ids = Some(Ids::give(&rich)?);
    Ok(vec![Box::new(Bats::prepare(checkout)?.of(plain)), Box::new(Bats::prepare(checkout)?.of(rich))])
}

impl User {
    fn find() -> Result<User, String> {
        let hint = format!("there is no user {NAME}: useradd -m {NAME}");
        let passwd = fs::read_to_string("/etc/passwd").map_err(|e| format!("cannot read /etc/passwd: {e}"))?;
        let line = passwd.lines().find(|line| line.starts_with(&format!("{NAME}:"))).ok_or_else(|| hint.clone())?;
        let fields: Vec<&str> = line.split(':').collect();
        let [_, _, uid, gid, _, home, ..] = fields[..] else { return Err(hint) };
        let number = |text: &str| text.parse().map_err(|_| format!("/etc/passwd: {line}"));
        Ok(User { uid: number(uid)?, gid: number(gid)?, home: home.to_owned(), ids: None })
    }

    pub fn title(&self) -> &'static str {
        if self.ids.is_some() { "rootless+idmap+cgroup" } else { "rootless" }
    }

    /// Words before the command that make it this user's.
    pub fn words(&self) -> Vec<String> {
        let (uid, gid) = (self.uid.to_string(), self.gid.to_string());
        ["setpriv", "--reuid", &uid, "--regid", &gid, "--clear-groups"].map(str::to_owned).to_vec()
    }

    pub fn env(&self) -> Vec<(String, String)> {
        let mut env = vec![("HOME", self.home.clone()), ("USER", NAME.to_owned())];
        if let Some(ids) = &self.ids {
            env.push(("ROOTLESS_FEATURES", "idmap+cgroup".to_owned()));
            env.push(("ROOTLESS_UIDMAP_START", ids.uids.0.to_string()));
            env.push(("ROOTLESS_UIDMAP_LENGTH", ids.uids.1.to_string()));
            env.push(("ROOTLESS_GIDMAP_START", ids.gids.0.to_string()));
            env.push(("ROOTLESS_GIDMAP_LENGTH", ids.gids.1.to_string()));
        }
        env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Gives a folder to the user.
    pub fn own(&self, path: &Path) -> Result<(), String> {
        chown(path, Some(self.uid), Some(self.gid)).map_err(|e| format!("cannot give {} away: {e}", path.display()))
    }
}

impl Ids {
    fn give(user: &User) -> Result<Ids, String> {
        stage::need(&[("newuidmap", "uidmap")])?;
        let (uids, gids) = (range("/etc/subuid")?, range("/etc/subgid")?);
        let mut ids = Ids { uids, gids, groups: Vec::new() };
        for hierarchy in hierarchies() {
            let group = hierarchy.join(GROUP);
            fs::create_dir_all(&group).map_err(|e| format!("cannot make {}: {e}", group.display()))?;
            ids.groups.push(group.clone());
            for file in ["", "cgroup.procs", "tasks", "cgroup.subtree_control", "cpuset.cpus", "cpuset.mems"] {
                let path = if file.is_empty() { group.clone() } else { group.join(file) };
                if path.exists() {
                    user.own(&path)?;
                }
            }
            let mode = fs::Permissions::from_mode(0o775);
            fs::set_permissions(&group, mode).map_err(|e| format!("cannot open {}: {e}", group.display()))?;
        }
        Ok(ids)
    }
}

impl Drop for Ids {
    fn drop(&mut self) {
        for group in &self.groups {
            stage::remove(group);
        }
    }
}

/// Every hierarchy of version 1, or the one of version 2.
fn hierarchies() -> Vec<PathBuf> {
    let base = PathBuf::from("/sys/fs/cgroup");
    if base.join("cgroup.controllers").exists() { vec![base] } else { stage::folders(&base) }
}

fn range(file: &str) -> Result<(u32, u32), String> {
    let hint = || format!("{file} has no range for {NAME}: echo {NAME}:100000:65536 >> {file}");
    let text = fs::read_to_string(file).map_err(|e| format!("cannot read {file}: {e}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{NAME}:"))).ok_or_else(hint)?;
    let (first, many) = line.split_once(':').ok_or_else(hint)?;
    Ok((first.parse().map_err(|_| hint())?, many.trim().parse().map_err(|_| hint())?))
}
