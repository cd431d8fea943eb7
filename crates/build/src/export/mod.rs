//! Results on their way out: into the store, a registry, an archive or a folder.
//!
//! ```text
//!   Product ─► ready (times) ─► compose (layers, documents) ─► store | registry | archive
//!      └────────────────────────────────────────────────────► files (local, tar)
//! ```

mod annotations;
mod archive;
mod compose;
mod files;
mod options;
mod push;
mod ready;
mod store;

use crate::Result;
use crate::output::{Exported, Output, OutputKind, Sink};
use crate::progress::{Event, TaskState, Watch};
use crate::request::Keys;
use crate::solved::Solved;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oci::image::Descriptor;
use options::Options;
use registry::Cancel;
use std::collections::BTreeMap;

/// One export while it goes on.
pub(crate) struct Export<'a> {
    pub solved: &'a Solved,
    pub output: &'a Output,
    pub sink: &'a dyn Sink,
    pub keys: &'a dyn Keys,
    pub watch: &'a dyn Watch,
    pub cancel: &'a Cancel,
}

impl Export<'_> {
    pub fn run(&self) -> Result<Exported> {
        let options = Options::of(self.output)?;
        match self.output.kind {
            OutputKind::Image => store::image(self, &options),
            OutputKind::Docker | OutputKind::Oci => archive::archive(self, &options),
            OutputKind::Local => files::local(self, &options),
            OutputKind::Tar => files::tar(self, &options),
            OutputKind::Nothing => Ok(Exported::default()),
        }
    }

    pub(crate) fn begun(&self, task: &str) {
        self.watch.tell(Event::Export { task: task.to_owned(), state: TaskState::Begun });
    }

    pub(crate) fn ended(&self, task: &str) {
        self.watch.tell(Event::Export { task: task.to_owned(), state: TaskState::Done });
    }

    /// What took no time worth telling.
    fn done(&self, task: &str) {
        self.ended(task);
    }

    fn warn(&self, text: &str) {
        tracing::warn!("{text}");
    }
}

/// What a client is told of an image.
fn response(root: &Descriptor, digest: String, options: &Options) -> BTreeMap<String, String> {
    let mut response = BTreeMap::from([
        ("containerimage.digest".to_owned(), digest),
        ("containerimage.descriptor".to_owned(), STANDARD.encode(serde_json::to_vec(root).unwrap_or_default())),
    ]);
    if !options.image_name.is_empty() {
        response.insert("image.name".to_owned(), options.image_name.clone());
    }
    response
}
