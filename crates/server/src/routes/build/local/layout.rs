//! An image in an OCI layout on this machine, brought into the store for a build (`oci-layout://PATH[:TAG][@DIGEST]`).

use crate::status::Refusal;
use archive::{Packing, Whiteouts};
use build::Builder;
use build::context::{Folder, Unpacked};
use serde_json::{Value, json};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

const NAME: &str = "org.opencontainers.image.ref.name";

/// The id of the image.
pub fn loaded(builder: &Builder, text: &str) -> Result<String, Refusal> {
    let (named, digest) = text.split_once('@').map_or((text, None), |(named, digest)| (named, Some(digest)));
    let (path, tag) = match named.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (Path::new(path), Some(tag)),
        _ => (Path::new(named), None),
    };
    let broken = |error: io::Error| Refusal::invalid(format!("cannot read the layout {}: {error}", path.display()));
    let index = Folder::open(path)?.read("index.json")?;
    let index = index.ok_or_else(|| broken(io::ErrorKind::NotFound.into()))?;
    let index: Value = serde_json::from_slice(&index).map_err(|error| broken(error.into()))?;
    let entry = chosen(&index, tag, digest).ok_or_else(|| {
        let wanted = digest.or(tag).map(|wanted| format!(" {wanted}")).unwrap_or_default();
        Refusal::not_found(format!("the layout {} has no image{wanted}", path.display()))
    })?;
    // The same blobs, and no more than this one in the index: it gets no name.
    let head = Unpacked::make(&builder.contexts())?;
    let alone =
        json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [entry] });
    std::fs::write(head.path().join("index.json"), alone.to_string()).map_err(broken)?;
    std::fs::write(head.path().join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#).map_err(broken)?;
    let head = File::open(head.path()).map_err(broken)?;
    let blobs = File::open(path.join("blobs")).map_err(broken)?;
    let (mut source, mut sink) = archive::pipe::pipe();
    std::thread::scope(|scope| {
        let packer = scope.spawn(move || {
            let trees = [(None, head.as_fd()), (Some("blobs"), blobs.as_fd())];
            let packing = Packing { whiteouts: Whiteouts::None, ..Packing::default() };
            match archive::pack_together(&trees, packing, &mut source) {
                Ok(()) => drop(source.finish()),
                Err(error) => source.fail(error),
            }
        });
        let mut id = None;
        let loading = builder.engine().image_load(&mut sink, None, &mut |step| match step {
            image::Progress::Loaded { tag } => id = Some(tag),
            image::Progress::LoadedUntagged { id: own } => id = Some(own.to_string()),
            image::Progress::Layer { .. } | image::Progress::LayerDone { .. } => {}
        });
        drop(sink);
        let _ = packer.join();
        loading?;
        id.ok_or_else(|| Refusal::internal("the layout was loaded, and has no image"))
    })
}

/// The entry of an index that is meant, without its name.
fn chosen(index: &Value, tag: Option<&str>, digest: Option<&str>) -> Option<Value> {
    let all = index["manifests"].as_array()?;
    let tagged = |wanted: &str| all.iter().find(|entry| entry["annotations"][NAME] == wanted);
    let found = match (digest, tag) {
        (Some(digest), _) => all.iter().find(|entry| entry["digest"] == digest),
        (None, Some(tag)) => tagged(tag),
        (None, None) => tagged("latest").or_else(|| all.first().filter(|_| all.len() == 1)),
    };
    let mut entry = found?.clone();
    entry.as_object_mut()?.remove("annotations");
    Some(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_named_by_tag_by_digest_or_is_the_only_one() {
        let entry = |digest: &str, tag: &str| json!({ "digest": digest, "annotations": { NAME: tag } });
        let two = json!({ "manifests": [entry("sha256:a", "1"), entry("sha256:b", "latest")] });
        let of = |index: &Value, tag, digest| chosen(index, tag, digest).map(|entry| entry["digest"].clone());
        assert_eq!(of(&two, Some("1"), None), Some("sha256:a".into()));
        assert_eq!(of(&two, Some("1"), Some("sha256:b")), Some("sha256:b".into()));
        assert_eq!(of(&two, None, None), Some("sha256:b".into()));
        assert_eq!(of(&two, Some("2"), None), None);
        assert_eq!(of(&json!({ "manifests": [entry("sha256:c", "x")] }), None, None), Some("sha256:c".into()));
    }
}
