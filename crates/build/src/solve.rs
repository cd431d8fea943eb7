//! A build: the stages it needs, each on a thread of its own, and what they come to.
//!
//! ```text
//!   plan ──► stage ─ FROM ─ step ─ step ──► finished ──► image
//!            stage ─ FROM ─ step ─────────────┘ (waited for where a step names it)
//! ```

use crate::builder::House;
use crate::cache::{Made, Outcome};
use crate::context::Sources;
use crate::graph::{self, Plan};
use crate::ops;
use crate::progress::{Cached, Event, StepInfo, StepNumber, Watch};
use crate::request::{CacheUse, Keys, Order, Request};
use crate::state::State;
use crate::{Error, Result};
use base::Digest;
use dockerfile::{Dockerfile, Globals, Lines, Step};
use layer::Adopted;
use registry::Cancel;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
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
    pub globals: &'a Arc<Globals>,
    plan: Plan,
    slots: Vec<Slot>,
    next_step: AtomicUsize,
    /// Cached steps that were used.
    used: Mutex<Vec<Digest>>,
    /// What `CacheUse::Images` allows.
    allowed: Option<Allowed>,
    failure: Mutex<Option<Error>>,
    /// `SOURCE_DATE_EPOCH`, as it stands in the image.
    pub epoch: Option<String>,
}

/// Steps of images that may be used again.
struct Allowed {
    layers: BTreeSet<Digest>,
    lines: BTreeSet<String>,
}

#[derive(Default)]
struct Slot {
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
}

/// What a step is made of, for the cache.
pub(crate) struct Keyed<'a> {
    pub key: Digest,
    /// As it is shown.
    pub title: &'a str,
    pub stage: usize,
    /// What the history says of it.
    pub created_by: &'a str,
}

