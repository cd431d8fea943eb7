//! What steps came to, by what they were made of: one SQLite file (WAL, synchronous=NORMAL), and the layers that it keeps.
//!
//! ```text
//!   key = digest of (the layers below, what the instruction means, the contents it reads)  ->  layer, or no change
//! ```
//!
//! After a loss of power the last steps may be missing: they are built again. A layer that is gone takes its step with it.

pub(crate) mod flight;
mod prune;

pub use prune::{Kept, Prune, Pruned, Record, RecordKind};

use crate::{Error, Result};
use base::Digest;
use rusqlite::{Connection, OptionalExtension, params};
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
        let failed = |source| Error::Cache { path: path.clone(), source };
        let connection = Connection::open(&path).map_err(failed)?;
        set_up(&connection).map_err(failed)?;
        Ok(Store { path: path.clone(), connection: Mutex::new(connection) })
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

    pub(crate) fn keep(&self, key: &Digest, title: &str, outcome: &Outcome) -> Result<()> {
        let (layer, tar, bytes) = match &outcome.layer {
            None => (None, 0, 0),
            Some(made) => (Some(made.diff_id.to_string()), number(made.tar), number(made.bytes)),
        };
        let now = jiff::Timestamp::now().as_millisecond();
        self.run(|connection| {
            connection
                .prepare_cached(
                    "INSERT OR REPLACE INTO step (key, layer, tar, bytes, created, title, made_at, used_at, uses)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, 1)",
                )?
                .execute(params![key.as_bytes(), layer, tar, bytes, outcome.created, title, now])
        })?;
        Ok(())
    }

    /// Steps that a build found here were used now.
    pub(crate) fn used(&self, keys: &[Digest]) -> Result<()> {
        let now = jiff::Timestamp::now().as_millisecond();
        self.run(|connection| {
            let change = connection.unchecked_transaction()?;
            for key in keys {
                change
                    .prepare_cached("UPDATE step SET used_at = ?2, uses = uses + 1 WHERE key = ?1")?
                    .execute(params![key.as_bytes(), now])?;
            }
            change.commit()
        })
    }

    pub(crate) fn forget(&self, key: &Digest) -> Result<()> {
        self.run(|connection| connection.prepare_cached("DELETE FROM step WHERE key = ?1")?.execute([key.as_bytes()]))?;
        Ok(())
    }

    fn run<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        work(&self.lock()).map_err(|source| Error::Cache { path: self.path.clone(), source })
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
