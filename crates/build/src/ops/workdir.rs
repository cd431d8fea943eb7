//! `WORKDIR`: a folder that is made where it is missing, and that later paths begin at.

use super::At;
use super::{place, transfer};
use crate::Result;
use crate::context::{cleaned, of_texts};
use crate::progress::Cached;
use crate::solve::{Build, Keyed};
use crate::state::State;
use dockerfile::Resolved;

pub(crate) fn workdir(
    build: &Build<'_>,
    state: &mut State,
    at: At<'_>,
    (path, resolved): (&str, &Resolved),
) -> Result<Cached> {
    let path = absolute(&state.working_dir(), path);
    state.image.config.working_dir.clone_from(&path);
    let created_by = state.created_by(resolved);
    if path == "/" {
        let (outcome, cached) = build.line(state, &at, &created_by)?;
        state.advance(created_by, &outcome);
        return Ok(cached);
    }
    let user = state.image.config.user.clone();
    let key = of_texts([&b"workdir"[..], state.stack().as_bytes(), path.as_bytes(), user.as_bytes()]);
    let parts = || state.parts(&at, &path);
    let keyed = Keyed::of(key, at, &created_by).of_parts(&parts);
    let lowers = state.lowers();
    let (outcome, cached) = build.outcome(&keyed, &mut || {
        build.bring_lowers(&lowers)?;
        let layers = build.house.engine.image_store().layers();
        let work = layers.begin(&lowers)?;
        let owner = transfer::owner(work.root(), &user)?;
        place::folder(work.root(), cleaned(&path).as_bytes(), owner, 0o755)?;
        Ok(layers.finish(work)?)
    })?;
    state.advance(created_by, &outcome);
    Ok(cached)
}

/// A path counted from a folder, without parts that mean nothing.
pub(crate) fn absolute(folder: &str, path: &str) -> String {
    let whole = if path.starts_with('/') { path.to_owned() } else { format!("{folder}/{path}") };
    format!("/{}", cleaned(&whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_counted_from_the_folder_before() {
        assert_eq!(absolute("/a", "b"), "/a/b");
        assert_eq!(absolute("/a", "../b/./c/"), "/b/c");
        assert_eq!(absolute("/a", "/b"), "/b");
        assert_eq!(absolute("/", ""), "/");
        assert_eq!(absolute("/a", "../../.."), "/");
    }
}
