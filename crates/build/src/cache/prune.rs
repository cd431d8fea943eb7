//! What the cache takes up, and what of it goes.

use super::filter::Filter;
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
    /// The records that it stands on.
    pub parents: Vec<String>,
}

impl Record {
    /// Whether builds write into it.
    pub fn is_mutable(&self) -> bool {
        self.kind != RecordKind::Layer
    }
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
    /// The files of a context that a client sent.
    Context,
}

impl RecordKind {
    /// BuildKit's name for it.
    pub fn name(self) -> &'static str {
        match self {
            RecordKind::Layer => "regular",
            RecordKind::Mount => "exec.cachemount",
            RecordKind::Context => "source.local",
        }
    }
}

/// What is to go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prune {
    /// Also what images share.
    pub all: bool,
    /// Used before this time only, in milliseconds since 1970.
    pub unused_since: Option<i64>,
    /// How much stays: what was used last.
    pub space: Space,
    /// Only what one of these fits; none: everything.
    pub filters: Vec<Filter>,
}

/// How much may stay, in bytes; without any limit all that may go goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Space {
    /// So much stays in any case.
    pub reserved: Option<u64>,
    /// No more than this stays.
    pub most: Option<u64>,
    /// Until so much of the disk is free.
    pub free: Option<u64>,
}

impl Space {
    /// As sizes come from clients: 0 is no limit.
    pub fn of(reserved: u64, most: u64, free: u64) -> Space {
        let limit = |size: u64| Some(size).filter(|size| *size > 0);
        Space { reserved: limit(reserved), most: limit(most), free: limit(free) }
    }

    /// Bytes that may stay of `total`, `disk_free` bytes of the disk being free; `None`: none need to.
    fn keeps(self, total: u64, disk_free: u64) -> Option<u64> {
        if self == Space::default() {
            return None;
        }
        let missing = self.free.map(|free| free.saturating_sub(disk_free));
        let by_free = missing.map(|missing| total.saturating_sub(missing));
        let most = match (self.most, by_free) {
            (Some(most), Some(by_free)) => most.min(by_free),
            (most, by_free) => most.or(by_free).unwrap_or(0),
        };
        Some(most.max(self.reserved.unwrap_or(0)))
    }
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
        let parents = self.parents()?;
        let mut found = Vec::new();
        for (layer, bytes, description, made_at, used_at, uses) in rows {
            let Ok(diff_id) = layer.parse::<Digest>() else { continue };
            let shared = if of_images.contains(&diff_id) { Kept::Yes } else { Kept::No };
            let record = Record {
                id: id_of(&diff_id),
                kind: RecordKind::Layer,
                description,
                size: u64::try_from(bytes).unwrap_or(0),
                made_at,
                used_at,
                uses: u64::try_from(uses).unwrap_or(0),
                shared,
                in_use: Kept::No,
                parents: parents.get(&layer).map(id_of).into_iter().collect(),
            };
            found.push(Layered { diff_id, record });
        }
        Ok(found)
    }

    /// Layers and what they stand on, as far as both are kept.
    fn parents(&self) -> Result<BTreeMap<String, Digest>> {
        let rows: Vec<(String, String)> = self.run(|connection| {
            let mut statement = connection
                .prepare_cached("SELECT layer, parent FROM above WHERE parent IN (SELECT layer FROM step)")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect()
        })?;
        Ok(rows.into_iter().filter_map(|(layer, parent)| Some((layer, parent.parse().ok()?))).collect())
    }

    /// Forgets the steps that came to these layers, and those of before `unused_since` that came to none.
    pub(crate) fn forget_layers(&self, layers: &[Digest], unused_since: Option<i64>) -> Result<()> {
        self.run(|connection| {
            let change = connection.unchecked_transaction()?;
            for layer in layers {
                for table in ["step", "above", "packed"] {
                    let forget = format!("DELETE FROM {table} WHERE layer = ?1");
                    change.prepare_cached(&forget)?.execute([layer.to_string()])?;
                }
            }
            let before = unused_since.unwrap_or(number(u64::MAX));
            change.prepare_cached("DELETE FROM step WHERE layer IS NULL AND used_at < ?1")?.execute(params![before])?;
            change.execute("DELETE FROM alias WHERE quick NOT IN (SELECT key FROM step)", [])?;
            change.execute("DELETE FROM named WHERE key NOT IN (SELECT key FROM step)", [])?;
            change.commit()
        })
    }
}

