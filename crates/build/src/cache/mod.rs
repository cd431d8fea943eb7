//! What steps came to, by what they were made of: one SQLite file (WAL, synchronous=NORMAL), and the layers that it keeps.
//!
//! ```text
//!   key = digest of (the layers below, what the instruction means, the contents it reads)  ->  layer, or no change
//! ```
//!
//! After a loss of power the last steps may be missing: they are built again. A layer that is gone takes its step with it. A file
//! that is broken is put aside, and another one begun: a cache that cannot be read fails no build.

pub mod exchange;
mod filter;
pub(crate) mod flight;
mod policy;
mod prune;
mod why;

pub use exchange::{Blobs, ExchangeKind, Export, Import, Layout, Mode, Service};
pub use filter::Filter;
pub(crate) use policy::Disk;
pub use policy::{Limits, Policy, Share, Upkeep};
pub(crate) use prune::Layered;
pub use prune::{Kept, Prune, Pruned, Record, RecordKind, Space};
pub(crate) use why::Parts;
pub use why::{Change, Reason};

use crate::{Error, Result};
use base::Digest;
use oci::image::Descriptor;
use rusqlite::{Connection, ErrorCode, OptionalExtension, params};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The layout of the file this engine writes (`PRAGMA user_version`).
const LAYOUT: i64 = 1;

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS step (
        key BLOB PRIMARY KEY, layer TEXT, tar INTEGER NOT NULL, bytes INTEGER NOT NULL, created TEXT NOT NULL,
        title TEXT NOT NULL, made_at INTEGER NOT NULL, used_at INTEGER NOT NULL, uses INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS step_layer ON step (layer);
    CREATE TABLE IF NOT EXISTS packed (
        layer TEXT NOT NULL, form TEXT NOT NULL, descriptor TEXT NOT NULL, PRIMARY KEY (layer, form)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS above (layer TEXT PRIMARY KEY, parent TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS named (key BLOB PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS alias (quick BLOB PRIMARY KEY, key BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS past (
        key BLOB PRIMARY KEY, code TEXT NOT NULL, below TEXT, parts TEXT NOT NULL, seen INTEGER NOT NULL
    );
    CREATE INDEX IF NOT EXISTS past_code ON past (code, seen);
    CREATE INDEX IF NOT EXISTS past_below ON past (below, seen);
    CREATE INDEX IF NOT EXISTS past_seen ON past (seen);
";

/// The results of steps. Callable from many threads at once.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    connection: Mutex<Connection>,
}

/// What a step came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// `None`: it changed no file.
    pub layer: Option<Made>,
    /// RFC 3339; when it was done.
    pub created: String,
}

/// A layer that a step made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Made {
    pub diff_id: Digest,
    /// Bytes of its tar.
    pub tar: u64,
    /// Bytes of its files.
    pub bytes: u64,
}

impl Store {
    /// Opens the cache below `folder`, made when missing. One of another layout begins anew.
    pub fn open(folder: &Path) -> Result<Store> {
        let path = folder.join("steps.db");
        let connection = match opened(&path) {
            Err(error) if is_broken(&error) => begin_anew(&path, &error),
            other => other,
        };
        let connection = connection.map_err(|source| Error::Cache { path: path.clone(), source })?;
        Ok(Store { path, connection: Mutex::new(connection) })
    }

    /// What was made under a key.
    pub(crate) fn find(&self, key: &Digest) -> Result<Option<Outcome>> {
        let row = |row: &rusqlite::Row<'_>| {
            let layer: Option<String> = row.get(0)?;
            let numbers: (i64, i64) = (row.get(1)?, row.get(2)?);
            let made = layer.and_then(|text| text.parse().ok()).map(|diff_id| Made {
                diff_id,
                tar: u64::try_from(numbers.0).unwrap_or(0),
                bytes: u64::try_from(numbers.1).unwrap_or(0),
            });
            Ok(Outcome { layer: made, created: row.get(3)? })
        };
        self.run(|connection| {
            connection
                .prepare_cached("SELECT layer, tar, bytes, created FROM step WHERE key = ?1")?
                .query_row([key.as_bytes()], row)
                .optional()
        })
    }

    /// Bytes of the tar of a layer that some step came to.
    pub(crate) fn tar_of(&self, layer: &Digest) -> Result<Option<u64>> {
        let found: Option<i64> = self.run(|connection| {
            connection
                .prepare_cached("SELECT tar FROM step WHERE layer = ?1 AND key NOT IN (SELECT key FROM named) LIMIT 1")?
                .query_row([layer.to_string()], |row| row.get(0))
                .optional()
        })?;
        Ok(found.and_then(|tar| u64::try_from(tar).ok()))
    }

    pub(crate) fn keep(&self, key: &Digest, title: &str, outcome: &Outcome) -> Result<()> {
        self.write(key, (title, outcome), "REPLACE")?;
        self.run(|connection| {
            connection.prepare_cached("DELETE FROM named WHERE key = ?1")?.execute([key.as_bytes()])
        })?;
        Ok(())
    }

    /// The same of a step whose layer is not here: an imported cache says so, and nobody has looked yet.
    pub(crate) fn keep_named(&self, key: &Digest, title: &str, outcome: &Outcome) -> Result<()> {
        if self.write(key, (title, outcome), "IGNORE")? > 0 {
            self.run(|connection| {
                connection.prepare_cached("INSERT OR IGNORE INTO named (key) VALUES (?1)")?.execute([key.as_bytes()])
            })?;
        }
        Ok(())
    }

    /// Whether nobody has looked at what a step came to.
    pub(crate) fn is_named(&self, key: &Digest) -> Result<bool> {
        let found = self.run(|connection| {
            let sql = "SELECT 1 FROM named WHERE key = ?1";
            connection.prepare_cached(sql)?.query_row([key.as_bytes()], |_| Ok(())).optional()
        })?;
        Ok(found.is_some())
    }

    fn write(&self, key: &Digest, (title, outcome): (&str, &Outcome), or: &str) -> Result<usize> {
        let (layer, tar, bytes) = match &outcome.layer {
            None => (None, 0, 0),
            Some(made) => (Some(made.diff_id.to_string()), number(made.tar), number(made.bytes)),
        };
        let now = jiff::Timestamp::now().as_millisecond();
        let sql = format!(
            "INSERT OR {or} INTO step (key, layer, tar, bytes, created, title, made_at, used_at, uses)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, 1)"
        );
        self.run(|connection| {
            let values = params![key.as_bytes(), layer, tar, bytes, outcome.created, title, now];
            connection.prepare_cached(&sql)?.execute(values)
        })
    }

    /// Steps that a build found here were used now.
    pub(crate) fn used(&self, keys: &[Digest]) -> Result<()> {
        let (now, seen) = (jiff::Timestamp::now().as_millisecond(), self.next_seen());
        self.run(|connection| {
            let change = connection.unchecked_transaction()?;
            for key in keys {
                change
                    .prepare_cached("UPDATE step SET used_at = ?2, uses = uses + 1 WHERE key = ?1")?
                    .execute(params![key.as_bytes(), now])?;
                change
                    .prepare_cached("UPDATE past SET seen = ?2 WHERE key = ?1")?
                    .execute(params![key.as_bytes(), seen])?;
            }
            change.commit()
        })
    }

    pub(crate) fn forget(&self, key: &Digest) -> Result<()> {
        self.run(|connection| connection.prepare_cached("DELETE FROM step WHERE key = ?1")?.execute([key.as_bytes()]))?;
        Ok(())
    }

    /// A layer was made above another.
    pub(crate) fn stands_on(&self, layer: &Digest, parent: &Digest) -> Result<()> {
        self.run(|connection| {
            connection
                .prepare_cached("INSERT OR REPLACE INTO above (layer, parent) VALUES (?1, ?2)")?
                .execute([layer.to_string(), parent.to_string()])
        })?;
        Ok(())
    }

    /// A step is found by `quick`, too; by its own key it is found where what it reads comes from elsewhere.
    pub(crate) fn keep_alias(&self, quick: &Digest, key: &Digest) -> Result<()> {
        let insert = "INSERT OR REPLACE INTO alias (quick, key) VALUES (?1, ?2)";
        self.run(|connection| connection.prepare_cached(insert)?.execute([quick.as_bytes(), key.as_bytes()]))?;
        Ok(())
    }

    pub(crate) fn alias(&self, quick: &Digest) -> Result<Option<Digest>> {
        self.run(|connection| {
            connection
                .prepare_cached("SELECT key FROM alias WHERE quick = ?1")?
                .query_row([quick.as_bytes()], |row| Ok(Digest::from_bytes(row.get(0)?)))
                .optional()
        })
    }

    /// How a layer was compressed for others, in a form of which only the name counts here.
    pub(crate) fn packed(&self, layer: &Digest, form: &str) -> Result<Option<Descriptor>> {
        let found: Option<String> = self.run(|connection| {
            connection
                .prepare_cached("SELECT descriptor FROM packed WHERE layer = ?1 AND form = ?2")?
                .query_row(params![layer.to_string(), form], |row| row.get(0))
                .optional()
        })?;
        Ok(found.and_then(|text| serde_json::from_str(&text).ok()))
    }

    pub(crate) fn keep_packed(&self, layer: &Digest, form: &str, blob: &Descriptor) -> Result<()> {
        let text = serde_json::to_string(blob).unwrap_or_default();
        self.run(|connection| {
            connection
                .prepare_cached("INSERT OR REPLACE INTO packed (layer, form, descriptor) VALUES (?1, ?2, ?3)")?
                .execute(params![layer.to_string(), form, text])
        })?;
        Ok(())
    }

    /// Does `work`; once more in a new file when this one turns out to be broken.
    fn run<T>(&self, work: impl Fn(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        let mut connection = self.lock();
        let done = match work(&connection) {
            Err(error) if is_broken(&error) => {
                // The old one ends before the new one begins: it takes its log away by name.
                let anew = Connection::open_in_memory().and_then(|nothing| {
                    *connection = nothing;
                    begin_anew(&self.path, &error)
                });
                anew.and_then(|anew| {
                    *connection = anew;
                    work(&connection)
                })
            }
            other => other,
        };
        done.map_err(|source| Error::Cache { path: self.path.clone(), source })
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn opened(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    set_up(&connection)?;
    Ok(connection)
}

fn is_broken(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// Puts a broken file aside, for who wants to look at it, and begins another.
fn begin_anew(path: &Path, error: &rusqlite::Error) -> rusqlite::Result<Connection> {
    let aside = path.with_extension("broken");
    tracing::warn!("the build cache {} is broken ({error}): it is now {}", path.display(), aside.display());
    for end in ["", "-wal", "-shm"] {
        let name = |path: &Path| PathBuf::from(format!("{}{end}", path.display()));
        // What cannot be moved is told by the file that cannot be opened again.
        let _ = std::fs::rename(name(path), name(&aside));
    }
    opened(path)
}

fn set_up(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found != LAYOUT {
        connection.execute_batch("DROP TABLE IF EXISTS step;")?;
        connection.pragma_update(None, "user_version", LAYOUT)?;
    }
    connection.execute_batch(TABLES)
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
