//! A build: the stages it needs, each on a thread of its own, and what they come to.
//!
//! ```text
//!   plan ──► stage ─ FROM ─ step ─ step ──► finished ──► image
//!            stage ─ FROM ─ step ─────────────┘ (waited for where a step names it)
//! ```

use crate::builder::House;
use crate::cache::exchange::Noted;
use crate::cache::{Made, Outcome, Parts};
use crate::context::Sources;
use crate::facts::Notes;
use crate::graph;
use crate::lanes::{self, Common, Lane};
use crate::ops;
use crate::progress::{Cached, Event, StepInfo, StepNumber, Watch};
use crate::recall::Recall;
use crate::request::{CacheUse, Keys, Request};
use crate::state::State;
use crate::{Error, Result};
use base::Digest;
use dockerfile::lint;
use dockerfile::{Dockerfile, Lines, Step};
use layer::Adopted;
use oci::image::Platform;
use registry::Cancel;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// One build while it goes on.
pub(crate) struct Build<'a> {
    pub house: &'a House,
    pub request: &'a Request,
    pub sources: &'a dyn Sources,
    pub keys: &'a dyn Keys,
    pub watch: &'a dyn Watch,
    /// Ends with the first failure.
    pub cancel: Cancel,
    pub file: &'a Dockerfile,
    /// The platform that this is the build for.
    pub lane: Lane,
    pub common: Arc<Common>,
    /// Imported caches, and what is told to others.
    pub recall: Arc<Recall>,
    /// What it was made of.
    pub notes: Arc<Notes>,
    /// What `CacheUse::Images` allows.
    allowed: Arc<Option<Allowed>>,
    /// `SOURCE_DATE_EPOCH`, as it stands in the image.
    pub epoch: Option<String>,
}

/// Steps of images that may be used again.
struct Allowed {
    layers: BTreeSet<Digest>,
    lines: BTreeSet<String>,
}

#[derive(Default)]
pub(crate) struct Slot {
    progress: Mutex<Progress>,
    changed: Condvar,
}

#[derive(Default, Clone)]
enum Progress {
    #[default]
    Waiting,
    Going,
    Done(Arc<State>),
    Failed,
    /// Each lane has its own.
    Apart,
}

/// What a step is made of, for the cache.
pub(crate) struct Keyed<'a> {
    pub key: Digest,
    /// As it is shown.
    pub title: &'a str,
    pub stage: usize,
    pub number: StepNumber,
    /// What the history says of it.
    pub created_by: &'a str,
    /// What the key is made of, for people.
    pub parts: Option<&'a dyn Fn() -> Parts>,
}

impl<'a> Keyed<'a> {
    pub fn of(key: Digest, at: ops::At<'a>, created_by: &'a str) -> Keyed<'a> {
        Keyed { key, title: at.title, stage: at.stage, number: at.number, created_by, parts: None }
    }

    pub fn noted(&self, outcome: &Outcome) -> Noted {
        Noted { key: self.key, title: self.title.to_owned(), outcome: outcome.clone(), alias: None }
    }

    pub fn of_parts(self, parts: &'a dyn Fn() -> Parts) -> Keyed<'a> {
        Keyed { parts: Some(parts), ..self }
    }
}

impl<'a> Build<'a> {
    /// The builds of a request, one for each platform, and all their steps.
    pub fn all(
        (house, request): (&'a House, &'a Request),
        file: &'a Dockerfile,
        (sources, keys): (&'a dyn Sources, &'a dyn Keys),
        watch: &'a dyn Watch,
        cancel: &Cancel,
    ) -> Result<(Vec<Build<'a>>, Vec<StepInfo>)> {
        let (lanes, steps) = lanes::lanes(file, request, sources)?;
        let allowed = match &request.cache {
            CacheUse::Images(names) => Some(Allowed::of(house, names)),
            _ => None,
        };
        let common = Arc::new(Common::default());
        common.next_step.store(steps.len(), Ordering::Release);
        let recall = Arc::new(Recall::of((house, request), (sources, keys), watch, cancel)?);
        let (allowed, cancel, epoch) = (Arc::new(allowed), cancel.child(), epoch(request)?);
        let notes = Arc::new(Notes::default());
        let of = |lane: Lane| Build {
            house,
            request,
            sources,
            keys,
            watch,
            cancel: cancel.clone(),
            file,
            lane,
            common: common.clone(),
            recall: recall.clone(),
            notes: notes.clone(),
            allowed: allowed.clone(),
            epoch: epoch.clone(),
        };
        Ok((lanes.into_iter().map(of).collect(), steps))
    }

