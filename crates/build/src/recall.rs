//! What a build knows of steps that were done before: in the engine's cache, and in those that it imports.

use crate::builder::House;
use crate::cache::exchange::{Asking, Far, Noted, import};
use crate::cache::{Made, Outcome, Parts, Reason};
use crate::context::Sources;
use crate::progress::{Event, Watch};
use crate::request::{CacheUse, Keys, Request};
use crate::solve::{Build, Keyed, lock};
use crate::{Error, Result};
use base::Digest;
use layer::Lower;
use registry::Cancel;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// The memory of one build.
#[derive(Debug, Default)]
pub(crate) struct Recall {
    pub far: Arc<Far>,
    /// Steps that were done or found, for caches of others.
    noted: Mutex<Vec<Noted>>,
    /// Images that it stands on.
    held: Mutex<Vec<engine::ImageHold>>,
}

impl Recall {
    /// Looks into the caches that are to be imported.
    pub fn of(
        (house, request): (&House, &Request),
        (sources, keys): (&dyn Sources, &dyn Keys),
        watch: &dyn Watch,
        cancel: &Cancel,
    ) -> Result<Recall> {
        if request.cache_from.is_empty() || request.cache == CacheUse::Nothing {
            return Ok(Recall::default());
        }
        let asking = Asking { engine: &house.engine, sources, keys, cancel };
        let far = import::all(&request.cache_from, &asking, watch)?;
        Ok(Recall { far: Arc::new(far), ..Recall::default() })
    }

    pub fn note(&self, noted: Noted) {
        lock(&self.noted).push(noted);
    }

    pub fn hold(&self, image: engine::ImageHold) {
        lock(&self.held).push(image);
    }

    /// Each step once, always in the same order.
    pub fn noted(&self) -> Vec<Noted> {
        let each: BTreeMap<Digest, Noted> = lock(&self.noted).iter().map(|noted| (noted.key, noted.clone())).collect();
        each.into_values().collect()
    }
}

