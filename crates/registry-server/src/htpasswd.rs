//! Apache's file of users with bcrypt hashes, read again when it changes.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};

/// Passwords that were right are remembered, since bcrypt is slow on purpose and clients send theirs with each request.
const MAX_REMEMBERED: usize = 1000;
/// Hashed for a user who is not there when the file has no other.
const NOBODY: &str = "$2y$05$abcdefghijklmnopqrstuuA9rGkkkqBvGGHdBdAqYb3pIGiQqp9OG";

/// Why a file of users cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HtpasswdError {
    #[error("cannot read the users in {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot use line {line} of {path}: expected USER:HASH with a bcrypt hash, as `htpasswd -B` writes it")]
    Line { path: PathBuf, line: usize },
}

/// The users of a file.
#[derive(Debug)]
pub struct Htpasswd {
    path: PathBuf,
    /// Makes remembered passwords worthless to others.
    salt: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    stamp: Stamp,
    users: Arc<Users>,
    remembered: HashSet<[u8; 32]>,
}

#[derive(Debug)]
struct Users {
    hashes: HashMap<String, String>,
    /// What is hashed for a user who is not there, so that he cannot be told from one who is by the time that takes:
    /// as costly as the most costly of the others.
    nobody: String,
}

impl Users {
    fn new(hashes: HashMap<String, String>) -> Users {
        let costly = hashes.values().max_by_key(|hash| hash.get(4..6).unwrap_or_default().to_owned());
        let nobody = costly.map_or_else(|| NOBODY.to_owned(), String::clone);
        Users { hashes, nobody }
    }
}

impl Default for Users {
    fn default() -> Users {
        Users::new(HashMap::new())
    }
}

type Stamp = (u64, u64, i64, i64);

impl Htpasswd {
    pub fn open(path: &Path) -> Result<Htpasswd, HtpasswdError> {
        let (stamp, hashes) = read(path)?;
        let state = State { stamp, users: Arc::new(Users::new(hashes)), remembered: HashSet::new() };
        Ok(Htpasswd { path: path.to_owned(), salt: base::Id::random().to_string(), state: Mutex::new(state) })
    }

    /// Whether the password was found to be the user's before. Reads the file when it has changed: must be called on a
    /// thread that may block.
    pub fn remembers(&self, user: &str, password: &str) -> bool {
        self.reload();
        let key = self.key(user, password);
        self.state().remembered.contains(&key)
    }

    /// Whether the password is the user's. Takes a while: must be called on a thread that may block.
    pub fn verify(&self, user: &str, password: &str) -> bool {
        if self.remembers(user, password) {
            return true;
        }
        let key = self.key(user, password);
        let users = Arc::clone(&self.state().users);
        let hash = users.hashes.get(user).unwrap_or(&users.nobody);
        let right = bcrypt::verify(password, hash).unwrap_or(false) && users.hashes.contains_key(user);
        let mut state = self.state();
        // Only if nobody changed the file in the meantime.
        if right && Arc::ptr_eq(&users, &state.users) {
            if state.remembered.len() >= MAX_REMEMBERED {
                state.remembered.clear();
            }
            state.remembered.insert(key);
        }
        right
    }

    /// A file that cannot be read leaves the users as they were.
    fn reload(&self) {
        let mut state = self.state();
        let new = match stamp(&self.path) {
            Ok(new) if new == state.stamp => return,
            Ok(new) => new,
            Err(error) => return tracing::warn!(path = %self.path.display(), %error, "cannot look at the users"),
        };
        // Not tried again before the next change.
        state.stamp = new;
        match read(&self.path) {
            Ok((stamp, hashes)) => {
                *state = State { stamp, users: Arc::new(Users::new(hashes)), remembered: HashSet::new() };
            }
            Err(error) => tracing::warn!(error = base::chain(&error), "the users stay as they were"),
        }
    }

    fn key(&self, user: &str, password: &str) -> [u8; 32] {
        let mut hash = Sha256::new();
        for part in [self.salt.as_str(), user, password] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stamp(path: &Path) -> io::Result<Stamp> {
    let data = fs::metadata(path)?;
    Ok((data.ino(), data.len(), data.mtime(), data.mtime_nsec()))
}

fn read(path: &Path) -> Result<(Stamp, HashMap<String, String>), HtpasswdError> {
    let failed = |source| HtpasswdError::Read { path: path.to_owned(), source };
    let stamp = stamp(path).map_err(failed)?;
    let text = fs::read_to_string(path).map_err(failed)?;
    let mut hashes = HashMap::new();
    for (number, line) in text.lines().map(str::trim).enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let bcrypt = |hash: &str| ["$2y$", "$2a$", "$2b$", "$2x$"].iter().any(|kind| hash.starts_with(kind));
        match line.split_once(':') {
            Some((user, hash)) if !user.is_empty() && bcrypt(hash) => hashes.insert(user.to_owned(), hash.to_owned()),
            _ => return Err(HtpasswdError::Line { path: path.to_owned(), line: number + 1 }),
        };
    }
    Ok((stamp, hashes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(user: &str, password: &str) -> String {
        format!("{user}:{}\n", bcrypt::hash(password, 4).unwrap())
    }

    #[test]
    fn users_are_read_again_when_the_file_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        fs::write(&path, line("me", "one")).unwrap();
        let users = Htpasswd::open(&path).unwrap();
        assert!(users.verify("me", "one") && users.verify("me", "one"));
        assert!(!users.verify("me", "two") && !users.verify("you", "one") && !users.verify("", ""));
        fs::write(&path, line("me", "two") + "# more\n" + &line("you", "three")).unwrap();
        assert!(!users.verify("me", "one"));
        assert!(users.verify("me", "two") && users.verify("you", "three"));
        fs::write(&path, "broken").unwrap();
        assert!(users.verify("me", "two"), "a broken file changes nothing");
    }

    #[test]
    fn other_hashes_are_refused_with_a_hint() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        fs::write(&path, "me:$apr1$x$y\n").unwrap();
        let error = Htpasswd::open(&path).unwrap_err().to_string();
        assert!(error.contains("line 1") && error.contains("htpasswd -B"), "{error}");
    }

    #[test]
    fn a_user_who_is_not_there_costs_as_much_as_one_who_is() {
        let hashes =
            [("a", 4), ("b", 6), ("c", 5)].map(|(user, cost)| (user.to_owned(), bcrypt::hash("x", cost).unwrap()));
        let users = Users::new(hashes.into());
        assert_eq!(users.nobody, users.hashes["b"]);
        assert_eq!(Users::default().nobody, NOBODY);

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        fs::write(&path, line("me", "one")).unwrap();
        let users = Htpasswd::open(&path).unwrap();
        assert!(!users.verify("you", "one"), "the password of the hash that stands in lets nobody in");
        assert!(!users.remembers("me", "one"));
        assert!(users.verify("me", "one") && users.remembers("me", "one") && !users.remembers("you", "one"));
    }

    #[test]
    fn the_hash_of_nobody_is_one() {
        assert!(matches!(bcrypt::verify("x", NOBODY), Ok(false)));
    }
}
