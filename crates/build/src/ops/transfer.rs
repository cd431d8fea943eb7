//! `COPY` and `ADD`: what is copied, under which key, and the layer that it makes.

use super::copy::{self, Keep, Manner, Parents};
use super::mode::Chmod;
use super::origin::{Tree, origin};
use super::place::Owner;
use super::workdir::absolute;
use super::{At, add};
use crate::cache::Parts;
use crate::context::{Chosen, Hashing, Ids, Seen, of_texts};
use crate::progress::Cached;
use crate::solve::{Build, Keyed};
use crate::state::State;
use crate::{Error, Result};
use base::Digest;
use container::user::UserError;
use dockerfile::ignore::Ignore;
use dockerfile::{Add, Copy, InlineFile, Resolved};
use layer::Lower;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;

/// What both have in common.
pub(crate) struct Wanted<'a> {
    pub paths: &'a [String],
    pub inline: &'a [InlineFile],
    /// Absolute; a slash at its end means a folder.
    pub destination: String,
    pub chown: Option<&'a str>,
    pub chmod: Option<&'a str>,
    pub parents: Parents,
    pub exclude: &'a [String],
    pub link: bool,
}

/// What is chosen of one tree.
pub(crate) struct Sourced {
    pub tree: Tree,
    /// With the number of parts that `--parents` leaves away.
    pub chosen: Vec<(usize, Vec<Chosen>)>,
}

pub(crate) fn copy(
    build: &Build<'_>,
    state: &mut State,
    at: At<'_>,
    (copy, resolved): (&Copy, &Resolved),
) -> Result<Cached> {
    let parents = if copy.parents { Parents::Yes } else { Parents::No };
    let wanted = Wanted {
        paths: &copy.sources.paths,
        inline: &copy.sources.inline,
        destination: destination(state, &copy.sources.destination),
        chown: copy.chown.as_deref(),
        chmod: copy.chmod.as_deref(),
        parents,
        exclude: &copy.exclude,
        link: copy.link,
    };
    let created_by = state.created_by(resolved);
    let exclude = exclusion(wanted.exclude)?;
    let open = || -> Result<Option<Sourced>> {
        if wanted.paths.is_empty() {
            return Ok(None);
        }
        let origin = origin(build, (at.stage, at.number), copy.from.as_deref(), wanted.paths)?;
        let tree = origin.open(build)?;
        let scope = tree.scope(exclude.as_ref());
        let chosen = wanted.paths.iter().map(|path| copy::sources(scope, path, parents)).collect::<Result<Vec<_>>>()?;
        Ok(Some(Sourced { tree, chosen }))
    };
    let meaning = meaning(&wanted, copy.from.is_some());
    // Of a stage that is what it was nothing needs to be read.
    let quick = match &copy.from {
        Some(_) => origin(build, (at.stage, at.number), copy.from.as_deref(), wanted.paths)?.name(),
        None => None,
    };
    let below = below(state, &wanted);
    let quick = quick.map(|name| of_texts([&b"copy of"[..], below.as_bytes(), meaning.as_bytes(), name.as_bytes()]));
    if let Some(key) = quick {
        let keyed = Keyed::of(key, at, &created_by);
        if let Some(outcome) = build.known(&keyed)? {
            build.found_quickly(&keyed, &outcome)?;
            state.advance(created_by, &outcome);
            return Ok(Cached::Yes);
        }
    }
    let sourced = open()?;
    let (content, seen) = content(build, sourced.as_ref(), exclude.as_ref())?;
    let key = of_texts([&b"copy"[..], below.as_bytes(), meaning.as_bytes(), content.as_bytes()]);
    let parts = || Parts { files: named(&seen), ..state.parts(&at, &meaning) };
    let keyed = Keyed::of(key, at, &created_by).of_parts(&parts);
    let lowers = lowers(state, &wanted);
    let mut make = || {
        layered(build, &lowers, &wanted, &mut |root, manner| {
            let Some(sourced) = &sourced else { return Ok(()) };
            let manner = Manner { attributes: keep(&sourced.tree), ..manner.clone() };
            let scope = sourced.tree.scope(exclude.as_ref());
            let mut all = sourced.chosen.iter();
            all.try_for_each(|chosen| copy::copy(root, scope, chosen, &wanted.destination, &manner))
        })
    };
    let is_so = || -> Result<bool> {
        let may_change = sourced.as_ref().is_some_and(|sourced| sourced.tree.may_change());
        Ok(!may_change || self::content(build, sourced.as_ref(), exclude.as_ref())?.0 == content)
    };
    let (outcome, cached) = build.outcome_if(&keyed, &mut make, &is_so)?;
    if let Some(key) = quick {
        build.also(&key, &keyed, &outcome)?;
    }
    state.advance(created_by, &outcome);
    Ok(cached)
}

