//! Images put together of layers that were made here, and layers that stay without an image. Needs root.

mod yard;

use base::Digest;
use image::{Assembled, Reference};
use oci::image::{Image, RootFs};
use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsRawFd;
use yard::Yard;

/// A layer with one file.
fn layer(yard: &Yard, name: &str) -> layer::Adopted {
    let work = yard.store.layers().begin(&[]).unwrap();
    fs::write(format!("/proc/self/fd/{}/{name}", work.root().as_raw_fd()), name).unwrap();
    yard.store.layers().finish(work).unwrap().unwrap()
}

fn config(layers: &[Digest]) -> Image {
    Image {
        architecture: "amd64".into(),
        os: "linux".into(),
        rootfs: RootFs { kind: "layers".into(), diff_ids: layers.to_vec() },
        ..Image::default()
    }
}

#[test]
fn layers_become_an_image_that_outlives_the_store() {
    let yard = Yard::new();
    let hold = yard.store.hold();
    let made = layer(&yard, "a");
    let config = config(&[made.diff_id]);
    let tars = BTreeMap::from([(made.diff_id, made.tar)]);
    let names = [Reference::parse("built:1").unwrap(), Reference::parse("other").unwrap()];
    let assembled = Assembled { config: &config, tars: &tars, names: &names, parent: None };
    let id = yard.store.assemble(&assembled).unwrap();
    drop(hold);
    assert_eq!(id, image::Store::id_of(&config).unwrap());
    let yard = yard.reopen();
    let image = yard.store.get("built:1").unwrap();
    assert_eq!((image.id, image.size), (id, 1));
    assert_eq!(yard.store.get("other:latest").unwrap().id, id);
    // The bytes of the layer are made when somebody asks for them.
    let archive = yard.save(&["built:1"]).unwrap();
    let other = Yard::new();
    other.load(&archive).unwrap();
    assert_eq!(other.store.get("built:1").unwrap().id, id);
}

#[test]
fn a_layer_without_an_image_stays_while_it_is_pinned() {
    let yard = Yard::new();
    let hold = yard.store.hold();
    let (kept, lost) = (layer(&yard, "kept").diff_id, layer(&yard, "lost").diff_id);
    yard.store.pin(&kept).unwrap();
    drop(hold);
    let yard = yard.reopen();
    assert!(yard.store.layers().has(&kept) && !yard.store.layers().has(&lost));
    yard.store.unpin([kept]);
    assert!(!yard.store.layers().has(&kept));
}
