//! All layers of a build become one (`--squash`).

use crate::Result;
use crate::solve::Build;
use crate::state::State;
use oci::image::{History, Image};
use std::collections::BTreeMap;

/// All layers of the build become one.
pub(crate) fn squash(
    build: &Build<'_>,
    state: &State,
    config: &mut Image,
    tars: &mut BTreeMap<base::Digest, u64>,
) -> Result<()> {
    let store = build.house.engine.image_store();
    let own = &state.layers[state.base_layers..];
    if own.len() < 2 {
        return Ok(());
    }
    // Marks of what is gone stay marks: for the layers below.
    let work = store.layers().begin(&[])?;
    for layer in own {
        pour(store.layers(), layer, &work)?;
    }
    config.rootfs.diff_ids.truncate(state.base_layers);
    let made = store.layers().finish(work)?;
    if let Some(made) = made {
        store.pin(&made.diff_id)?;
        config.rootfs.diff_ids.push(made.diff_id);
        tars.insert(made.diff_id, made.tar);
    }
    config.history.iter_mut().skip(state.base_lines).for_each(|line| line.empty_layer = true);
    config.history.push(History {
        created: config.created.clone(),
        comment: "merge of the layers of a build".to_owned(),
        empty_layer: made.is_none(),
        ..History::default()
    });
    Ok(())
}

/// The files of one layer into a tree.
fn pour(layers: &layer::Store, diff_id: &base::Digest, work: &layer::Work) -> Result<()> {
    let (mut source, sink) = archive::pipe::pipe();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| archive::extract(sink, work.root()));
        match layers.repack(diff_id, &mut source) {
            Ok(()) => drop(source.finish()),
            Err(error) => {
                source.fail(std::io::ErrorKind::InvalidData.into());
                let _ = writer.join();
                return Err(error.into());
            }
        }
        let written = writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok(written.map(drop)?)
    })
}
