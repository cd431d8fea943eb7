//! `FROM`: an image, an earlier stage, or nothing.

use crate::context::{Named, of_texts};
use crate::facts::UsedImage;
use crate::graph;
use crate::progress::{Cached, Event, StepNumber};
use crate::request::Pulling;
use crate::solve::Build;
use crate::state::State;
use crate::{Error, Result};
use base::Digest;
use dockerfile::{Lines, Scope};
use engine::{Pull, PullStep};
use image::Reference;
use oci::image::{Image, Platform, RootFs};
use std::collections::BTreeMap;

/// What a stage begins with.
pub(crate) fn base(build: &Build<'_>, stage: usize, number: StepNumber) -> Result<State> {
    if build.cancel.is_cancelled() {
        return Err(Error::Cancelled);
    }
    build.watch.tell(Event::Started(number));
    let from = build.lane.globals.from(&build.file.stages[stage])?;
    let platform = match &from.platform {
        Some(text) => Some(image::parse_platform(text)?),
        None => build.wanted(),
    };
    let state = match build.sources.named(&from.name) {
        Some(Named::Image(name)) => of_image(build, &name, platform.as_ref(), number)?,
        Some(Named::Stage(name)) => of_stage(build, stage, &name)?,
        Some(Named::Folder) => {
            let place = (stage, number, build.file.stages[stage].written.lines);
            of_folder(build, &from.name, platform, place)?
        }
        None => match graph::earlier(build.file, stage, &from.name) {
            Some(earlier) => of_earlier(build, earlier)?,
            None if from.name == "scratch" => of_nothing(build, platform)?,
            None => of_image(build, &from.name, platform.as_ref(), number)?,
        },
    };
    let image = match state.base {
        Some(base) if state.image.history.len() == state.layers.len() => base,
        _ => state.id()?,
    };
    build.watch.tell(Event::Done { step: number, cached: Cached::No, image });
    Ok(state)
}

/// A client's folder as the files of an image.
fn of_folder(
    build: &Build<'_>,
    name: &str,
    platform: Option<Platform>,
    (stage, number, lines): (usize, StepNumber, Lines),
) -> Result<State> {
    let mut state = of_nothing(build, platform)?;
    let title = format!("COPY --from={name} . /");
    let copy = dockerfile::parse_trigger(&title, lines)?;
    let resolved = state.scope.step(&copy)?;
    super::perform(build, &mut state, super::At { stage, number, title: &title, code: &title }, &resolved)?;
    Ok(state)
}

fn of_stage(build: &Build<'_>, stage: usize, name: &str) -> Result<State> {
    let earlier = build.earlier(stage, name).ok_or_else(|| Error::NoTarget(name.to_owned()))?;
    of_earlier(build, earlier)
}

fn of_earlier(build: &Build<'_>, earlier: usize) -> Result<State> {
    let before = build.finished(earlier)?;
    let scope = Scope::of_stage(&before.scope)?.of_globals(&build.lane.globals);
    // Triggers are for builds on top of the image, and a stage is none.
    Ok(State { scope, has_cmd: false, ..State::clone(&before) })
}

/// As BuildKit has it: a path to look for programs in, and `/` to begin at.
fn of_nothing(build: &Build<'_>, platform: Option<Platform>) -> Result<State> {
    let platform = platform.unwrap_or_else(image::machine_platform);
    let mut image = Image {
        architecture: platform.architecture,
        variant: platform.variant.unwrap_or_default(),
        os: platform.os,
        rootfs: RootFs { kind: "layers".to_owned(), diff_ids: Vec::new() },
        ..Image::default()
    };
    let scope = Scope::of_image(&build.lane.globals, &[])?;
    image.config.env = scope.config_environment();
    image.config.working_dir = "/".to_owned();
    Ok(state(image, scope, None))
}