pub(crate) fn add(
    build: &Build<'_>,
    state: &mut State,
    at: At<'_>,
    (add, resolved): (&Add, &Resolved),
) -> Result<Cached> {
    let wanted = Wanted {
        paths: &add.sources.paths,
        inline: &add.sources.inline,
        destination: destination(state, &add.sources.destination),
        chown: add.chown.as_deref(),
        chmod: add.chmod.as_deref(),
        parents: Parents::No,
        exclude: &add.exclude,
        link: add.link,
    };
    let created_by = state.created_by(resolved);
    let exclude = exclusion(wanted.exclude)?;
    let sources = add::sources(build, (at.stage, at.number), (add, wanted.paths), exclude.as_ref())?;
    let content = || -> Result<([u8; 32], Vec<Seen>)> {
        let (mut sum, mut seen) = (Sha256::new(), Vec::new());
        for source in &sources {
            seen.append(&mut source.add_to(build, exclude.as_ref(), &mut sum)?);
        }
        Ok((sum.finalize().into(), seen))
    };
    let (before, seen) = content()?;
    let below = below(state, &wanted);
    let meaning = format!("{}{:?}", meaning(&wanted, false), add.unpack);
    let key = of_texts([&b"add"[..], below.as_bytes(), meaning.as_bytes(), &before[..]]);
    let parts = || Parts { files: named(&seen), ..state.parts(&at, &meaning) };
    let keyed = Keyed::of(key, at, &created_by).of_parts(&parts);
    let lowers = lowers(state, &wanted);
    let mut make = || {
        layered(build, &lowers, &wanted, &mut |root, manner| {
            sources.iter().try_for_each(|source| source.place(root, &wanted, exclude.as_ref(), manner))
        })
    };
    let is_so = || -> Result<bool> { Ok(!sources.iter().any(add::Source::may_change) || content()?.0 == before) };
    let (outcome, cached) = build.outcome_if(&keyed, &mut make, &is_so)?;
    state.advance(created_by, &outcome);
    Ok(cached)
}

