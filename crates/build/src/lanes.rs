//! A build for several platforms: a lane for each, stages that are the same in some of them built once.
//!
//! ```text
//!   amd64   [ build (FROM --platform=$BUILDPLATFORM) ]──► stage ──► result
//!                              │ the same
//!   arm64                      └─────────────────────────► stage ──► result
//! ```

use crate::cache::Outcome;
use crate::context::{Named, Sources};
use crate::graph::{self, Plan};
use crate::progress::{Event, StepInfo};
use crate::request::{Order, Request};
use crate::solve::{Build, Slot, lock};
use crate::state::State;
use crate::{Error, Result};
use base::Digest;
use dockerfile::{BuildArguments, Dockerfile, Globals, Instruction};
use oci::image::Platform;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Stages that are built at once: a large build for many platforms must not have a thread for each of them.
const LEAST_THREADS: usize = 8;

/// What all platforms of a build share.
#[derive(Default)]
pub(crate) struct Common {
    /// The number of the next step that was not planned.
    pub next_step: AtomicUsize,
    /// Cached steps that were used.
    pub used: Mutex<Vec<Digest>>,
    /// Steps that this build has done: they are not done again, whatever of the cache may be used.
    pub done: Mutex<HashMap<Digest, Outcome>>,
    pub failure: Mutex<Option<Error>>,
}

/// One platform of a build.
pub(crate) struct Lane {
    pub target: Platform,
    /// The build is for several.
    pub several: bool,
    pub globals: Arc<Globals>,
    pub plan: Plan,
    pub slots: Vec<Arc<Slot>>,
    /// For stages that turned out to differ (their image's triggers ask for the platform).
    pub own: Vec<Slot>,
}

/// The lanes of a build, and all their steps.
pub(crate) fn lanes(file: &Dockerfile, request: &Request, sources: &dyn Sources) -> Result<(Vec<Lane>, Vec<StepInfo>)> {
    let machine = image::machine_platform();
    let platforms = if request.platforms.is_empty() { vec![machine.clone()] } else { request.platforms.clone() };
    let several = platforms.len() > 1;
    let mut lanes: Vec<Lane> = Vec::with_capacity(platforms.len());
    let mut steps = Vec::new();
    for target in platforms {
        if lanes.iter().any(|lane| lane.target == target) {
            continue;
        }
        let arguments = BuildArguments {
            values: request.arguments.clone(),
            target: target.clone(),
            build: machine.clone(),
            stage: request.target.clone(),
        };
        let globals = Arc::new(Globals::new(file, &arguments)?);
        let plan = graph::plan(file, &globals, request.target.as_deref())?;
        let (slots, own) = (slots(file).map(Arc::new).collect(), slots(file).collect());
        let mut lane = Lane { target, several, globals, plan, slots, own };
        number(file, sources, &lanes, &mut lane, &mut steps)?;
        lanes.push(lane);
    }
    Ok((lanes, steps))
}

fn slots(file: &Dockerfile) -> impl Iterator<Item = Slot> {
    file.stages.iter().map(|_| Slot::default())
}

/// Gives the steps of a lane their numbers among all, and its stages the slots of an earlier lane where they are the same.
fn number(
    file: &Dockerfile,
    sources: &dyn Sources,
    before: &[Lane],
    lane: &mut Lane,
    steps: &mut Vec<StepInfo>,
) -> Result<()> {
    for stage in lane.plan.needed.clone() {
        let Some(first) = lane.plan.first[stage] else { continue };
        let mut twin = None;
        for other in before.iter().filter(|other| other.plan.needed.contains(&stage)) {
            if is_same(file, sources, (other, lane), stage)? {
                twin = Some(other);
                break;
            }
        }
        if let Some(twin) = twin {
            lane.plan.first[stage] = twin.plan.first[stage];
            lane.slots[stage] = twin.slots[stage].clone();
            continue;
        }
        let count = 1 + file.stages[stage].steps.len();
        let platform = if lane.several { Some(lane.platform_of(file, stage)?) } else { None };
        let own = lane.plan.steps[first..first + count].iter().cloned();
        lane.plan.first[stage] = Some(steps.len());
        steps.extend(own.map(|info| StepInfo { platform: platform.clone(), ..info }));
    }
    Ok(())
}

