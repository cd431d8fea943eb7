//! `USER` texts, looked up in the container's own /etc/passwd and /etc/group.
//!
//! The files belong to the container: they may be links, devices, pipes, endless or nonsense (CVE-2024-9676). A line that is
//! not well formed is no entry at all; a number that cannot be read never becomes 0.

use base::{Kind, Kinded};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::collections::HashMap;
use std::io::Read;
use std::os::fd::BorrowedFd;

/// The most that is read of /etc/passwd or /etc/group, in bytes.
const MOST: usize = 10 << 20;
const LARGEST_ID: u64 = (1 << 31) - 1;
/// Bytes of a name, its end included (LOGIN_NAME_MAX, sysconf(3)).
const LONGEST_NAME: usize = 256;
/// Lines whose names are kept.
const MOST_NAMES: usize = 10_000;

/// Looks `text` (`user[:group]`) up below `root` (a folder fd); `extra` are `--group-add` texts.
///
/// Files are opened inside the root only, must be regular (others count as missing), and at most 10 MiB are read. A number
/// beyond 2^31-1 is refused, never wrapped. A text of digits is a number, never a name.
pub fn lookup(root: BorrowedFd<'_>, text: &str, extra: &[String]) -> Result<Found, UserError> {
    let (user, group) = text.split_once(':').unwrap_or((text, ""));
    let user = Wanted::parse(user)?;
    let group = Wanted::parse(group)?;
    let extra = extra.iter().map(|text| Wanted::parse(text)).collect::<Result<Vec<_>, _>>()?;

    let passwd = read(root, "/etc/passwd")?;
    let entry = find_user(&passwd, user.as_ref())?;
    let mut found = match (&entry, &user) {
        (Some(entry), _) => entry.found(),
        (None, Some(Wanted::Number(uid))) => Found::bare(*uid),
        (None, _) => Found::bare(0),
    };
    let names_group = |wanted: &Option<Wanted<'_>>| matches!(wanted, Some(Wanted::Name(_)));
    let has_memberships = group.is_none() && entry.is_some();
    let groups = match has_memberships || names_group(&group) || extra.iter().any(names_group) {
        true => read(root, "/etc/group")?,
        false => String::new(),
    };
    match &group {
        Some(wanted) => found.gid = find_group(&groups, wanted)?,
        None => found.groups = entry.as_ref().map_or_else(Vec::new, |entry| memberships(&groups, entry.name)),
    }
    for wanted in extra.iter().flatten() {
        found.groups.push(find_group(&groups, wanted)?);
    }
    found.groups.insert(0, found.gid);
    remove_repeated(&mut found.groups);
    Ok(found)
}

/// The names of users below `root` (a folder fd) by their ids, the first of each; those that are longer than any program takes
/// are left out. A file that cannot be read has none.
pub fn names(root: BorrowedFd<'_>) -> HashMap<u32, String> {
    let passwd = read(root, "/etc/passwd").unwrap_or_default();
    let mut names = HashMap::new();
    for entry in
        passwd.lines().filter_map(Entry::parse).filter(|entry| entry.name.len() < LONGEST_NAME).take(MOST_NAMES)
    {
        names.entry(entry.uid).or_insert_with(|| entry.name.to_owned());
    }
    names
}

/// Who that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub uid: u32,
    pub gid: u32,
    /// All groups, the primary one first, as Docker gives them to setgroups(2) (CVE-2022-36109).
    pub groups: Vec<u32>,
    /// The home folder from passwd, `/` when unknown.
    pub home: String,
}

impl Found {
    fn bare(uid: u32) -> Found {
        Found { uid, gid: 0, groups: Vec::new(), home: "/".to_owned() }
    }
}

/// Why a user was not found. Texts as Docker's.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    #[error("unable to find user {0}: no matching entries in passwd file")]
    NoUser(String),
    #[error("unable to find group {0}: no matching entries in group file")]
    NoGroup(String),
    #[error("invalid user {0:?}: uids and gids must be in range 0-2147483647")]
    Range(String),
    #[error("cannot read {path} of the container")]
    Read { path: &'static str, source: std::io::Error },
}

impl Kinded for UserError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

/// What a text asks for.
#[derive(Debug)]
enum Wanted<'a> {
    Number(u32),
    Name(&'a str),
}