/// Makes a layer of what `fill` puts into a tree, and of files that stand in the Dockerfile.
fn layered(
    build: &Build<'_>,
    lowers: &[Lower],
    wanted: &Wanted<'_>,
    fill: &mut dyn FnMut(BorrowedFd<'_>, &Manner) -> Result<()>,
) -> Result<Option<layer::Adopted>> {
    build.bring_lowers(lowers)?;
    let layers = build.house.engine.image_store().layers();
    let work = layers.begin(lowers)?;
    let manner = Manner {
        owner: wanted.chown.map(|text| owner(work.root(), text)).transpose()?,
        chmod: wanted.chmod.map(Chmod::parse).transpose()?,
        parents: wanted.parents,
        attributes: Keep::No,
        cancel: build.cancel.clone(),
    };
    fill(work.root(), &manner)?;
    for file in wanted.inline {
        add::inline(work.root(), file, &wanted.destination, &manner)?;
    }
    Ok(layers.finish(work)?)
}

pub(crate) fn keep(tree: &Tree) -> Keep {
    if tree.ids() == Ids::Kept { Keep::Yes } else { Keep::No }
}

/// The layers that it is made above of: none for `--link`, so that it is the same above any.
fn lowers(state: &State, wanted: &Wanted<'_>) -> Vec<Lower> {
    if is_apart(wanted) { Vec::new() } else { state.lowers() }
}

fn below(state: &State, wanted: &Wanted<'_>) -> Digest {
    if is_apart(wanted) { of_texts([&b"apart"[..]]) } else { state.stack() }
}

/// A name of an owner means something only in the tree below.
fn is_apart(wanted: &Wanted<'_>) -> bool {
    let numbers = |text: &str| text.chars().all(|letter| letter.is_ascii_digit() || letter == ':');
    wanted.link && wanted.chown.is_none_or(numbers)
}

fn destination(state: &State, text: &str) -> String {
    let path = absolute(&state.working_dir(), text);
    let is_folder = text.ends_with('/') || text == "." || text.ends_with("/.");
    if is_folder && path != "/" { format!("{path}/") } else { path }
}

fn exclusion(patterns: &[String]) -> Result<Option<Ignore>> {
    if patterns.is_empty() {
        return Ok(None);
    }
    let ignore = Ignore::new(patterns.iter().map(String::as_str));
    ignore.map(Some).map_err(|error| Error::Invalid(base::chain(&error)))
}

fn meaning(wanted: &Wanted<'_>, from_stage: bool) -> String {
    let inline: Vec<_> = wanted.inline.iter().map(|file| (&file.name, &file.content)).collect();
    json!({
        "paths": wanted.paths,
        "inline": inline,
        "destination": wanted.destination,
        "chown": wanted.chown,
        "chmod": wanted.chmod,
        "parents": wanted.parents == Parents::Yes,
        "exclude": wanted.exclude,
        "stage": from_stage,
    })
    .to_string()
}

/// Files by their names.
fn named(seen: &[Seen]) -> BTreeMap<String, u64> {
    seen.iter().map(|seen| (String::from_utf8_lossy(&seen.path).into_owned(), seen.digest)).collect()
}

/// The digest of all that was chosen, with the names that it is copied under.
fn content(build: &Build<'_>, sourced: Option<&Sourced>, exclude: Option<&Ignore>) -> Result<(Digest, Vec<Seen>)> {
    let Some(sourced) = sourced else { return Ok((of_texts([&b"nothing"[..]]), Vec::new())) };
    let mut sum = Sha256::new();
    let mut hashing = Hashing::new(&build.house.memo, sourced.tree.ids());
    for chosen in sourced.chosen.iter().flat_map(|(_, chosen)| chosen) {
        sum.update((chosen.path.len() as u64).to_le_bytes());
        sum.update(&chosen.path);
        hashing.add(sourced.tree.scope(exclude), chosen, &mut sum)?;
    }
    Ok((Digest::from_bytes(sum.finalize().into()), hashing.seen))
}

/// Names are those of the tree that is written into. A number alone is user and group; a name alone has the group of its user.
/// What nobody there is called is root's, as BuildKit has it.
pub(crate) fn owner(root: BorrowedFd<'_>, text: &str) -> Result<Owner> {
    let (user, group) = text.split_once(':').unwrap_or((text, ""));
    let is_number = !user.is_empty() && user.bytes().all(|byte| byte.is_ascii_digit());
    let whole = match group {
        "" if is_number => format!("{user}:{user}"),
        "" => user.to_owned(),
        _ => text.to_owned(),
    };
    match container::user::lookup(root, &whole, &[]) {
        Ok(found) => Ok(Owner { uid: found.uid, gid: found.gid }),
        Err(UserError::NoUser(_)) if group.is_empty() => Ok(Owner::default()),
        Err(UserError::NoUser(_)) => owner(root, &format!("0:{group}")),
        Err(UserError::NoGroup(_)) => owner(root, user),
        Err(error) => Err(engine::Error::from(error).into()),
    }
}
