//! Images to registries: one, or every tag of a repository.

use crate::{Engine, Error, Result};
use image::Reference;
use image::push::{LayerState, Step};
use oci::image::Platform;
use registry::{Cancel, Credentials};

/// What is pushed, and by whom.
#[derive(Debug, Clone)]
pub struct Push {
    /// Without a tag: every tag of the repository that is here.
    pub reference: Reference,
    /// Of a name for several platforms only this one.
    pub platform: Option<Platform>,
    pub credentials: Credentials,
    pub cancel: Cancel,
}

/// What happens during a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushStep {
    /// It begins; the full name of the repository.
    Begun(String),
    /// `id`: 12 digits of the layer's diffID.
    Layer { id: String, state: LayerState },
    /// One tag is in the registry.
    Done { tag: String, pushed: image::push::Pushed },
}

impl Engine {
    /// Pushes. `tell` is called from several threads.
    pub fn image_push(&self, push: &Push, tell: &(dyn Fn(PushStep) + Sync)) -> Result<()> {
        tell(PushStep::Begun(push.reference.name()));
        for reference in self.local_references(&push.reference)? {
            self.push_one(&reference, push, tell)?;
        }
        self.tell_transfer("push", &push.reference);
        Ok(())
    }

    /// Error texts are Docker's (moby, distribution/push.go and push_v2.go).
    fn local_references(&self, wanted: &Reference) -> Result<Vec<Reference>> {
        if wanted.digest.is_some() {
            return Err(Error::Invalid("cannot push a digest reference".into()));
        }
        let here: Vec<Reference> = self
            .images()?
            .iter()
            .flat_map(|image| image.tags.iter().chain(&image.digests))
            .filter_map(|name| Reference::parse(name).ok())
            .filter(|reference| reference.name() == wanted.name())
            .collect();
        let name = wanted.familiar_name();
        if here.is_empty() {
            return Err(Error::Invalid(format!("An image does not exist locally with the tag: {name}")));
        }
        let mut tagged: Vec<Reference> = here.into_iter().filter(|reference| reference.digest.is_none()).collect();
        if wanted.tag.is_none() {
            tagged.sort();
            return if tagged.is_empty() {
                Err(Error::Invalid(format!("no tags to push for {name}")))
            } else {
                Ok(tagged)
            };
        }
        if !tagged.contains(wanted) {
            return Err(Error::Invalid(format!("tag does not exist: {}", wanted.familiar())));
        }
        Ok(vec![wanted.clone()])
    }

    fn push_one(&self, reference: &Reference, push: &Push, tell: &(dyn Fn(PushStep) + Sync)) -> Result<()> {
        let house = &self.house;
        let wanted = image::push::Push {
            reference,
            registry: &house.exchange.client,
            credentials: &push.credentials,
            cancel: &push.cancel,
            platform: push.platform.as_ref(),
            uploads: house.exchange.told().uploads,
        };
        let pushed = house.images.push(&wanted, &|Step::Layer { id, state }| tell(PushStep::Layer { id, state }))?;
        tell(PushStep::Done { tag: reference.tag.clone().unwrap_or_default(), pushed });
        Ok(())
    }
}
