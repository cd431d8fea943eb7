//! A result into a registry, under one name.

use super::Export;
use super::compose::Composed;
use super::options::{Options, Push};
use crate::Result;
use crate::progress::Event;
use base::Digest;
use engine::Trust;
use image::Reference;
use image::outbound::{Named, Outbound, Sent};
use image::push::Step;

pub(super) fn push(
    export: &Export<'_>,
    outbound: &Outbound<'_>,
    options: &Options,
    (composed, image, name): (&Composed, Option<Digest>, &Reference),
) -> Result<()> {
    let engine = &export.solved.house.engine;
    let reference = name.clone().or_latest();
    let trust = if options.insecure { Trust::Any } else { Trust::AsConfigured };
    let (client, uploads) = engine.registry_client(&reference, trust);
    let credentials = export.keys.of(&reference);
    let wanted = image::push::Push {
        reference: &reference,
        registry: &client,
        credentials: &credentials,
        cancel: export.cancel,
        platform: None,
        uploads,
    };
    let sent = Sent {
        layers: composed.images.iter().flat_map(|image| &image.layers).collect(),
        blobs: composed.blobs.clone(),
        manifests: composed.manifests(),
        documents: &composed.documents,
        id: image.unwrap_or(composed.root()?.digest),
        by: if options.push == Push::ByDigest { Named::ByDigest } else { Named::ByTag },
    };
    let task = format!("pushing manifest for {}@{}", name, composed.root()?.digest);
    export.begun("pushing layers");
    let tell = |Step::Layer { id, state }: Step| export.watch.tell(Event::Pushing { id, state });
    outbound.push(&wanted, &sent, &tell)?;
    export.ended("pushing layers");
    export.done(&task);
    match image {
        Some(image) => Ok(outbound.pushed(&wanted, &image, composed.root()?.digest)?),
        None => Ok(()),
    }
}