    /// What the target came to.
    pub fn result(&self) -> Result<Arc<State>> {
        loop {
            let state = self.finished(self.lane.plan.target)?;
            match self.bring(&state.layers) {
                Err(error) if error.is_lost() => {}
                other => return other.map(|()| state),
            }
        }
    }

    /// What a stage came to. One that is not begun in its turn (a trigger names it, or its layers are lost) begins with what it
    /// stands on, lowest first: a long chain of stages is no deep one.
    pub fn finished(&self, stage: usize) -> Result<Arc<State>> {
        let is_in_turn = match &*lock(&self.lane.slots[stage].progress) {
            Progress::Waiting => self.lane.plan.needed.contains(&stage),
            Progress::Done(state) => !self.recall.far.has_lost(&state.layers),
            Progress::Going | Progress::Failed | Progress::Apart => true,
        };
        if !is_in_turn {
            for below in graph::needs(self.file, &self.lane.globals, stage)? {
                self.finished_alone(below)?;
            }
        }
        self.finished_alone(stage)
    }

    /// The same where what it stands on is done, or will be soon; who comes first builds it.
    fn finished_alone(&self, stage: usize) -> Result<Arc<State>> {
        let shared = &self.lane.slots[stage];
        match self.finished_in(shared, stage)? {
            Some(state) => Ok(state),
            // It is another one for each platform.
            None => self.finished_in(&self.lane.own[stage], stage)?.ok_or(Error::Cancelled),
        }
    }

