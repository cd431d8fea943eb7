//! The builder of an engine: its cache, and the way through a build.

use crate::cache::exchange::{Asking, Taken};
use crate::cache::{self, Disk, Layered, Prune, Pruned, Record, RecordKind, Upkeep, flight::Flights};
use crate::context::{KeptFolder, KeptFolders, Memo, Sources};
use crate::export::Export;
use crate::inquire::Remarks;
use crate::lanes;
use crate::mounts::Mounts;
use crate::output::{Exported, NoSink, Output, Sink};
use crate::progress::Watch;
use crate::request::{Keys, Request};
use crate::solve::{Build, lock};
use crate::solved::{Solved, StoreOf};
use crate::{Error, Result};
use base::Digest;
use engine::Engine;
use registry::Cancel;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// Where the builder keeps what is its own, below the data root.
const FOLDER: &str = "build";

/// The builder of one engine. Clones share it.
#[derive(Debug, Clone)]
pub struct Builder {
    house: Arc<House>,
}

/// What a builder consists of.
#[derive(Debug)]
pub(crate) struct House {
    pub engine: Engine,
    folder: PathBuf,
    cache: Mutex<Option<Arc<cache::Store>>>,
    pub memo: Memo,
    pub flights: Flights,
    pub mounts: Mounts,
    /// Contexts that were sent.
    pub kept: Arc<KeptFolders>,
    /// Builds that go on.
    busy: Mutex<usize>,
    upkeep: Mutex<Upkeep>,
}

/// One build that goes on.
#[derive(Debug)]
pub(crate) struct Going(Arc<House>);

impl Going {
    fn new(house: &Arc<House>) -> Going {
        *lock(&house.busy) += 1;
        Going(house.clone())
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        *lock(&self.0.busy) -= 1;
        self.0.memo.save();
        // The cache grows with every build.
        Builder { house: self.0.clone() }.keep_budget();
    }
}

impl House {
    /// Opened by the first build.
    pub fn cache(&self) -> Result<Arc<cache::Store>> {
        let mut cache = lock(&self.cache);
        if let Some(cache) = cache.as_ref() {
            return Ok(cache.clone());
        }
        let opened = Arc::new(cache::Store::open(&self.folder)?);
        *cache = Some(opened.clone());
        Ok(opened)
    }

    /// Where contexts are unpacked and fetched to.
    pub fn contexts(&self) -> PathBuf {
        self.folder.join("contexts")
    }

    /// A folder with nothing in it.
    pub fn empty_folder(&self) -> Result<PathBuf> {
        let path = self.folder.join("empty");
        std::fs::create_dir_all(&path).map_err(Error::io("make an empty folder"))?;
        Ok(path)
    }

    /// Where secrets and sockets lie while a step runs: gone after a boot.
    pub fn private(&self) -> PathBuf {
        self.engine.settings().exec_root.join("build")
    }
}

