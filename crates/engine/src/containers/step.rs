//! A step of a build: a container that stands on layers, runs to its end, and leaves a layer.

use super::{Removal, WaitCondition};
use crate::streams::{Attach, Chunk, Output};
use crate::{Engine, Error, Result};
use base::{Digest, Id};
use container::Config;
use layer::Adopted;
use registry::Cancel;

/// What is run.
#[derive(Debug)]
pub struct Step {
    /// Complete: nothing is taken from an image. It names its layers.
    pub config: Config,
    /// The image that it is shown as being of.
    pub image: Digest,
    pub cancel: Cancel,
}

/// What happens meanwhile.
#[derive(Debug)]
pub enum StepNews {
    /// The container is made.
    Begun(Id),
    Output(Chunk),
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepEnd {
    pub exit_code: i32,
    /// What it wrote, if anything; of one that failed nothing is kept.
    pub layer: Option<Adopted>,
}

impl Engine {
    /// Runs a step; `settle` may change what it wrote before that becomes a layer. Nothing of the container is left, whatever
    /// happens. Not for a thread of the async runtime.
    pub fn run_step(
        &self,
        step: Step,
        tell: &mut dyn FnMut(StepNews),
        settle: &dyn Fn(&std::path::Path) -> std::io::Result<()>,
    ) -> Result<StepEnd> {
        let Step { config, image, cancel } = step;
        let id = self.create_of(None, config, &image::Image::nameless(image))?.id;
        let _gone = Gone { engine: self, id };
        tell(StepNews::Begun(id));
        let name = id.to_string();
        let attach = Attach { stdout: true, stderr: true, stream: true, ..Attach::default() };
        let mut output = self.attach(&name, attach)?.output;
        let ended = self.wait(&name, WaitCondition::NextExit)?;
        self.start(&name)?;
        let runtime = &self.house.runtime;
        runtime.block_on(listen(&mut output, &cancel, tell))?;
        let exit_code = runtime.block_on(unless(&cancel, ended))?.exit_code;
        if exit_code != 0 {
            return Ok(StepEnd { exit_code, layer: None });
        }
        let folder = self.house.roots.container(&id);
        let record = self.house.shelf.find(&name)?.record();
        let changed = |source| Error::Io { action: "tidy up what a step left".into(), source };
        settle(&folder.join("upper")).map_err(changed)?;
        let layer = self.house.images.layers().adopt(&folder, self.owner(&record))?;
        Ok(StepEnd { exit_code, layer })
    }

    /// A container as a step's, for people: `tell` gets its id, and who attaches to it starts it. Returns when its program has ended or
    /// it is gone; then nothing of it is left. Not for a thread of the async runtime.
    pub fn look_around(&self, step: Step, tell: &mut dyn FnMut(Id)) -> Result<()> {
        let Step { config, image, cancel } = step;
        let id = self.create_of(None, config, &image::Image::nameless(image))?.id;
        let _gone = Gone { engine: self, id };
        let ended = self.wait(&id.to_string(), WaitCondition::NextExit)?;
        tell(id);
        self.house.runtime.block_on(unless(&cancel, ended)).map(drop)
    }

    /// The images and layers that a build reads and adds to.
    pub fn image_store(&self) -> &image::Store {
        &self.house.images
    }

    /// Tells that a build made an image, and gave it these names.
    pub fn image_built(&self, id: &Digest, names: &[String]) -> Result<()> {
        self.house.images.touch(id);
        self.tell_built(&self.house.images.get(&id.to_string())?, names);
        Ok(())
    }
}

/// Hands output on until it ends, or the build does.
async fn listen(output: &mut Output, cancel: &Cancel, tell: &mut dyn FnMut(StepNews)) -> Result<()> {
    loop {
        tokio::select! {
            chunk = output.recv() => match chunk {
                Some(chunk) => tell(StepNews::Output(chunk)),
                None => return Ok(()),
            },
            () = cancel.cancelled() => return Err(registry::Error::Cancelled.into()),
        }
    }
}

/// What comes, unless the build ends before.
async fn unless<T>(cancel: &Cancel, coming: impl Future<Output = T>) -> Result<T> {
    tokio::select! {
        done = coming => Ok(done),
        () = cancel.cancelled() => Err(registry::Error::Cancelled.into()),
    }
}

/// Removes the container when it is dropped.
struct Gone<'a> {
    engine: &'a Engine,
    id: Id,
}

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        let removal = Removal { force: true, volumes: true };
        let name = self.id.to_string();
        match self.engine.house.runtime.block_on(self.engine.remove(&name, removal)) {
            // Somebody else was faster.
            Ok(()) | Err(Error::NoContainer(_)) => {}
            Err(error) => tracing::warn!("cannot remove the step {name}: {}", base::chain(&error)),
        }
    }
}
