//! Images from registries: one, or every tag of a repository.

use crate::{Engine, Result};
use base::Digest;
use image::Reference;
use image::pull::{LayerState, Step};
use registry::{Cancel, Credentials};

/// What is pulled, and for whom.
#[derive(Debug, Clone)]
pub struct Pull {
    /// With neither tag nor digest: every tag of the repository.
    pub reference: Reference,
    /// This machine's unless given.
    pub platform: Option<oci::image::Platform>,
    pub credentials: Credentials,
    pub cancel: Cancel,
}

/// What happens during a pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullStep {
    /// The manifest of this reference is here.
    Begun(Reference),
    /// `id`: 12 digits of the layer's blob.
    Layer { id: String, state: LayerState },
    /// All of one reference is here; the digest is the registry's.
    Done(Digest),
}

/// What a pull came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pulled {
    /// Every reference means what it meant before.
    UpToDate,
    Newer,
}

impl Engine {
    /// Pulls. `tell` is called from several threads.
    pub fn image_pull(&self, pull: &Pull, tell: &(dyn Fn(PullStep) + Sync)) -> Result<Pulled> {
        let (mut came, mut ids) = (Pulled::UpToDate, Vec::new());
        for reference in self.references(pull)? {
            let (id, pulled) = self.pull_one(&reference, pull, tell)?;
            if pulled == Pulled::Newer {
                came = Pulled::Newer;
            }
            ids.push(id);
        }
        self.tell_transfer("pull", &pull.reference);
        self.keep_budget(&ids);
        Ok(came)
    }

    fn references(&self, pull: &Pull) -> Result<Vec<Reference>> {
        let wanted = &pull.reference;
        if wanted.tag.is_some() || wanted.digest.is_some() {
            return Ok(vec![wanted.clone()]);
        }
        let client = &self.house.exchange.client;
        let repository = client.repository(&wanted.domain, &wanted.path, &pull.credentials, &pull.cancel);
        let tags = repository.tags()?;
        Ok(tags.into_iter().map(|tag| Reference { tag: Some(tag), ..wanted.clone() }).collect())
    }

    fn pull_one(
        &self,
        reference: &Reference,
        pull: &Pull,
        tell: &(dyn Fn(PullStep) + Sync),
    ) -> Result<(Digest, Pulled)> {
        let house = &self.house;
        let wanted = image::pull::Pull {
            reference,
            platform: pull.platform.as_ref(),
            registry: &house.exchange.client,
            credentials: &pull.credentials,
            cancel: &pull.cancel,
            downloads: house.exchange.told().downloads,
        };
        let pulled = house.images.pull(&wanted, &|step| match step {
            Step::Begun => tell(PullStep::Begun(reference.clone())),
            Step::Layer { id, state } => tell(PullStep::Layer { id, state }),
        })?;
        house.images.touch(&pulled.id);
        tell(PullStep::Done(pulled.digest));
        Ok((pulled.id, if pulled.newer { Pulled::Newer } else { Pulled::UpToDate }))
    }
}
