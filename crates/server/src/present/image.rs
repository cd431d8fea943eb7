//! Images: inspect, rows and history.

use crate::times;
use crate::version::ApiVersion;
use api::types::{
    GraphDriver, HistoryItem, ImageConfig, ImageInspect, ImageManifest, ImageMetadata, ImageRootFs, ImageSummary,
    ManifestAttestation, ManifestImage, ManifestSize, ManifestUnpacked, Texts,
};
use engine::Snapshot;
use image::{Available, Image, Kind, PartView};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// From these versions on: a virtual size is not told; what has no name has no `<none>:<none>`, either.
const WITHOUT_VIRTUAL_SIZE: u32 = 44;
const WITHOUT_NONE: u32 = 43;

/// `GET /images/{name}/json`; `folders` are those of its layers, lowest first.
pub fn inspect(image: &Image, folders: &[PathBuf], version: ApiVersion) -> ImageInspect {
    let stored = &image.config;
    ImageInspect {
        id: image.id.to_string(),
        repo_tags: image.tags.clone(),
        repo_digests: image.digests.clone(),
        comment: stored.comment.clone(),
        created: stored.created.clone().unwrap_or_else(|| {
            // Older clients read a time, whatever it is.
            if version.has(WITHOUT_VIRTUAL_SIZE) { String::new() } else { times::nano(0) }
        }),
        docker_version: stored.docker_version.clone(),
        author: stored.author.clone(),
        config: config(&stored.config),
        architecture: stored.architecture.clone(),
        variant: stored.variant.clone(),
        os: stored.os.clone(),
        size: image.size,
        virtual_size: (!version.has(WITHOUT_VIRTUAL_SIZE)).then_some(image.size),
        graph_driver: GraphDriver { data: places(folders), name: "overlay2".to_owned() },
        root_fs: ImageRootFs {
            kind: "layers".to_owned(),
            layers: stored.rootfs.diff_ids.iter().map(ToString::to_string).collect(),
        },
        parent: image.parent.map(|parent| parent.to_string()).unwrap_or_default(),
        metadata: ImageMetadata { last_tag_time: tagged(image) },
        descriptor: None,
        manifests: None,
    }
}

/// One manifest of an image; `containers` are all that there are.
pub fn manifest(part: &PartView, containers: &[Snapshot]) -> ImageManifest {
    let mut shown = ImageManifest {
        id: part.descriptor.digest.to_string(),
        descriptor: Some(json!(part.descriptor)),
        available: part.available == Available::Yes,
        size: ManifestSize { content: part.content, total: part.content },
        kind: "unknown".to_owned(),
        image_data: None,
        attestation_data: None,
    };
    match &part.kind {
        Kind::Image { id, platform, unpacked } => {
            let of_it = containers.iter().filter(|snapshot| Some(snapshot.container.image_id) == *id);
            "image".clone_into(&mut shown.kind);
            shown.size.total += unpacked;
            shown.image_data = Some(ManifestImage {
                platform: json!(platform),
                size: ManifestUnpacked { unpacked: *unpacked },
                containers: of_it.map(|snapshot| snapshot.container.id.to_string()).collect(),
            });
        }
        Kind::Attestation(about) => {
            "attestation".clone_into(&mut shown.kind);
            shown.attestation_data = Some(ManifestAttestation { about: about.to_string() });
        }
        Kind::Unknown => {}
    }
    shown
}

/// The topmost layer's folder, and those below it, as overlayfs names them.
fn places(folders: &[PathBuf]) -> Option<Texts> {
    let (top, below) = folders.split_last()?;
    let mut data = Texts::from([("UpperDir".to_owned(), top.display().to_string())]);
    if !below.is_empty() {
        let below: Vec<String> = below.iter().rev().map(|folder| folder.display().to_string()).collect();
        data.insert("LowerDir".to_owned(), below.join(":"));
    }
    Some(data)
}

fn tagged(image: &Image) -> String {
    if image.tagged_at.is_empty() { times::nano(0) } else { image.tagged_at.clone() }
}

fn config(stored: &oci::image::Config) -> ImageConfig {
    let keys = |map: &BTreeMap<String, oci::image::Empty>| {
        let keys: BTreeMap<_, _> = map.keys().map(|key| (key.clone(), json!({}))).collect();
        Some(keys).filter(|k| !k.is_empty())
    };
    ImageConfig {
        user: stored.user.clone(),
        exposed_ports: keys(&stored.exposed_ports),
        env: Some(stored.env.clone()).filter(|env| !env.is_empty()),
        cmd: stored.cmd.clone(),
        healthcheck: stored.healthcheck.clone(),
        volumes: keys(&stored.volumes),
        working_dir: stored.working_dir.clone(),
        entrypoint: stored.entrypoint.clone(),
        on_build: stored.on_build.clone(),
        labels: Some(stored.labels.clone()).filter(|labels| !labels.is_empty()),
        stop_signal: stored.stop_signal.clone(),
        args_escaped: stored.args_escaped,
        shell: stored.shell.clone(),
        ..ImageConfig::default()
    }
}

