//! How records and states are kept: one SQLite file (WAL, synchronous=NORMAL).
//!
//! A record and its state are two rows, because a state changes several times in a container's life and a record does not:
//! writing a state costs one page. NORMAL survives the end of the engine; after a loss of power the last changes may be missing, and
//! the file is whole.

use crate::{Container, State};
use base::{Id, Kind, Kinded};
use rusqlite::{Connection, OpenFlags, params};
use serde::{Deserialize, Serialize};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The layout of the file this engine writes (`PRAGMA user_version`).
const LAYOUT: i64 = 1;
/// The form of the JSON texts in it.
const RECORD_VERSION: u32 = 1;

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS container (id TEXT PRIMARY KEY, name TEXT NOT NULL, record TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS state (id TEXT PRIMARY KEY, state TEXT NOT NULL) WITHOUT ROWID;
";

/// All records of an engine. Callable from many threads at once.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    writer: Mutex<Connection>,
}

/// Why a record cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot use the container database {path}")]
    Database { path: PathBuf, source: rusqlite::Error },
    #[error("the record of container {id} is broken")]
    Record { id: String, source: serde_json::Error },
    #[error("the container database {path} is of version {found}, this engine knows up to {known}: use a newer dhow")]
    Version { path: PathBuf, found: i64, known: i64 },
}

impl Kinded for StoreError {
    fn kind(&self) -> Kind {
        match self {
            StoreError::Database { .. } | StoreError::Record { .. } => Kind::Internal,
            StoreError::Version { .. } => Kind::Unsupported,
        }
    }
}

/// A record as it is on disk.
#[derive(Serialize, Deserialize)]
struct Record<T> {
    version: u32,
    value: T,
}

impl Store {
    /// Opens the database at `path`, made when missing, readable by its owner only.
    pub fn open(path: &Path) -> Result<Store, StoreError> {
        let failed = |source| StoreError::Database { path: path.to_owned(), source };
        make_private(path);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
        set_up(&connection).map_err(failed)?;
        let found = connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0)).map_err(failed)?;
        if found > LAYOUT {
            return Err(StoreError::Version { path: path.to_owned(), found, known: LAYOUT });
        }
        if found < LAYOUT {
            lay_out(&connection).map_err(failed)?;
        }
        connection.set_prepared_statement_cache_capacity(8);
        Ok(Store { path: path.to_owned(), writer: Mutex::new(connection) })
    }

    /// Keeps a new container. One that is there already is an error.
    pub fn insert(&self, container: &Container, state: &State) -> Result<(), StoreError> {
        let id = container.id.to_string();
        let record = to_text(&id, container)?;
        let state = to_text(&id, state)?;
        let mut writer = self.lock();
        let write =
            |connection: &mut Connection| {
                let change = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
                change
                    .prepare_cached("INSERT INTO container (id, name, record) VALUES (?1, ?2, ?3)")?
                    .execute(params![id, container.name, record])?;
                change
                    .prepare_cached("INSERT OR REPLACE INTO state (id, state) VALUES (?1, ?2)")?
                    .execute(params![id, state])?;
                change.commit()
            };
        write(&mut writer).map_err(|source| self.failed(source))
    }

    /// Keeps the state of a container that was inserted.
    pub fn save_state(&self, id: &Id, state: &State) -> Result<(), StoreError> {
        let id = id.to_string();
        let state = to_text(&id, state)?;
        self.write("UPDATE state SET state = ?2 WHERE id = ?1", params![id, state])
    }

    /// Keeps a changed record; its name stays.
    pub fn save_record(&self, container: &Container) -> Result<(), StoreError> {
        let id = container.id.to_string();
        let record = to_text(&id, container)?;
        self.write("UPDATE container SET record = ?2 WHERE id = ?1", params![id, record])
    }

    /// Keeps another name for a container.
    pub fn rename(&self, id: &Id, name: &str) -> Result<(), StoreError> {
        self.write("UPDATE container SET name = ?2 WHERE id = ?1", params![id.to_string(), name])
    }

    /// Forgets a container; one that is not there is none.
    pub fn remove(&self, id: &Id) -> Result<(), StoreError> {
        let id = id.to_string();
        let mut writer = self.lock();
        let write = |connection: &mut Connection| {
            let change = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            change.prepare_cached("DELETE FROM container WHERE id = ?1")?.execute([&id])?;
            change.prepare_cached("DELETE FROM state WHERE id = ?1")?.execute([&id])?;
            change.commit()
        };
        write(&mut writer).map_err(|source| self.failed(source))
    }

    /// All containers, oldest first. Those whose record cannot be read are logged and left where they are: one broken row
    /// must not keep an engine from starting. A container without a readable state is as if it were just created.
    pub fn all(&self) -> Result<Vec<(Container, State)>, StoreError> {
        let read = |connection: &Connection| {
            let mut statement = connection
                .prepare("SELECT container.id, name, record, state.state FROM container LEFT JOIN state ON state.id = container.id")?;
            let mut rows = statement.query([])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.extend(from_row(row));
            }
            Ok(found)
        };
        let mut found = read(&self.lock()).map_err(|source| self.failed(source))?;
        found.sort_by_key(|(container, _)| (container.created_at, container.id));
        Ok(found)
    }

    /// Moves the log into the file and gives memory back. Costs an fsync: for when the engine is idle.
    pub fn checkpoint(&self) -> Result<(), StoreError> {
        let run = |connection: &Connection| {
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
            connection.execute_batch("PRAGMA shrink_memory")
        };
        run(&self.lock()).map_err(|source| self.failed(source))
    }

    fn write(&self, statement: &str, values: impl rusqlite::Params) -> Result<(), StoreError> {
        let run = |connection: &Connection| connection.prepare_cached(statement)?.execute(values);
        run(&self.lock()).map(|_| ()).map_err(|source| self.failed(source))
    }

    /// A thread that panicked left no half-made change: SQLite takes an open transaction back.
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, source: rusqlite::Error) -> StoreError {
        StoreError::Database { path: self.path.clone(), source }
    }
}

