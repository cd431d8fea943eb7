//! The built-in image: this machine's own root, read-only, without the engine's own files.

use crate::platform::machine_platform;
use crate::{HOST, Image};
use base::Digest;
use layer::Lower;
use oci::image::{Config, RootFs};
use sha2::Digest as _;
use std::path::Path;

const SEARCH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The image `host`. Its id stands for no file: it is the same on every start of this machine and after every update.
pub fn image() -> Image {
    let platform = machine_platform();
    let shell = if Path::new("/bin/bash").exists() { "/bin/bash" } else { "/bin/sh" };
    let config = oci::image::Image {
        architecture: platform.architecture,
        os: platform.os,
        variant: platform.variant.unwrap_or_default(),
        config: Config {
            env: vec![SEARCH.to_owned()],
            cmd: Some(vec![shell.to_owned()]),
            working_dir: "/".to_owned(),
            ..Config::default()
        },
        rootfs: RootFs { kind: "layers".to_owned(), diff_ids: Vec::new() },
        comment: "the root file system of this machine".to_owned(),
        ..oci::image::Image::default()
    };
    let text = format!("dhow host image for {}/{}", config.os, config.architecture);
    let id = Digest::from_bytes(sha2::Sha256::digest(text).into());
    Image {
        id,
        manifest: id,
        tags: vec![format!("{HOST}:latest")],
        digests: Vec::new(),
        config,
        lowers: vec![Lower::HostMask, Lower::Folder("/".into())],
        size: 0,
        parent: None,
        tagged_at: String::new(),
    }
}

/// The full name that nothing else can have.
pub const FULL_NAME: &str = "docker.io/library/host:latest";