/// One row of `GET /images/json`.
pub fn summary(image: &Image, version: ApiVersion) -> ImageSummary {
    let labels = &image.config.config.labels;
    let nameless = !version.has(WITHOUT_NONE) && image.tags.is_empty() && image.digests.is_empty();
    let or_none = |names: &[String], none: &str| if nameless { vec![none.to_owned()] } else { names.to_vec() };
    ImageSummary {
        containers: -1,
        created: created(image),
        id: image.id.to_string(),
        labels: Some(labels.clone()).filter(|l| !l.is_empty()),
        parent_id: image.parent.map(|parent| parent.to_string()).unwrap_or_default(),
        repo_digests: or_none(&image.digests, "<none>@<none>"),
        repo_tags: or_none(&image.tags, "<none>:<none>"),
        shared_size: -1,
        size: image.size,
        virtual_size: (!version.has(WITHOUT_VIRTUAL_SIZE)).then_some(image.size),
        descriptor: None,
        manifests: None,
    }
}

/// Seconds since the epoch. One that is not told is Go's zero time, which clients show as such.
pub fn created(image: &Image) -> i64 {
    image.config.created.as_deref().map_or(GO_ZERO, times::seconds)
}

/// 0001-01-01T00:00:00Z in seconds since the epoch.
const GO_ZERO: i64 = -62_135_596_800;

/// `GET /images/{name}/history`, the newest first. `sizes` are those of its layers, lowest first.
pub fn history(image: &Image, sizes: &[u64]) -> Vec<HistoryItem> {
    let mut sizes = sizes.iter().copied();
    let with_size = |line: &oci::image::History| {
        let size = if line.empty_layer { 0 } else { sizes.next().unwrap_or(0) };
        HistoryItem { size, ..item(line) }
    };
    let mut items: Vec<HistoryItem> = image.config.history.iter().map(with_size).collect();
    items.reverse();
    if let Some(newest) = items.first_mut() {
        newest.id = image.id.to_string();
        newest.tags = Some(image.tags.clone()).filter(|tags| !tags.is_empty());
    }
    items
}

fn item(line: &oci::image::History) -> HistoryItem {
    HistoryItem {
        comment: line.comment.clone(),
        created: line.created.as_deref().map_or(GO_ZERO, times::seconds),
        created_by: line.created_by.clone(),
        id: "<missing>".to_owned(),
        size: 0,
        tags: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci::image::History;

    fn image() -> Image {
        let digest: base::Digest = format!("sha256:{}", "8".repeat(64)).parse().expect("a digest");
        let line = |by: &str, empty_layer| History { created_by: by.into(), empty_layer, ..History::default() };
        let history = vec![line("a", false), line("b", true), line("c", false)];
        Image {
            id: digest,
            manifest: digest,
            tags: Vec::new(),
            digests: Vec::new(),
            config: oci::image::Image { history, ..oci::image::Image::default() },
            lowers: Vec::new(),
            size: 12,
            parent: None,
            tagged_at: String::new(),
        }
    }

    #[test]
    fn each_line_of_history_has_its_layers_size() {
        let items = history(&image(), &[7, 5]);
        let shown: Vec<_> = items.iter().map(|item| (item.created_by.as_str(), item.size, item.id.len())).collect();
        assert_eq!(shown, [("c", 5, 71), ("b", 0, "<missing>".len()), ("a", 7, "<missing>".len())]);
    }

    #[test]
    fn fields_follow_the_version_of_the_client() {
        let (old, new) = (ApiVersion(1, 41), ApiVersion(1, 51));
        assert_eq!(summary(&image(), old).repo_tags, ["<none>:<none>"]);
        assert_eq!(summary(&image(), new).repo_tags, [] as [&str; 0]);
        assert_eq!((summary(&image(), old).virtual_size, summary(&image(), new).virtual_size), (Some(12), None));
        assert_eq!(inspect(&image(), &[], old).created, "0001-01-01T00:00:00Z");
        assert_eq!(inspect(&image(), &[], new).created, "");
    }

    #[test]
    fn folders_of_layers_are_told_as_overlayfs_has_them() {
        let data = places(&["/l/0".into(), "/l/1".into(), "/l/2".into()]).expect("places");
        assert_eq!((data["UpperDir"].as_str(), data["LowerDir"].as_str()), ("/l/2", "/l/1:/l/0"));
        assert_eq!(places(&[]), None);
    }
}