/// Whether a stage comes to the same in two lanes, whatever is in its images.
fn is_same(file: &Dockerfile, sources: &dyn Sources, (one, two): (&Lane, &Lane), stage: usize) -> Result<bool> {
    let own = &file.stages[stage];
    let (from, other) = (one.globals.from(own)?, two.globals.from(own)?);
    if from != other {
        return Ok(false);
    }
    // What a client gives for a name may be another thing for another platform.
    let given = |name: &str| matches!(sources.named(name), Some(Named::Image(_) | Named::Stage(_)));
    let is_stage = graph::earlier(file, stage, &from.name).is_some();
    if from.platform.is_none() && !is_stage || given(&from.name) && from.platform.is_none() {
        return Ok(false);
    }
    for step in &own.steps {
        let differs = match &step.instruction {
            Instruction::Arg(args) => args.iter().any(|arg| {
                let value = |lane: &Lane| lane.globals.env().get(&arg.name).map(str::to_owned);
                value(one) != value(two)
            }),
            _ => names(&step.instruction).into_iter().any(|name| {
                // An image is that of the platform that the build is for.
                graph::earlier_or_number(file, stage, name).is_none()
                    && !matches!(sources.named(name), Some(Named::Folder))
            }),
        };
        if differs {
            return Ok(false);
        }
    }
    // Earlier stages were compared before: those that are the same share a slot.
    let used = graph::uses(file, &one.globals, stage)?;
    Ok(used.into_iter().all(|used| Arc::ptr_eq(&one.slots[used], &two.slots[used])))
}

/// What an instruction takes files from.
fn names(instruction: &Instruction) -> Vec<&str> {
    match instruction {
        Instruction::Copy(copy) => copy.from.iter().map(String::as_str).collect(),
        Instruction::Run(run) => run.mounts.iter().filter_map(|mount| mount.from.as_deref()).collect(),
        _ => Vec::new(),
    }
}

impl Lane {
    /// What a stage is for: what the stage is for that it is built on, else what it says itself, else the build.
    pub fn platform_of(&self, file: &Dockerfile, mut stage: usize) -> Result<Platform> {
        loop {
            let from = self.globals.from(&file.stages[stage])?;
            match (graph::earlier(file, stage, &from.name), &from.platform) {
                (Some(earlier), _) => stage = earlier,
                (None, Some(text)) => return Ok(image::parse_platform(text)?),
                (None, None) => return Ok(self.target.clone()),
            }
        }
    }
}

/// Builds all that is needed, in every lane. The last state of each lane's target.
pub(crate) fn run(builds: &[Build<'_>], steps: Vec<StepInfo>) -> Result<Vec<Arc<State>>> {
    let Some(first) = builds.first() else { return Ok(Vec::new()) };
    first.watch.tell(Event::Planned(steps));
    // Lane by lane for each stage: what they share is begun first.
    let stages = first.file.stages.len();
    let needed = |stage: usize| builds.iter().filter(move |build| build.lane.plan.needed.contains(&stage));
    let work: Vec<(&Build<'_>, usize)> =
        (0..stages).flat_map(|stage| needed(stage).map(move |build| (build, stage))).collect();
    match first.request.order {
        Order::InTurn => work.iter().try_for_each(|(build, stage)| build.finished(*stage).map(drop)).unwrap_or(()),
        Order::Parallel => side_by_side(&work),
    }
    if let Err(error) = first.house.cache()?.used(&lock(&first.common.used)) {
        tracing::warn!("{}", base::chain(&error));
    }
    let failure = || lock(&first.common.failure).take();
    if let Some(error) = failure() {
        return Err(error);
    }
    let results: Result<_> = builds.iter().map(Build::result).collect();
    // What failed there has told why, too.
    results.map_err(|error| failure().unwrap_or(error))
}

/// One that waits for another stage waits for one that a thread has begun: so a few threads get to the end of any number of stages.
fn side_by_side(work: &[(&Build<'_>, usize)]) {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = work.len().min(LEAST_THREADS.max(2 * processors));
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((build, stage)) = work.get(next.fetch_add(1, Ordering::AcqRel)) {
                    // Its failure is known to the build.
                    let _ = build.finished(*stage);
                }
            });
        }
    });
}
