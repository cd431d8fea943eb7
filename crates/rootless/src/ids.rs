//! The ids of the user namespace: the user's own as 0, and those that /etc/subuid and /etc/subgid grant (subuid(5)).

use crate::Error;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Bytes of a file of the system that are read at most.
const MOST: u64 = 1 << 20;
/// Lines of a map at most (user_namespaces(7): 340), one of which is the user's own.
const MOST_RANGES: usize = 339;

/// Ids that belong to a user: the first and how many.
type Range = (u32, u32);

/// The maps of a namespace to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maps {
    uid: u32,
    gid: u32,
    /// Sub ids and the tools that set them; or why there is only one id.
    granted: Result<Granted, String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Granted {
    uids: Vec<Range>,
    gids: Vec<Range>,
    newuidmap: PathBuf,
    newgidmap: PathBuf,
}

impl Maps {
    /// What this user may have.
    pub fn of_this_user() -> Maps {
        let uid = rustix::process::geteuid().as_raw();
        let gid = rustix::process::getegid().as_raw();
        Maps { uid, gid, granted: granted(uid) }
    }

    /// Gives them to a process in a new user namespace. How many ids there are, and why only one.
    pub fn set(&self, pid: i32) -> Result<(u32, Option<String>), Error> {
        let why = match &self.granted {
            Ok(granted) => match self.set_granted(pid, granted) {
                Ok(()) => return Ok((granted.count(), None)),
                Err(why) => why,
            },
            Err(why) => why.clone(),
        };
        self.set_single(pid).map_err(|e| Error::Map(e.to_string()))?;
        Ok((1, Some(why)))
    }

    fn set_granted(&self, pid: i32, granted: &Granted) -> Result<(), String> {
        run(&granted.newuidmap, pid, self.uid, &granted.uids)?;
        run(&granted.newgidmap, pid, self.gid, &granted.gids)
    }

    /// Everybody may map his own id, when he gives up setgroups(2) (user_namespaces(7)).
    fn set_single(&self, pid: i32) -> io::Result<()> {
        let write = |name: &str, text: String| match fs::write(format!("/proc/{pid}/{name}"), text) {
            // newuidmap did its part before newgidmap failed.
            Err(e) if name == "uid_map" && e.kind() == io::ErrorKind::PermissionDenied && has_map(pid) => Ok(()),
            other => other,
        };
        write("setgroups", "deny".to_owned())?;
        write("gid_map", format!("0 {} 1", self.gid))?;
        write("uid_map", format!("0 {} 1", self.uid))
    }
}

impl Granted {
    fn count(&self) -> u32 {
        let sum = |ranges: &[Range]| ranges.iter().fold(1_u32, |sum, (_, count)| sum.saturating_add(*count));
        sum(&self.uids).min(sum(&self.gids))
    }
}

fn has_map(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/uid_map")).is_ok_and(|text| !text.trim().is_empty())
}

fn granted(uid: u32) -> Result<Granted, String> {
    let name = name_of(uid);
    let ranges = |path: &str| -> Result<Vec<Range>, String> {
        let text = bounded(Path::new(path)).unwrap_or_default();
        let found = parse(&text, name.as_deref(), uid);
        let who = name.clone().unwrap_or_else(|| uid.to_string());
        if found.is_empty() { Err(format!("{path} grants {who} no ids")) } else { Ok(found) }
    };
    let tool = |name: &str| find_program(name).ok_or_else(|| format!("{name} is not installed (package uidmap)"));
    Ok(Granted {
        uids: ranges("/etc/subuid")?,
        gids: ranges("/etc/subgid")?,
        newuidmap: tool("newuidmap")?,
        newgidmap: tool("newgidmap")?,
    })
}

/// The ranges of a user, by name or number, in the order of the file; lines that say nothing are left out.
fn parse(text: &str, name: Option<&str>, uid: u32) -> Vec<Range> {
    let number = uid.to_string();
    let ranges = text.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let owner = fields.next()?;
        let (first, count) = (fields.next()?.parse::<u32>().ok()?, fields.next()?.parse::<u32>().ok()?);
        let mine = Some(owner) == name || owner == number;
        (mine && count > 0 && first.checked_add(count).is_some()).then_some((first, count))
    });
    ranges.take(MOST_RANGES).collect()
}

/// The user's name in /etc/passwd; those of other sources of names are known by number only.
fn name_of(uid: u32) -> Option<String> {
    let text = bounded(Path::new("/etc/passwd"))?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

fn bounded(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(MOST).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// `newuidmap PID 0 OWN 1 1 FIRST COUNT ...`
fn run(tool: &Path, pid: i32, own: u32, ranges: &[Range]) -> Result<(), String> {
    let mut command = Command::new(tool);
    command.arg(pid.to_string()).args(["0", &own.to_string(), "1"]);
    let mut inside = 1_u32;
    for (first, count) in ranges {
        command.args([inside.to_string(), first.to_string(), count.to_string()]);
        inside = inside.saturating_add(*count);
    }
    let failed = |why: &str| format!("{} failed: {}", tool.display(), why.trim());
    let output = command.output().map_err(|e| failed(&e.to_string()))?;
    if output.status.success() { Ok(()) } else { Err(failed(&String::from_utf8_lossy(&output.stderr))) }
}

/// A program in PATH, or where systems have it.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/bin", "/usr/local/bin", "/bin", "/usr/sbin"].map(PathBuf::from);
    let folders = std::env::split_paths(&path).filter(|folder| folder.is_absolute()).chain(usual);
    folders.map(|folder| folder.join(name)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_found_by_name_and_by_number() {
        let text = "alice:100000:65536\nbob:1:1\n1000:300000:10\nalice:x:1\nalice:5:0\nalice:4294967295:2\n\nalice";
        assert_eq!(parse(text, Some("alice"), 1000), [(100_000, 65_536), (300_000, 10)]);
        assert_eq!(parse(text, None, 1000), [(300_000, 10)]);
        assert_eq!(parse(text, Some("carol"), 7), []);
    }

    #[test]
    fn a_map_has_no_more_lines_than_the_kernel_takes() {
        let text = "a:1:1\n".repeat(1000);
        assert_eq!(parse(&text, Some("a"), 1).len(), MOST_RANGES);
    }

    #[test]
    fn the_smaller_of_both_maps_counts() {
        let granted = Granted {
            uids: vec![(100_000, 65_536), (1, 10)],
            gids: vec![(100_000, 20)],
            newuidmap: PathBuf::new(),
            newgidmap: PathBuf::new(),
        };
        assert_eq!(granted.count(), 21);
    }
}