/// SQLite gives its log and index the mode of the file itself. A failure shows when SQLite opens it.
fn make_private(path: &Path) {
    let _ = std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path);
}

/// Small caches (negative is KiB): an idle engine should weigh nothing. The log is moved into the file after 1000 pages
/// (4 MiB) at the latest, and cut to 1 MiB then.
fn set_up(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    connection.execute_batch(
        "PRAGMA synchronous = NORMAL;
         PRAGMA cache_size = -256;
         PRAGMA temp_store = MEMORY;
         PRAGMA trusted_schema = OFF;",
    )?;
    for limit in ["PRAGMA mmap_size = 0", "PRAGMA wal_autocheckpoint = 1000", "PRAGMA journal_size_limit = 1048576"] {
        let mut statement = connection.prepare(limit)?;
        let mut rows = statement.query([])?;
        while rows.next()?.is_some() {}
    }
    Ok(())
}

fn lay_out(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(&format!("BEGIN IMMEDIATE; {TABLES} PRAGMA user_version = {LAYOUT}; COMMIT;"))
}

fn to_text<T: Serialize>(id: &str, value: &T) -> Result<String, StoreError> {
    let record = Record { version: RECORD_VERSION, value };
    serde_json::to_string(&record).map_err(|source| StoreError::Record { id: id.to_owned(), source })
}

/// `None` for what is of another version, too.
fn from_text<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, String> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let Version { version } = serde_json::from_str(text).map_err(|e| e.to_string())?;
    if version != RECORD_VERSION {
        return Err(format!("it is of version {version}, this engine knows {RECORD_VERSION}"));
    }
    serde_json::from_str::<Record<T>>(text).map(|record| record.value).map_err(|e| e.to_string())
}

fn from_row(row: &rusqlite::Row<'_>) -> Option<(Container, State)> {
    let id: String = row.get(0).unwrap_or_else(|_| "?".to_owned());
    match container_from_row(row, &id) {
        Ok(container) => {
            let state = row.get::<_, Option<String>>(3).map_err(|e| e.to_string());
            let state = state.and_then(|text| from_text(text.as_deref().unwrap_or_default()));
            let state = state.unwrap_or_else(|why| {
                tracing::warn!(id, why, "the state of a container cannot be read: it counts as never started");
                State::default()
            });
            Some((container, state))
        }
        Err(why) => {
            tracing::warn!(id, why, "the record of a container cannot be read: it is left out");
            None
        }
    }
}

fn container_from_row(row: &rusqlite::Row<'_>, id: &str) -> Result<Container, String> {
    let text: String = row.get(2).map_err(|e| e.to_string())?;
    let mut container: Container = from_text(&text)?;
    if container.id.to_string() != id {
        return Err("it is another container's".to_owned());
    }
    container.name = row.get(1).map_err(|e| e.to_string())?;
    Ok(container)
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
