//! What the cache takes up, and what of it goes.

use super::{Store, number};
use crate::Result;
use base::Digest;
use rusqlite::params;
use std::collections::{BTreeMap, BTreeSet};

/// One thing that the cache keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub id: String,
    pub kind: RecordKind,
    pub description: String,
    /// Bytes.
    pub size: u64,
    /// Milliseconds since 1970.
    pub made_at: i64,
    pub used_at: i64,
    pub uses: u64,
    /// An image has the same layer.
    pub shared: Kept,
    /// A build uses it now.
    pub in_use: Kept,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    No,
    Yes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordKind {
    /// The layer of a step.
    Layer,
    /// A cache mount.
    Mount,
}

/// What is to go.
#[derive(Debug, Clone, Default)]
pub struct Prune {
    /// Also what images share.
    pub all: bool,
    /// Used before this time only, in milliseconds since 1970.
    pub unused_since: Option<i64>,
    /// Bytes that may stay: what was used last.
    pub keep: Option<u64>,
    /// Only these, by id or the beginning of one.
    pub ids: Vec<String>,
    pub kind: Option<RecordKind>,
}

/// What went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    pub ids: Vec<String>,
    /// Bytes.
    pub reclaimed: u64,
}

/// A layer and the steps that came to it.
#[derive(Debug, Clone)]
pub(crate) struct Layered {
    pub diff_id: Digest,
    pub record: Record,
}

impl Store {
    /// The layers that the cache keeps, each once.
    pub(crate) fn layers(&self, of_images: &BTreeSet<Digest>) -> Result<Vec<Layered>> {
        let rows: Vec<(String, i64, String, i64, i64, i64)> = self.run(|connection| {
            let mut statement = connection.prepare(
                "SELECT layer, max(bytes), title, min(made_at), max(used_at), sum(uses) FROM step
                 WHERE layer IS NOT NULL GROUP BY layer ORDER BY max(used_at)",
            )?;
            let rows = statement.query_map([], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
            })?;
            rows.collect()
        })?;
        let mut found = Vec::new();
        for (layer, bytes, description, made_at, used_at, uses) in rows {
            let Ok(diff_id) = layer.parse::<Digest>() else { continue };
            let shared = if of_images.contains(&diff_id) { Kept::Yes } else { Kept::No };
            let record = Record {
                id: diff_id.hex()[..25].to_owned(),
                kind: RecordKind::Layer,
                description,
                size: u64::try_from(bytes).unwrap_or(0),
                made_at,
                used_at,
                uses: u64::try_from(uses).unwrap_or(0),
                shared,
                in_use: Kept::No,
            };
            found.push(Layered { diff_id, record });
        }
        Ok(found)
    }

    /// Forgets the steps that came to these layers, and those of before `unused_since` that came to none.
    pub(crate) fn forget_layers(&self, layers: &[Digest], unused_since: Option<i64>) -> Result<()> {
        self.run(|connection| {
            let change = connection.unchecked_transaction()?;
            for layer in layers {
                change.prepare_cached("DELETE FROM step WHERE layer = ?1")?.execute([layer.to_string()])?;
            }
            let before = unused_since.unwrap_or(number(u64::MAX));
            change.prepare_cached("DELETE FROM step WHERE layer IS NULL AND used_at < ?1")?.execute(params![before])?;
            change.commit()
        })
    }
}

impl Prune {
    /// Which of `records` (those not used for longest first) are to go.
    pub(crate) fn chosen(&self, records: &[Record]) -> BTreeSet<String> {
        let mut left: u64 = records.iter().map(|record| record.size).sum();
        let mut chosen = BTreeMap::new();
        for record in records {
            let is_wanted = self.ids.is_empty() || self.ids.iter().any(|id| record.id.starts_with(id.as_str()));
            let is_old = self.unused_since.is_none_or(|since| record.used_at < since);
            let may_go = record.in_use == Kept::No && (self.all || record.shared == Kept::No);
            let is_kind = self.kind.is_none_or(|kind| kind == record.kind);
            let is_too_much = self.keep.is_none_or(|keep| left > keep);
            if is_wanted && is_old && may_go && is_kind && is_too_much {
                left -= record.size;
                chosen.insert(record.id.clone(), ());
            }
        }
        chosen.into_keys().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str, used_at: i64, shared: Kept, in_use: Kept) -> Record {
        Record {
            id: id.to_owned(),
            kind: RecordKind::Layer,
            description: String::new(),
            size: 10,
            made_at: 0,
            used_at,
            uses: 1,
            shared,
            in_use,
        }
    }

    #[test]
    fn what_was_not_used_for_longest_goes_and_what_is_needed_stays() {
        let records = [
            record("old", 1, Kept::No, Kept::No),
            record("shared", 2, Kept::Yes, Kept::No),
            record("busy", 3, Kept::No, Kept::Yes),
            record("new", 4, Kept::No, Kept::No),
        ];
        let chosen = |prune: Prune| prune.chosen(&records).into_iter().collect::<Vec<_>>();
        assert_eq!(chosen(Prune::default()), ["new", "old"]);
        assert_eq!(chosen(Prune { all: true, ..Prune::default() }), ["new", "old", "shared"]);
        assert_eq!(chosen(Prune { keep: Some(30), ..Prune::default() }), ["old"]);
        assert_eq!(chosen(Prune { keep: Some(40), ..Prune::default() }), [""; 0]);
        assert_eq!(chosen(Prune { unused_since: Some(4), ..Prune::default() }), ["old"]);
        assert_eq!(chosen(Prune { ids: vec!["ne".into()], ..Prune::default() }), ["new"]);
        assert_eq!(chosen(Prune { kind: Some(RecordKind::Mount), ..Prune::default() }), [""; 0]);
    }

    #[test]
    fn a_layer_is_kept_once_however_many_steps_came_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let key = |number: u8| Digest::from_bytes([number; 32]);
        let made = crate::cache::Made { diff_id: key(9), tar: 2048, bytes: 7 };
        let outcome = crate::cache::Outcome { layer: Some(made), created: "2026-01-01T00:00:00Z".into() };
        let none = crate::cache::Outcome { layer: None, created: "2026-01-01T00:00:00Z".into() };
        store.keep(&key(1), "RUN a", &outcome).unwrap();
        store.keep(&key(2), "RUN b", &outcome).unwrap();
        store.keep(&key(3), "ENV c", &none).unwrap();
        store.used(&[key(1)]).unwrap();
        drop(store);
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.find(&key(2)).unwrap(), Some(outcome));
        let layers = store.layers(&BTreeSet::from([key(9)])).unwrap();
        assert_eq!((layers.len(), layers[0].record.size, layers[0].record.uses), (1, 7, 3));
        assert_eq!(layers[0].record.shared, Kept::Yes);
        store.forget_layers(&[key(9)], None).unwrap();
        assert_eq!((store.find(&key(1)).unwrap(), store.find(&key(3)).unwrap()), (None, None));
    }
}