impl<'a> Wanted<'a> {
    /// Digits with an optional sign are a number, as Go's `strconv.Atoi` reads it; `None` is the empty text.
    fn parse(text: &'a str) -> Result<Option<Wanted<'a>>, UserError> {
        if text.is_empty() {
            return Ok(None);
        }
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Ok(Some(Wanted::Name(text)));
        }
        let range = || UserError::Range(text.chars().take(100).collect());
        let number = id(digits).filter(|_| !text.starts_with('-')).ok_or_else(range)?;
        Ok(Some(Wanted::Number(number)))
    }
}

/// A well-formed line of passwd(5).
struct Entry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

impl<'a> Entry<'a> {
    fn parse(line: &'a str) -> Option<Entry<'a>> {
        let mut fields = line.trim().split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let uid = id(fields.nth(1)?)?;
        let gid = id(fields.next()?)?;
        Some(Entry { name, uid, gid, home: fields.nth(1).unwrap_or_default() })
    }

    fn found(&self) -> Found {
        let home = if self.home.is_empty() || self.home.contains('\0') { "/" } else { self.home };
        Found { uid: self.uid, gid: self.gid, groups: Vec::new(), home: home.to_owned() }
    }
}

fn find_user<'a>(passwd: &'a str, wanted: Option<&Wanted<'_>>) -> Result<Option<Entry<'a>>, UserError> {
    let matches = |entry: &Entry<'_>| match wanted {
        None => entry.uid == 0,
        Some(Wanted::Number(uid)) => entry.uid == *uid,
        Some(Wanted::Name(name)) => entry.name == *name,
    };
    match (passwd.lines().filter_map(Entry::parse).find(matches), wanted) {
        (None, Some(Wanted::Name(name))) => Err(UserError::NoUser((*name).to_owned())),
        (entry, _) => Ok(entry),
    }
}

/// The name, number and members of a well-formed line of group(5).
fn parse_group(line: &str) -> Option<(&str, u32, &str)> {
    let line = line.trim();
    if line.starts_with('#') {
        return None;
    }
    let mut fields = line.split(':');
    let name = fields.next().filter(|name| !name.is_empty())?;
    let gid = id(fields.nth(1)?)?;
    Some((name, gid, fields.next().unwrap_or_default()))
}

fn find_group(groups: &str, wanted: &Wanted<'_>) -> Result<u32, UserError> {
    match wanted {
        Wanted::Number(gid) => Ok(*gid),
        Wanted::Name(wanted) => groups
            .lines()
            .filter_map(parse_group)
            .find(|(name, _, _)| name == wanted)
            .map(|(_, gid, _)| gid)
            .ok_or_else(|| UserError::NoGroup((*wanted).to_owned())),
    }
}

fn memberships(groups: &str, user: &str) -> Vec<u32> {
    let is_member = |members: &str| members.split(',').any(|member| member == user);
    groups.lines().filter_map(parse_group).filter(|(_, _, members)| is_member(members)).map(|(_, gid, _)| gid).collect()
}

/// A number of digits only that is an id, in 0 to 2^31-1.
fn id(text: &str) -> Option<u32> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number = text.parse::<u64>().ok().filter(|number| *number <= LARGEST_ID)?;
    u32::try_from(number).ok()
}

fn remove_repeated(groups: &mut Vec<u32>) {
    let mut seen = std::collections::HashSet::new();
    groups.retain(|gid| seen.insert(*gid));
}

/// The text of a file below `root`; empty when there is none or it is not a regular file.
fn read(root: BorrowedFd<'_>, path: &'static str) -> Result<String, UserError> {
    let failed = |source: std::io::Error| UserError::Read { path, source };
    let fd = match open(root, path) {
        Ok(fd) => fd,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(String::new()),
        Err(e) => return Err(failed(e.into())),
    };
    let stat = rustix::fs::fstat(&fd).map_err(|e| failed(e.into()))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(String::new());
    }
    let size = usize::try_from(stat.st_size).unwrap_or(0).min(MOST);
    let mut bytes = Vec::with_capacity(size + 1);
    let limit = u64::try_from(MOST + 1).unwrap_or(u64::MAX);
    std::fs::File::from(fd).take(limit).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > MOST {
        let source = std::io::Error::new(std::io::ErrorKind::FileTooLarge, "it is larger than 10 MiB");
        return Err(failed(source));
    }
    Ok(String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
}

/// Without waiting for a writer (a pipe), and again when a rename elsewhere disturbed the look-up (EAGAIN, openat2(2)).
fn open(root: BorrowedFd<'_>, path: &str) -> Result<std::os::fd::OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let mut attempts = 0;
    loop {
        match rustix::fs::openat2(root, path, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) if attempts < 64 => attempts += 1,
            other => return other,
        }
    }
}

#[cfg(test)]
#[path = "user_tests.rs"]
mod tests;