impl<'a> Build<'a> {
    pub fn new(
        (house, request): (&'a House, &'a Request),
        (file, globals): (&'a Dockerfile, &'a Arc<Globals>),
        (sources, keys): (&'a dyn Sources, &'a dyn Keys),
        watch: &'a dyn Watch,
        cancel: &Cancel,
    ) -> Result<Build<'a>> {
        let plan = graph::plan(file, globals, request.target.as_deref())?;
        let allowed = match &request.cache {
            CacheUse::Images(names) => Some(Allowed::of(house, names)),
            _ => None,
        };
        Ok(Build {
            slots: file.stages.iter().map(|_| Slot::default()).collect(),
            next_step: AtomicUsize::new(plan.steps.len()),
            cancel: cancel.child(),
            used: Mutex::default(),
            failure: Mutex::default(),
            epoch: epoch(request)?,
            house,
            request,
            sources,
            keys,
            watch,
            file,
            globals,
            plan,
            allowed,
        })
    }

    /// Builds all that is needed. The target's last state.
    pub fn run(&self) -> Result<Arc<State>> {
        self.watch.tell(Event::Planned(self.plan.steps.clone()));
        match self.request.order {
            Order::InTurn => {
                self.plan.needed.iter().try_for_each(|stage| self.finished(*stage).map(drop)).unwrap_or(())
            }
            Order::Parallel => std::thread::scope(|scope| {
                for stage in &self.plan.needed {
                    scope.spawn(move || drop(self.finished(*stage)));
                }
            }),
        }
        if let Err(error) = self.house.cache()?.used(&lock(&self.used)) {
            tracing::warn!("{}", base::chain(&error));
        }
        if let Some(error) = lock(&self.failure).take() {
            return Err(error);
        }
        self.finished(self.plan.target)
    }

    /// What a stage came to; who comes first builds it.
    pub fn finished(&self, stage: usize) -> Result<Arc<State>> {
        let slot = &self.slots[stage];
        let mut progress = lock(&slot.progress);
        loop {
            match &*progress {
                Progress::Done(state) => return Ok(state.clone()),
                Progress::Failed => return Err(Error::Cancelled),
                Progress::Waiting => break,
                Progress::Going => progress = slot.changed.wait(progress).unwrap_or_else(PoisonError::into_inner),
            }
        }
        *progress = Progress::Going;
        drop(progress);
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.stage(stage)));
        let done =
            done.unwrap_or_else(|_| Err(Error::Invalid("the builder failed; the engine's log tells more".to_owned())));
        let outcome = match done {
            Ok(state) => Progress::Done(Arc::new(state)),
            Err(error) => {
                self.failed(error);
                Progress::Failed
            }
        };
        *lock(&slot.progress) = outcome.clone();
        slot.changed.notify_all();
        match outcome {
            Progress::Done(state) => Ok(state),
            _ => Err(Error::Cancelled),
        }
    }

    /// The first failure counts; what ends because of it does not.
    fn failed(&self, error: Error) {
        let mut failure = lock(&self.failure);
        if failure.is_none() || failure.as_ref().is_some_and(Error::is_cancelled) && !error.is_cancelled() {
            *failure = Some(error);
        }
        self.cancel.cancel();
    }

    fn stage(&self, stage: usize) -> Result<State> {
        let own = &self.file.stages[stage];
        let first =
            self.plan.first[stage].unwrap_or_else(|| self.next_step.fetch_add(1 + own.steps.len(), Ordering::AcqRel));
        let begun =
            self.placed(first, own.written.lines, || own.written.code.clone(), || ops::from::base(self, stage, first));
        let mut state = begun?;
        for text in state.image.config.on_build.take().unwrap_or_default() {
            let step = dockerfile::parse_trigger(&text, own.written.lines)?;
            let number = self.next_step.fetch_add(1, Ordering::AcqRel);
            let info = StepInfo {
                stage,
                stage_name: own.name.clone(),
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
                    let text = format!("UndefinedVar: Usage of undefined variable '${name}'");
                    self.watch.tell(Event::Warning { lines: Some(step.written.lines), text });
                }
                let cached = ops::perform(self, state, ops::At { stage, number, title: &title }, &resolved)?;
                state.all_cached &= cached == Cached::Yes;
                self.watch.tell(Event::Done { step: number, cached, image: state.id()? });
                Ok(())
            },
        )
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
            self.watch.tell(Event::Failed { step, why: base::chain(&source) });
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
        if let Some(outcome) = self.known(keyed)? {
            return Ok((outcome, Cached::Yes));
        }
        let layer = make()?.map(|Adopted { diff_id, tar, bytes }| Made { diff_id, tar, bytes });
        let outcome = Outcome { layer, created: jiff::Timestamp::now().to_string() };
        if let Some(made) = &outcome.layer {
            self.house.engine.image_store().pin(&made.diff_id)?;
        }
        if is_so()? {
            self.house.cache()?.keep(&keyed.key, keyed.title, &outcome)?;
        }
        Ok((self.dated(outcome), Cached::No))
    }

    /// As this build's image has it: the cache knows when it was done, whatever a build wanted to be said.
    fn dated(&self, outcome: Outcome) -> Outcome {
        Outcome { created: self.epoch.clone().unwrap_or(outcome.created), ..outcome }
    }

    /// What the cache has of a step, if it may be used.
    pub fn known(&self, keyed: &Keyed<'_>) -> Result<Option<Outcome>> {
        let may = match &self.request.cache {
            CacheUse::Nothing => false,
            CacheUse::All | CacheUse::Images(_) => true,
            CacheUse::AllBut(stages) => !stages.iter().any(|name| self.is_stage(keyed.stage, name)),
        };
        if !may {
            return Ok(None);
        }
        let Some(outcome) = self.house.cache()?.find(&keyed.key)? else { return Ok(None) };
        let layers = self.house.engine.image_store().layers();
        if outcome.layer.is_some_and(|made| !layers.has(&made.diff_id)) {
            self.house.cache()?.forget(&keyed.key)?;
            return Ok(None);
        }
        let may = self.allowed.as_ref().is_none_or(|allowed| allowed.has(&outcome, keyed.created_by));
        if may {
            lock(&self.used).push(keyed.key);
        }
        Ok(may.then(|| self.dated(outcome)))
    }

    /// Another key for what was found.
    pub fn also(&self, key: &Digest, title: &str, outcome: &Outcome) -> Result<()> {
        self.house.cache()?.keep(key, title, outcome)
    }

    fn is_stage(&self, stage: usize, name: &str) -> bool {
        let own = self.file.stages[stage].name.as_deref();
        own.is_some_and(|own| own.eq_ignore_ascii_case(name)) || name.parse() == Ok(stage)
    }

    /// The time as an image has it.
    pub fn now(&self) -> String {
        self.epoch.clone().unwrap_or_else(|| jiff::Timestamp::now().to_string())
    }

    /// What `--from` means: a stage, a context of the client's, or an image.
    pub fn earlier(&self, stage: usize, name: &str) -> Option<usize> {
        graph::earlier_or_number(self.file, stage, name)
    }

    /// Whether an instruction may come from the cache though it changes no file: its line of history then keeps its time.
    pub fn line(&self, state: &State, at: &ops::At<'_>, created_by: &str) -> Result<(Outcome, Cached)> {
        let keyed = Keyed { key: state.next_way(created_by), title: at.title, stage: at.stage, created_by };
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
