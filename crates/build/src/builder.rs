//! The builder of an engine: its cache, and the way through a build.

use crate::cache::{self, Prune, Pruned, Record, RecordKind, flight::Flights};
use crate::context::{Memo, Sources};
use crate::mounts::Mounts;
use crate::progress::Watch;
use crate::request::{Keys, Request};
use crate::solve::{Build, lock};
use crate::{Error, Result, export};
use base::Digest;
use dockerfile::{BuildArguments, Globals};
use engine::Engine;
use registry::Cancel;
use std::collections::BTreeSet;
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
    /// Builds that go on.
    busy: Mutex<usize>,
}

/// What a build came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    pub image: Digest,
    /// The names that it got, as people write them.
    pub names: Vec<String>,
}

/// One build that goes on.
struct Going<'a>(&'a House);

impl Drop for Going<'_> {
    fn drop(&mut self) {
        *lock(&self.0.busy) -= 1;
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
            folder,
            cache: Mutex::default(),
            memo: Memo::default(),
            flights: Flights::default(),
            busy: Mutex::default(),
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

    pub fn engine(&self) -> &Engine {
        &self.house.engine
    }

    /// Where a door unpacks the contexts that are sent to it.
    pub fn contexts(&self) -> PathBuf {
        self.house.contexts()
    }

    /// A client's repository as a context, `None` when the address is not that of one.
    pub fn repository(&self, address: &str, cancel: &Cancel) -> Result<Option<crate::context::Folder>> {
        crate::ops::repository(&self.house.contexts(), address, cancel)
    }

    /// Builds an image. Not for a thread of the async runtime.
    pub fn build(
        &self,
        request: &Request,
        (sources, keys): (&dyn Sources, &dyn Keys),
        watch: &dyn Watch,
        cancel: &Cancel,
    ) -> Result<Built> {
        let house = &*self.house;
        let store = house.engine.image_store();
        *lock(&house.busy) += 1;
        let going = Going(house);
        // What the build stands on and what it makes stays until the image has it.
        let _held = store.hold();
        let file = dockerfile::parse(&request.dockerfile)?;
        let machine = image::machine_platform();
        let arguments = BuildArguments {
            values: request.arguments.clone(),
            target: request.platform.clone().unwrap_or_else(|| machine.clone()),
            build: machine,
            stage: request.target.clone(),
        };
        let globals = Arc::new(Globals::new(&file, &arguments)?);
        let build = Build::new((house, request), (&file, &globals), (sources, keys), watch, cancel)?;
        let state = build.run()?;
        let built = export::image(&build, &state)?;
        drop(going);
        self.keep_budget();
        Ok(built)
    }

    /// What the cache keeps.
    pub fn usage(&self) -> Result<Vec<Record>> {
        let of_images = self.house.engine.image_store().layers_of_images();
        let layers = self.house.cache()?.layers(&of_images)?;
        let mut records: Vec<Record> = layers.into_iter().map(|layered| layered.record).collect();
        records.extend(self.house.mounts.records());
        records.sort_by_key(|record| record.used_at);
        Ok(records)
    }

    /// Lets go of what the cache keeps, unless a build uses it.
    pub fn prune(&self, prune: &Prune) -> Result<Pruned> {
        let busy = lock(&self.house.busy);
        let store = self.house.engine.image_store();
        let of_images = store.layers_of_images();
        let cache = self.house.cache()?;
        let layers = cache.layers(&of_images)?;
        let mut records: Vec<Record> = layers.iter().map(|layered| layered.record.clone()).collect();
        records.extend(self.house.mounts.records());
        records.sort_by_key(|record| record.used_at);
        // Layers of a build that goes on are known to it alone.
        if *busy > 0 {
            records.retain(|record| record.kind == RecordKind::Mount);
        }
        let chosen = prune.chosen(&records);
        let gone: Vec<Digest> = layers
            .iter()
            .filter(|layered| chosen.contains(&layered.record.id))
            .map(|layered| layered.diff_id)
            .collect();
        if !gone.is_empty() || (prune.all && prune.keep.is_none()) {
            let lines = if prune.keep.is_none() { prune.unused_since } else { Some(0) };
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
        let mut pruned = Pruned::default();
        for record in records.iter().filter(|record| chosen.contains(&record.id)) {
            if record.kind == RecordKind::Mount {
                self.house.mounts.remove(&record.id);
            }
            // The bytes of a layer that an image has stay.
            if record.shared == cache::Kept::No {
                pruned.reclaimed += record.size;
            }
            pruned.ids.push(record.id.clone());
        }
        drop(busy);
        Ok(pruned)
    }

    /// The cache grows with every build: what was not used for longest goes.
    fn keep_budget(&self) {
        let keep = self.budget();
        if let Err(error) = self.prune(&Prune { keep: Some(keep), ..Prune::default() }) {
            tracing::warn!("cannot keep the build cache small: {}", base::chain(&error));
        }
    }

    /// Bytes that the cache may take up beside images: a tenth of the disk, at least 2 GB, and no more than images may.
    fn budget(&self) -> u64 {
        const LEAST: u64 = 2 << 30;
        let settings = self.house.engine.settings();
        let disk =
            rustix::fs::statvfs(&settings.data_root).map_or(0, |disk| disk.f_blocks.saturating_mul(disk.f_frsize));
        let tenth = (disk / 10).max(LEAST);
        settings.disk_budget.map_or(tenth, |budget| budget.min(tenth))
    }
}