impl Prune {
    /// Which of `records` (those not used for longest first) are to go. What images share takes up no room.
    pub(crate) fn chosen(&self, records: &[Record], disk_free: u64) -> BTreeSet<String> {
        let own = |record: &&Record| record.shared == Kept::No;
        let mut left = records.iter().filter(own).map(|record| record.size).fold(0, u64::saturating_add);
        let keep = self.space.keeps(left, disk_free);
        let mut chosen = BTreeSet::new();
        for record in records {
            let is_wanted = self.filters.is_empty() || self.filters.iter().any(|filter| filter.fits(record));
            let is_old = self.unused_since.is_none_or(|since| record.used_at < since);
            let may_go = record.in_use == Kept::No && (self.all || record.shared == Kept::No);
            let is_too_much = keep.is_none_or(|keep| left > keep);
            if is_wanted && is_old && may_go && is_too_much {
                if own(&record) {
                    left = left.saturating_sub(record.size);
                }
                chosen.insert(record.id.clone());
            }
        }
        chosen
    }
}

/// What a layer is called here.
fn id_of(layer: &Digest) -> String {
    layer.hex()[..25].to_owned()
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
            parents: Vec::new(),
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
        let chosen = |prune: Prune| prune.chosen(&records, 100).into_iter().collect::<Vec<_>>();
        let most = |most| Prune { space: Space::of(0, most, 0), ..Prune::default() };
        let filtered = |text: &str| Prune { filters: vec![text.parse().unwrap()], all: true, ..Prune::default() };
        assert_eq!(chosen(Prune::default()), ["new", "old"]);
        assert_eq!(chosen(Prune { all: true, ..Prune::default() }), ["new", "old", "shared"]);
        assert_eq!(chosen(most(20)), ["old"]);
        assert_eq!(chosen(most(19)), ["new", "old"]);
        assert_eq!(chosen(most(30)), [""; 0]);
        assert_eq!(chosen(Prune { unused_since: Some(4), ..Prune::default() }), ["old"]);
        assert_eq!(chosen(filtered("id~=^ne")), ["new"]);
        assert_eq!(chosen(filtered("type==exec.cachemount")), [""; 0]);
        assert_eq!(chosen(filtered("shared")), ["shared"]);
    }

    #[test]
    fn sizes_that_cannot_be_are_counted_all_the_same() {
        let huge = |id: &str| Record { size: u64::MAX, ..record(id, 1, Kept::No, Kept::No) };
        let prune = Prune { space: Space::of(0, 20, 0), ..Prune::default() };
        assert!(prune.chosen(&[huge("one"), huge("two")], 100).contains("one"));
    }

    #[test]
    fn what_may_stay_follows_from_the_limits_and_the_disk() {
        let keeps = |reserved, most, free| Space::of(reserved, most, free).keeps(100, 50);
        assert_eq!(keeps(0, 0, 0), None);
        assert_eq!(keeps(0, 70, 0), Some(70));
        assert_eq!(keeps(10, 0, 0), Some(10));
        assert_eq!(keeps(80, 70, 0), Some(80));
        assert_eq!(keeps(0, 0, 40), Some(100));
        assert_eq!(keeps(0, 0, 60), Some(90));
        assert_eq!(keeps(0, 70, 90), Some(60));
        assert_eq!(keeps(65, 70, 200), Some(65));
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

    #[test]
    fn a_cache_that_is_broken_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join("steps.db"),
            b"this is no database, and it is long enough to be taken for one",
        )
        .unwrap();
        let store = Store::open(folder.path()).unwrap();
        let key = Digest::from_bytes([1; 32]);
        let none = crate::cache::Outcome { layer: None, created: "2026-01-01T00:00:00Z".into() };
        store.keep(&key, "ENV c", &none).unwrap();
        assert!(folder.path().join("steps.broken").exists());
        // It breaks while it is used.
        for number in 0..200u8 {
            store.keep(&Digest::from_bytes([number; 32]), &"x".repeat(2000), &none).unwrap();
        }
        store.used(&[key]).unwrap();
        drop(store);
        let path = folder.path().join("steps.db");
        let length = std::fs::metadata(&path).unwrap().len();
        assert!(length > 100_000);
        let store = Store::open(folder.path()).unwrap();
        std::os::unix::fs::FileExt::write_all_at(
            &std::fs::File::options().write(true).open(&path).unwrap(),
            &vec![0xaa; usize::try_from(length).unwrap() - 4096],
            4096,
        )
        .unwrap();
        let mut keys = (0..200u8).map(|number| store.find(&Digest::from_bytes([number; 32])));
        assert!(keys.all(|found| found.is_ok()));
        store.keep(&key, "ENV c", &none).unwrap();
        assert_eq!(store.find(&key).unwrap(), Some(none));
    }
}