    /// `None`: the stage is not to be shared with other lanes after all.
    fn finished_in(&self, slot: &Slot, stage: usize) -> Result<Option<Arc<State>>> {
        let mut progress = lock(&slot.progress);
        loop {
            match &*progress {
                Progress::Done(state) if self.recall.far.has_lost(&state.layers) => break,
                Progress::Done(state) => return Ok(Some(state.clone())),
                Progress::Apart => return Ok(None),
                Progress::Failed => return Err(Error::Cancelled),
                Progress::Waiting => break,
                Progress::Going => progress = slot.changed.wait(progress).unwrap_or_else(PoisonError::into_inner),
            }
        }
        *progress = Progress::Going;
        drop(progress);
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.whole_stage(stage)));
        let done =
            done.unwrap_or_else(|_| Err(Error::Invalid("the builder failed; the engine's log tells more".to_owned())));
        let outcome = match done {
            Ok(state) => Progress::Done(Arc::new(state)),
            Err(error) if matches!(error.cause(), Error::Apart) => Progress::Apart,
            Err(error) => {
                self.failed(error);
                Progress::Failed
            }
        };
        *lock(&slot.progress) = outcome.clone();
        slot.changed.notify_all();
        match outcome {
            Progress::Done(state) => Ok(Some(state)),
            Progress::Apart => Ok(None),
            _ => Err(Error::Cancelled),
        }
    }

    /// The first failure counts; what ends because of it, or because the client went, does not.
    fn failed(&self, error: Error) {
        let mut failure = lock(&self.common.failure);
        if failure.is_none() {
            *failure = Some(if self.cancel.is_cancelled() { Error::Cancelled } else { error });
        }
        self.cancel.cancel();
    }

    /// One that stands on a layer that an imported cache only names, and that is needed, begins anew without it.
    fn whole_stage(&self, stage: usize) -> Result<State> {
        loop {
            match self.stage(stage) {
                Err(error) if error.is_lost() => {}
                other => return other,
            }
        }
    }

    fn stage(&self, stage: usize) -> Result<State> {
        let own = &self.file.stages[stage];
        let planned = self.lane.plan.first[stage];
        let next = &self.common.next_step;
        let first = planned.unwrap_or_else(|| next.fetch_add(1 + own.steps.len(), Ordering::AcqRel));
        let begun =
            self.placed(first, own.written.lines, || own.written.code.clone(), || ops::from::base(self, stage, first));
        let mut state = begun?;
        let triggers = state.image.config.on_build.take().unwrap_or_default();
        // They may ask for the platform, and copy from images for it.
        if !triggers.is_empty() && self.is_shared(stage) {
            return Err(Error::Apart);
        }
        for text in triggers {
            let step = dockerfile::parse_trigger(&text, own.written.lines)?;
            let number = next.fetch_add(1, Ordering::AcqRel);
            let info = StepInfo {
                stage,
                stage_name: own.name.clone(),
                platform: if self.lane.several { Some(self.lane.platform_of(self.file, stage)?) } else { None },
                place: None,
                title: step.written.code.clone(),
                code: step.written.code.clone(),
                lines: own.written.lines,
            };
            self.watch.tell(Event::Triggered { step: number, info });
            self.step(&mut state, stage, number, &step)?;
        }
        for (index, step) in own.steps.iter().enumerate() {
            self.step(&mut state, stage, first + 1 + index, step)?;
        }
        Ok(state)
    }

    fn step(&self, state: &mut State, stage: usize, number: StepNumber, step: &Step) -> Result<()> {
        self.placed(
            number,
            step.written.lines,
            || step.written.code.clone(),
            || {
                if self.cancel.is_cancelled() {
                    return Err(Error::Cancelled);
                }
                self.watch.tell(Event::Started(number));
                let resolved = state.scope.step(step)?;
                let title = state.scope.title(step, &resolved);
                self.watch.tell(Event::Titled { step: number, title: title.clone() });
                for name in &resolved.undefined {
                    let message = format!("Usage of undefined variable '${name}'");
                    let warning = lint::Warning { rule: lint::Rule::UndefinedVar, message, lines: step.written.lines };
                    self.watch.tell(Event::Lint(warning));
                }
                let cached = ops::perform(
                    self,
                    state,
                    ops::At { stage, number, title: &title, code: &step.written.code },
                    &resolved,
                )?;
                state.all_cached &= cached == Cached::Yes;
                self.watch.tell(Event::Done { step: number, cached, image: state.id()? });
                Ok(())
            },
        )
    }

    /// The platform that images are to be for; none is asked of them where the client asked for none.
    pub fn wanted(&self) -> Option<Platform> {
        (!self.request.platforms.is_empty()).then(|| self.lane.target.clone())
    }

    /// Whether other lanes take this stage for the same, and it has not turned out to be another.
    fn is_shared(&self, stage: usize) -> bool {
        let slot = &self.lane.slots[stage];
        Arc::strong_count(slot) > 1 && !matches!(*lock(&slot.progress), Progress::Apart)
    }

    /// A failure is told where it happened.
    fn placed<T>(
        &self,
        step: StepNumber,
        lines: Lines,
        title: impl FnOnce() -> String,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        work().map_err(|source| {
            if !source.is_lost() && !matches!(source, Error::Apart) {
                self.watch.tell(Event::Failed { step, why: base::chain(&source) });
            }
            match source {
                placed @ (Error::Step { .. } | Error::Cancelled) => placed,
                source => Error::Step { title: title(), lines, source: Box::new(source) },
            }
        })
    }

    /// The outcome of a step: from the cache, or made now.
    pub fn outcome(
        &self,
        keyed: &Keyed<'_>,
        make: &mut dyn FnMut() -> Result<Option<Adopted>>,
    ) -> Result<(Outcome, Cached)> {
        self.outcome_if(keyed, make, &|| Ok(true))
    }

    /// The same of what is read where somebody may change it meanwhile: the cache keeps it only when `is_so` says that it was made
    /// of what its key says.
    pub fn outcome_if(
        &self,
        keyed: &Keyed<'_>,
        make: &mut dyn FnMut() -> Result<Option<Adopted>>,
        is_so: &dyn Fn() -> Result<bool>,
    ) -> Result<(Outcome, Cached)> {
        let _flight = self.house.flights.take(keyed.key, &self.cancel).ok_or(Error::Cancelled)?;
        let done = lock(&self.common.done).get(&keyed.key).cloned();
        let layers = self.house.engine.image_store().layers();
        // One whose layer is gone is done again.
        if let Some(outcome) = done.filter(|done| done.layer.is_none_or(|made| layers.has(&made.diff_id))) {
            return Ok((self.dated(outcome), Cached::Yes));
        }
        if let Some(outcome) = self.known(keyed)? {
            return Ok((outcome, Cached::Yes));
        }
        let parts = self.tell_why(keyed)?;
        let layer = make()?.map(|Adopted { diff_id, tar, bytes }| Made { diff_id, tar, bytes });
        let outcome = Outcome { layer, created: jiff::Timestamp::now().to_string() };
        if let Some(made) = &outcome.layer {
            self.house.engine.image_store().pin(&made.diff_id)?;
            self.recall.far.is_here(&made.diff_id);
        }
        if is_so()? {
            lock(&self.common.done).insert(keyed.key, outcome.clone());
            self.house.cache()?.keep(&keyed.key, keyed.title, &outcome)?;
            self.recall.note(keyed.noted(&outcome));
            self.remember(keyed, parts.as_ref(), &outcome)?;
        }
        Ok((self.dated(outcome), Cached::No))
    }

    /// As this build's image has it: the cache knows when it was done, whatever a build wanted to be said.
    fn dated(&self, outcome: Outcome) -> Outcome {
        Outcome { created: self.epoch.clone().unwrap_or(outcome.created), ..outcome }
    }

    /// What the cache has of a step, if it may be used.
    pub fn known(&self, keyed: &Keyed<'_>) -> Result<Option<Outcome>> {
        if !self.may_use_cache(keyed.stage) {
            return Ok(None);
        }
        let here = self.here(keyed)?;
        let (outcome, may) = match here {
            Some(outcome) => {
                let may = (*self.allowed).as_ref().is_none_or(|allowed| allowed.has(&outcome, keyed.created_by));
                if may {
                    lock(&self.common.used).push(keyed.key);
                }
                (outcome, may)
            }
            None => match self.elsewhere(keyed)? {
                Some(outcome) => (outcome, true),
                None => return Ok(None),
            },
        };
        if may {
            self.recall.note(keyed.noted(&outcome));
        }
        Ok(may.then(|| self.dated(outcome)))
    }

    /// Whether what was done before may be used in a stage.
    pub fn may_use_cache(&self, stage: usize) -> bool {
        match &self.request.cache {
            CacheUse::Nothing => false,
            CacheUse::All | CacheUse::Images(_) => true,
            CacheUse::AllBut(stages) => !stages.iter().any(|name| self.is_stage(stage, name)),
        }
    }

    /// What the engine's own cache has of a step. Its layer may be one that is only named.
    fn here(&self, keyed: &Keyed<'_>) -> Result<Option<Outcome>> {
        let cache = self.house.cache()?;
        let Some(outcome) = cache.find(&keyed.key)? else { return Ok(None) };
        if self.is_sound(keyed, &outcome)? {
            return Ok(Some(outcome));
        }
        cache.forget(&keyed.key)?;
        Ok(None)
    }

    fn is_stage(&self, stage: usize, name: &str) -> bool {
        let own = self.file.stages[stage].name.as_deref();
        own.is_some_and(|own| own.eq_ignore_ascii_case(name)) || name.parse() == Ok(stage)
    }

    /// The time as an image has it.
    pub fn now(&self) -> String {
        self.epoch.clone().unwrap_or_else(|| jiff::Timestamp::now().to_string())
    }

    /// The lines of the steps that were planned.
    pub fn lines(&self) -> Vec<Lines> {
        self.lane.plan.steps.iter().map(|step| step.lines).collect()
    }

    /// What `--from` means: a stage, a context of the client's, or an image.
    pub fn earlier(&self, stage: usize, name: &str) -> Option<usize> {
        graph::earlier_or_number(self.file, stage, name)
    }

    /// Whether an instruction may come from the cache though it changes no file: its line of history then keeps its time.
    pub fn line(&self, state: &State, at: &ops::At<'_>, created_by: &str) -> Result<(Outcome, Cached)> {
        let parts = || Parts { below: Some(state.way), ..state.parts(at, created_by) };
        let keyed = Keyed::of(state.next_way(created_by), *at, created_by).of_parts(&parts);
        self.outcome(&keyed, &mut || Ok(None))
    }
}

impl Allowed {
    fn of(house: &House, names: &[String]) -> Allowed {
        let mut allowed = Allowed { layers: BTreeSet::new(), lines: BTreeSet::new() };
        for image in names.iter().filter_map(|name| house.engine.image(name).ok()) {
            allowed.layers.extend(&image.config.rootfs.diff_ids);
            allowed.lines.extend(image.config.history.into_iter().map(|line| line.created_by));
        }
        allowed
    }

    fn has(&self, outcome: &Outcome, created_by: &str) -> bool {
        match &outcome.layer {
            Some(made) => self.layers.contains(&made.diff_id),
            None => self.lines.contains(created_by),
        }
    }
}

/// Seconds since 1970 that all times of the image are to be.
fn epoch(request: &Request) -> Result<Option<String>> {
    let Some(text) = request.arguments.get("SOURCE_DATE_EPOCH").filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let at = text.parse().ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    at.map(|at| Some(at.to_string())).ok_or_else(|| Error::Invalid(format!("invalid SOURCE_DATE_EPOCH: {text}")))
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
