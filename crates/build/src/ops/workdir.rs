//! `WORKDIR`: a folder that is made where it is missing, and that later paths begin at.

use super::At;
use super::place::{self, Owner};
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
    let key = of_texts([&b"workdir"[..], state.stack().as_bytes(), path.as_bytes()]);
    let keyed = Keyed { key, title: at.title, stage: at.stage, created_by: &created_by };
    let lowers = state.lowers();
    let (outcome, cached) = build.outcome(&keyed, &mut || {
        let layers = build.house.engine.image_store().layers();
        let work = layers.begin(&lowers)?;
        place::folder(work.root(), cleaned(&path).as_bytes(), Owner::default(), 0o755)?;
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