fn of_image(build: &Build<'_>, name: &str, platform: Option<&Platform>, number: StepNumber) -> Result<State> {
    let found = resolve(build, name, platform, number)?;
    let mut image = found.config.clone();
    if image.rootfs.kind.is_empty() {
        image.rootfs.kind = "layers".to_owned();
    }
    let scope = Scope::of_image(&build.lane.globals, &image.config.env)?;
    image.config.env = scope.config_environment();
    Ok(state(image, scope, Some(found.id)))
}

fn state(image: Image, scope: Scope, base: Option<Digest>) -> State {
    let layers = image.rootfs.diff_ids.clone();
    let id = base.map_or_else(|| b"scratch".to_vec(), |base| base.as_bytes().to_vec());
    State {
        base_layers: layers.len(),
        base_lines: image.history.len(),
        layers,
        tars: BTreeMap::new(),
        image,
        scope,
        base,
        has_cmd: false,
        way: of_texts([&b"base"[..], &id]),
        runs: std::collections::BTreeMap::new(),
        all_cached: true,
    }
}

/// An image that is here, or comes from its registry now.
pub(crate) fn resolve(
    build: &Build<'_>,
    name: &str,
    platform: Option<&Platform>,
    number: StepNumber,
) -> Result<image::Image> {
    let engine = &build.house.engine;
    let here = engine.image_for(name, platform).ok().filter(|image| hold(build, image).is_ok());
    if let Some(image) = here
        && (build.request.pull == Pulling::Missing || is_built_in(&image) || name.parse::<Digest>().is_ok())
    {
        return Ok(noted(build, name, image));
    }
    let tagged = Reference::parse(name)?.or_latest();
    let credentials = build.keys.of(&tagged);
    // What a name means here is what it means for this machine: for another it is known by its digest alone.
    let is_foreign = platform.is_some_and(|wanted| image::normal_platform(wanted) != image::machine_platform());
    let reference = match tagged.digest.is_none() && is_foreign {
        true => {
            let found = engine.distribution(&tagged, &credentials, &build.cancel)?;
            Reference { tag: None, digest: Some(found.descriptor.digest), ..tagged }
        }
        false => tagged,
    };
    let pull =
        Pull { credentials, reference: reference.clone(), platform: platform.cloned(), cancel: build.cancel.clone() };
    let tell = |pull: PullStep| build.watch.tell(Event::Pulling { step: number, pull });
    engine.image_pull(&pull, &tell)?;
    let full = reference.to_string();
    // One that says nothing of platforms, or another, is taken as it is, as the registry has no other.
    let image = engine.image_for(&full, platform).or_else(|_| engine.image(&full))?;
    hold(build, &image)?;
    Ok(noted(build, name, image))
}

/// Tells the provenance of an image, by the digest that its registry has it under if it came from one.
fn noted(build: &Build<'_>, name: &str, image: image::Image) -> image::Image {
    let Ok(reference) = Reference::parse(name).map(Reference::or_latest) else { return image };
    let mut known = image.digests.iter().filter_map(|known| Reference::parse(known).ok());
    let same = known.find(|known| known.name() == reference.name()).and_then(|known| known.digest);
    let platform = Platform {
        architecture: image.config.architecture.clone(),
        os: image.config.os.clone(),
        variant: Some(image.config.variant.clone()).filter(|variant| !variant.is_empty()),
        os_version: None,
    };
    let digest = reference.digest.or(same).unwrap_or(image.manifest);
    build.notes.image(UsedImage { name: reference.to_string(), platform, digest });
    image
}

/// What a build stands on stays until it has ended, whoever removes it meanwhile.
fn hold(build: &Build<'_>, image: &image::Image) -> Result<()> {
    if !is_built_in(image) {
        let (_, hold) = build.house.engine.hold_image(&image.id.to_string())?;
        build.recall.hold(hold);
    }
    Ok(())
}

fn is_built_in(image: &image::Image) -> bool {
    image.tags.iter().any(|tag| tag.split(':').next() == Some(image::HOST))
}