impl Build<'_> {
    /// What imported caches have of a step.
    pub fn elsewhere(&self, keyed: &Keyed<'_>) -> Result<Option<Outcome>> {
        let Some(noted) = self.recall.far.find(&keyed.key) else { return Ok(None) };
        let noted = Noted { title: keyed.title.to_owned(), ..noted };
        let outcome = noted.outcome.clone();
        let store = self.house.engine.image_store();
        match outcome.layer {
            Some(made) if !store.layers().has(&made.diff_id) => self.keep_later(noted)?,
            Some(made) if !self.is_size(&made)? => return Ok(None),
            _ => self.keep(&noted)?,
        }
        Ok(Some(outcome))
    }

    /// Whether a layer that is here has the size that a cache says of it: it will stand in manifests.
    fn is_size(&self, made: &Made) -> Result<bool> {
        let known = self.house.cache()?.tar_of(&made.diff_id)?;
        let layers = self.house.engine.image_store().layers();
        let size = known.map_or_else(|| crate::cache::exchange::size_of_tar(layers, &made.diff_id), Ok);
        match size {
            Err(error) if error.is_lost() => Ok(false),
            size => Ok(size? == made.tar),
        }
    }

    /// Says why a step is done; what it is made of.
    pub fn tell_why(&self, keyed: &Keyed<'_>) -> Result<Option<Parts>> {
        let Some(parts) = keyed.parts.map(|parts| parts()) else { return Ok(None) };
        let reason = match self.may_use_cache(keyed.stage) {
            true => self.house.cache()?.why(&keyed.key, &parts)?,
            false => Reason::Asked,
        };
        self.watch.tell(Event::WhyNot { step: keyed.number, reason });
        Ok(Some(parts))
    }

    /// A step was done: for the question why, and what its layer stands on.
    pub fn remember(&self, keyed: &Keyed<'_>, parts: Option<&Parts>, outcome: &Outcome) -> Result<()> {
        let Some(parts) = parts else { return Ok(()) };
        let cache = self.house.cache()?;
        if let (Some(made), Some(parent)) = (&outcome.layer, &parts.parent) {
            cache.stands_on(&made.diff_id, parent)?;
        }
        cache.remember(&keyed.key, parts)
    }

    /// A step whose layer is here.
    fn keep(&self, noted: &Noted) -> Result<()> {
        let mut outcome = noted.outcome.clone();
        if let Some(made) = &mut outcome.layer {
            let store = self.house.engine.image_store();
            store.pin(&made.diff_id)?;
            // An imported cache may say anything of it, and the budget of the cache would count with that.
            made.bytes = store.layers().size(&made.diff_id)?;
        }
        if let Some(alias) = &noted.alias {
            self.house.cache()?.keep_alias(&noted.key, alias)?;
        }
        self.house.cache()?.keep(&noted.key, &noted.title, &outcome)
    }

    /// The same of a step whose layer comes when it is needed, or never.
    fn keep_later(&self, noted: Noted) -> Result<()> {
        let cache = self.house.cache()?;
        if let Some(alias) = &noted.alias {
            cache.keep_alias(&noted.key, alias)?;
        }
        cache.keep_named(&noted.key, &noted.title, &noted.outcome)?;
        self.recall.far.use_later(noted);
        Ok(())
    }

    /// Whether what the engine's own cache says of a step can be used.
    pub fn is_sound(&self, keyed: &Keyed<'_>, outcome: &Outcome) -> Result<bool> {
        let Some(made) = &outcome.layer else { return Ok(true) };
        let cache = self.house.cache()?;
        if !self.house.engine.image_store().layers().has(&made.diff_id) {
            if self.recall.far.has_lost(&[made.diff_id]) || !cache.is_named(&keyed.key)? {
                return Ok(false);
            }
            self.recall.far.use_later(keyed.noted(outcome));
            return Ok(true);
        }
        // What an imported cache said of it is looked at when it can be.
        if cache.is_named(&keyed.key)? {
            if !self.is_size(made)? {
                return Ok(false);
            }
            self.keep(&keyed.noted(outcome))?;
        }
        Ok(true)
    }

    /// Another, quicker key for what was found by `keyed`.
    pub fn also(&self, quick: &Digest, keyed: &Keyed<'_>, outcome: &Outcome) -> Result<()> {
        let (title, alias) = (keyed.title.to_owned(), Some(keyed.key));
        let noted = Noted { key: *quick, title, outcome: outcome.clone(), alias };
        self.recall.note(noted.clone());
        let layers = self.house.engine.image_store().layers();
        match &outcome.layer {
            // One that is only named yet is kept when it comes.
            Some(made) if !layers.has(&made.diff_id) => self.keep_later(noted)?,
            _ => self.keep(&noted)?,
        }
        Ok(())
    }

    /// A step was found by its quicker key: others may find it by its own.
    pub fn found_quickly(&self, quick: &Keyed<'_>, outcome: &Outcome) -> Result<()> {
        let far = self.recall.far.find(&quick.key).and_then(|noted| noted.alias);
        let Some(key) = self.house.cache()?.alias(&quick.key)?.or(far) else { return Ok(()) };
        let title = quick.title.to_owned();
        self.recall.note(Noted { key, title: title.clone(), outcome: outcome.clone(), alias: None });
        self.recall.note(Noted { key: quick.key, title, outcome: outcome.clone(), alias: Some(key) });
        Ok(())
    }

    /// Has layers here that an imported cache has: before anything is mounted or read.
    pub fn bring(&self, layers: &[Digest]) -> Result<()> {
        let here = self.house.engine.image_store().layers();
        let mut missing: Vec<Digest> = layers.iter().filter(|layer| !here.has(layer)).copied().collect();
        if missing.is_empty() {
            return Ok(());
        }
        missing.sort_unstable();
        missing.dedup();
        let brought = self.recall.far.bring(&self.house.engine, &missing, &self.cancel)?;
        brought.iter().try_for_each(|noted| self.keep(noted))
    }

    /// The same of lower folders.
    pub fn bring_lowers(&self, lowers: &[Lower]) -> Result<()> {
        let of = |lower: &Lower| match lower {
            Lower::Layer(layer) => Some(*layer),
            Lower::Folder(_) | Lower::HostMask => None,
        };
        self.bring(&lowers.iter().filter_map(of).collect::<Vec<_>>())
    }
}

impl Error {
    /// A layer is to be made that was only named.
    pub(crate) fn is_lost(&self) -> bool {
        matches!(self.cause(), Error::Lost(_))
    }
}