impl Builder {
    /// The builder of `engine`. What an earlier one left half-done is removed.
    pub fn open(engine: Engine) -> Result<Builder> {
        let folder = engine.settings().data_root.join(FOLDER);
        let mut make = std::fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(make.recursive(true), 0o711);
        make.create(&folder).map_err(Error::io(format!("make {}", folder.display())))?;
        let house = House {
            mounts: Mounts::new(folder.join("mounts")),
            kept: Arc::new(KeptFolders::open(folder.join("kept"))),
            memo: Memo::at(folder.join("contents")),
            folder,
            cache: Mutex::default(),
            flights: Flights::default(),
            busy: Mutex::default(),
            upkeep: Mutex::default(),
            engine,
        };
        for left in [house.contexts(), house.private()] {
            match base::tree::remove(&left) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    tracing::warn!("cannot delete {}: {error}", left.display());
                }
                _ => {}
            }
        }
        Ok(Builder { house: Arc::new(house) })
    }

    pub(crate) fn house(&self) -> &House {
        &self.house
    }

    pub fn engine(&self) -> &Engine {
        &self.house.engine
    }

    /// Where a door unpacks the contexts that are sent to it.
    pub fn contexts(&self) -> PathBuf {
        self.house.contexts()
    }

    /// The folder of a context that a client sends, by what he calls it: as the last build of it left it.
    pub fn kept(&self, key: &str, description: &str) -> Result<KeptFolder> {
        self.house.kept.take(key, description)
    }

    /// What is known of contents.
    pub fn memo(&self) -> &Memo {
        &self.house.memo
    }

    /// A client's repository as a context, `None` when the address is not that of one.
    pub fn repository(
        &self,
        address: &str,
        wanted: &crate::context::Checkout<'_>,
        cancel: &Cancel,
    ) -> Result<Option<crate::context::Folder>> {
        crate::ops::repository(&self.house.contexts(), address, wanted, cancel)
    }

    /// Builds, and puts the result where it is to be. Not for a thread of the async runtime.
    pub fn build(
        &self,
        (request, output): (&Request, &Output),
        (sources, keys): (&dyn Sources, &dyn Keys),
        watch: &dyn Watch,
        cancel: &Cancel,
    ) -> Result<Exported> {
        let solved = self.solve(request, (sources, keys), watch, cancel)?;
        self.export(&solved, output, (&NoSink, keys), watch, cancel)
    }

    /// Does all steps; nothing gets a name yet. Not for a thread of the async runtime.
    pub fn solve(
        &self,
        request: &Request,
        (sources, keys): (&dyn Sources, &dyn Keys),
        watch: &dyn Watch,
        cancel: &Cancel,
    ) -> Result<Solved> {
        let house = &self.house;
        let going = Going::new(house);
        // What the build stands on and what it makes stays until something has it.
        let held = image::Held::of(StoreOf(house.engine.clone()));
        let mut solved = Solved::new(house, request, (going, held));
        let file = dockerfile::parse(&request.dockerfile)?;
        let remarks = Remarks::of((house, request), &file, (sources, cancel), watch)?;
        let watch = &remarks;
        let (builds, steps) = Build::all((house, request), &file, (sources, keys), watch, cancel)?;
        for (build, state) in builds.iter().zip(lanes::run(&builds, steps)?) {
            solved.add(build, &state)?;
        }
        Ok(solved)
    }

    /// Puts a result somewhere; may be done several times for several outputs. Not for a thread of the async runtime.
    pub fn export(
        &self,
        solved: &Solved,
        output: &Output,
        (sink, keys): (&dyn Sink, &dyn Keys),
        watch: &dyn Watch,
        cancel: &Cancel,
    ) -> Result<Exported> {
        Export { solved, output, sink, keys, watch, cancel }.run()
    }

    /// Takes what a build came to where other engines find it; BuildKit's answer. A client that lends no folders has no sources. Not
    /// for a thread of the async runtime.
    pub fn export_cache(
        &self,
        solved: &Solved,
        export: &cache::Export,
        (sources, keys): (&dyn Sources, &dyn Keys),
        watch: &dyn Watch,
        cancel: &Cancel,
    ) -> Result<BTreeMap<String, String>> {
        // It is in the images.
        if export.kind == cache::ExchangeKind::Inline {
            return Ok(BTreeMap::new());
        }
        let products = solved.results();
        let mut seen = HashSet::new();
        let steps = products.iter().flat_map(|product| &product.steps).filter(|step| seen.insert(step.key));
        let steps: Vec<_> = steps.cloned().collect();
        let far: Vec<_> = products.iter().map(|product| product.recall.far.clone()).collect();
        let result = products.iter().flat_map(|product| product.layers.iter().copied()).collect();
        let scratch = self.house.contexts();
        let taken = Taken { steps: &steps, result: &result, far: &far, scratch: &scratch };
        let asking = Asking { engine: &self.house.engine, sources, keys, cancel };
        let store = self.house.cache()?;
        crate::cache::exchange::export(export, &taken, (&asking, &store), watch)
    }

    /// What the cache keeps.
    pub fn usage(&self) -> Result<Vec<Record>> {
        let (layers, _) = self.layers()?;
        let mut records: Vec<Record> = layers.into_iter().map(|layered| layered.record).collect();
        records.extend(self.house.mounts.records());
        records.extend(self.house.kept.records());
        records.sort_by_key(|record| record.used_at);
        Ok(records)
    }

    /// The layers of the cache: those that are here, and those that are only named.
    fn layers(&self) -> Result<(Vec<Layered>, Vec<Layered>)> {
        let store = self.house.engine.image_store();
        let all = self.house.cache()?.layers(&store.layers_of_images())?;
        Ok(all.into_iter().partition(|layered| store.layers().has(&layered.diff_id)))
    }

    /// Lets go of what the cache keeps, unless a build uses it.
    pub fn prune(&self, prune: &Prune) -> Result<Pruned> {
        let busy = lock(&self.house.busy);
        let store = self.house.engine.image_store();
        let cache = self.house.cache()?;
        let (layers, named) = self.layers()?;
        let mut records: Vec<Record> = layers.iter().map(|layered| layered.record.clone()).collect();
        records.extend(self.house.mounts.records());
        records.extend(self.house.kept.records());
        records.sort_by_key(|record| record.used_at);
        // Layers of a build that goes on are known to it alone.
        if *busy > 0 {
            records.retain(|record| record.kind != RecordKind::Layer);
        }
        let chosen = prune.chosen(&records, self.disk().free);
        let mut gone: Vec<Digest> = layers
            .iter()
            .filter(|layered| chosen.contains(&layered.record.id))
            .map(|layered| layered.diff_id)
            .collect();
        // Steps that changed no file go with everything else.
        let is_limited = prune.space != cache::Space::default() || !prune.filters.is_empty();
        if !is_limited && *busy == 0 {
            let is_old = |layered: &&Layered| prune.unused_since.is_none_or(|since| layered.record.used_at < since);
            gone.extend(named.iter().filter(is_old).map(|layered| layered.diff_id));
        }
        if !gone.is_empty() || (prune.all && !is_limited) {
            let lines = if is_limited { Some(0) } else { prune.unused_since };
            cache.forget_layers(&gone, lines)?;
        }
        // Layers of steps that were done anew since, and of builds that were killed before the cache had them.
        let mut unknown = BTreeSet::new();
        if *busy == 0 {
            unknown = store.pinned();
            for layered in &layers {
                unknown.remove(&layered.diff_id);
            }
        }
        store.unpin(gone.iter().copied().chain(unknown));
        // Large folders take long to delete: builds may begin meanwhile, and what they take stays.
        drop(busy);
        let mut pruned = Pruned::default();
        for record in records.iter().filter(|record| chosen.contains(&record.id)) {
            match record.kind {
                RecordKind::Mount => self.house.mounts.remove(&record.id),
                RecordKind::Context => self.house.kept.remove(&record.id),
                RecordKind::Layer => {}
            }
            // The bytes of a layer that an image has stay.
            if record.shared == cache::Kept::No {
                pruned.reclaimed += record.size;
            }
            pruned.ids.push(record.id.clone());
        }
        Ok(pruned)
    }

    /// The cache grows with every build: what was not used for longest goes.
    fn keep_budget(&self) {
        let disk = self.disk();
        let prunes = lock(&self.house.upkeep).prunes(self.budget(disk), disk);
        for prune in prunes {
            if let Err(error) = self.prune(&prune) {
                tracing::warn!("cannot keep the build cache small: {}", base::chain(&error));
            }
        }
    }

    /// When the cache is made smaller by itself, from now on.
    pub fn set_upkeep(&self, upkeep: Upkeep) {
        *lock(&self.house.upkeep) = upkeep;
    }

    /// The rules by which it is.
    pub fn policies(&self) -> Vec<cache::Policy> {
        lock(&self.house.upkeep).policies(self.budget(self.disk()))
    }

    /// Bytes that the cache may take up beside images: a tenth of the disk, at least 2 GB, and no more than images may.
    fn budget(&self, disk: Disk) -> u64 {
        const LEAST: u64 = 2 << 30;
        let tenth = (disk.total / 10).max(LEAST);
        self.house.engine.settings().disk_budget.map_or(tenth, |budget| budget.min(tenth))
    }

    fn disk(&self) -> Disk {
        let found = rustix::fs::statvfs(&self.house.engine.settings().data_root);
        found.map_or(Disk::default(), |disk| Disk {
            total: disk.f_blocks.saturating_mul(disk.f_frsize),
            free: disk.f_bavail.saturating_mul(disk.f_frsize),
        })
    }
}
