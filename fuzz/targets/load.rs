//! An archive of images: loaded, or refused without leaving anything half-done.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;
use std::path::Path;

/// Archives after which the store starts anew.
const FRESH: u32 = 500;

struct Place {
    store: image::Store,
    folder: tempfile::TempDir,
    left: u32,
}

thread_local! {
    static PLACE: RefCell<Option<Place>> = const { RefCell::new(None) };
}

fn place() -> Place {
    let folder = tempfile::tempdir().expect("a folder");
    let store = image::Store::open(folder.path(), image::HostMask::default()).expect("a store");
    Place { store, folder, left: FRESH }
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).expect("a folder").next().is_none()
}

fn run(place: &mut Place, archive: &[u8]) {
    let _ = place.store.load(&mut &archive[..], &mut |_| {});
    for folder in ["layers/tmp", "content/ingest"] {
        assert!(is_empty(&place.folder.path().join(folder)), "{folder} is not empty");
    }
    place.left -= 1;
}

fn seeds() -> Vec<Vec<u8>> {
    let config = r#"{"architecture":"amd64","os":"linux","created":"2024-05-06T07:08:09Z","config":{"Cmd":["sh"],"Env":["A=1"],"ExposedPorts":{"80/tcp":{}}},"history":[{"created_by":"x"}],"rootfs":{"type":"layers","diff_ids":["sha256:@L@"]}}"#;
    let docker = format!(
        "=L\n%tar\n=c.json\n{config}\n=manifest.json\n[{{\"Config\":\"c.json\",\"RepoTags\":[\"a:1\"],\"Layers\":[\"L\"]}}]"
    );
    let media = "application/vnd.oci.image";
    let manifest = format!(
        r##"{{"schemaVersion":2,"mediaType":"{media}.manifest.v1+json","config":{{"mediaType":"{media}.config.v1+json","digest":"sha256:@C@","size":#C#}},"layers":[{{"mediaType":"{media}.layer.v1.tar","digest":"sha256:@L@","size":#L#}}]}}"##
    );
    let index = format!(
        r##"{{"schemaVersion":2,"manifests":[{{"mediaType":"{media}.manifest.v1+json","digest":"sha256:@M@","size":#M#,"annotations":{{"io.containerd.image.name":"docker.io/library/a:2"}}}}]}}"##
    );
    let blobs = format!("=blobs/sha256/@L@\n%tar\n=blobs/sha256/@C@\n{config}\n=blobs/sha256/@M@\n{manifest}");
    let oci = format!("=L\n%tar\n=C\n{config}\n=M\n{manifest}\n{blobs}\n=index.json\n{index}\n=oci-layout\n{{}}");
    for seed in [&docker, &oci] {
        let loaded = place().store.load(&mut &fuzz::archive(seed)[..], &mut |_| {});
        loaded.unwrap_or_else(|e| panic!("a seed is refused: {}", base::chain(&e)));
    }
    vec![docker.into_bytes(), oci.into_bytes(), b"=manifest.json\nnull".to_vec()]
}

fuzz_target!(init: fuzz::plant(&seeds()), |data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let archive = fuzz::archive(text);
    PLACE.with_borrow_mut(|slot| {
        if slot.as_ref().is_none_or(|place| place.left == 0) {
            *slot = Some(place());
        }
        if let Some(place) = slot.as_mut() {
            run(place, &archive);
        }
    });
});
