//! `FROM`: an image, an earlier stage, or nothing.

use crate::context::{Named, of_texts};
use crate::graph;
use crate::progress::{Cached, Event, StepNumber};
use crate::request::Pulling;
use crate::solve::Build;
use crate::state::State;
use crate::{Error, Result};
use base::Digest;
use dockerfile::Scope;
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
    let from = build.globals.from(&build.file.stages[stage])?;
    let platform = match &from.platform {
        Some(text) => Some(image::parse_platform(text)?),
        None => build.request.platform.clone(),
    };
    let state = match build.sources.named(&from.name) {
        Some(Named::Image(name)) => of_image(build, &name, platform.as_ref(), number)?,
        Some(Named::Stage(name)) => of_stage(build, stage, &name)?,
        _ => match graph::earlier(build.file, stage, &from.name) {
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

fn of_stage(build: &Build<'_>, stage: usize, name: &str) -> Result<State> {
    let earlier = build.earlier(stage, name).ok_or_else(|| Error::NoTarget(name.to_owned()))?;
    of_earlier(build, earlier)
}

fn of_earlier(build: &Build<'_>, earlier: usize) -> Result<State> {
    let before = build.finished(earlier)?;
    let scope = Scope::of_stage(&before.scope)?;
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
    let scope = Scope::of_image(build.globals, &[])?;
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
    let scope = Scope::of_image(build.globals, &image.config.env)?;
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
    let here = engine.image(name).ok().filter(|image| platform.is_none_or(|wanted| fits(image, wanted)));
    if let Some(image) = here
        && (build.request.pull == Pulling::Missing || is_built_in(&image))
    {
        return Ok(image);
    }
    let reference = Reference::parse(name)?.or_latest();
    let pull = Pull {
        credentials: build.keys.of(&reference),
        reference: reference.clone(),
        platform: platform.cloned(),
        cancel: build.cancel.clone(),
    };
    let tell = |pull: PullStep| build.watch.tell(Event::Pulling { step: number, pull });
    engine.image_pull(&pull, &tell)?;
    Ok(engine.image(&reference.to_string())?)
}

fn is_built_in(image: &image::Image) -> bool {
    image.tags.iter().any(|tag| tag.split(':').next() == Some(image::HOST))
}

fn fits(image: &image::Image, wanted: &Platform) -> bool {
    let variant = wanted.variant.as_deref().unwrap_or_default();
    image.config.os == wanted.os
        && image.config.architecture == wanted.architecture
        && (variant.is_empty() || image.config.variant.is_empty() || image.config.variant == variant)
}
