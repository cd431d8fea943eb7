//! A root file system as a tar becomes an image of one layer.

use crate::load::Arrived;
use crate::reference::Reference;
use crate::store::{Arrival, check_free, now};
use crate::taking::{Taken, Taking};
use crate::{Error, Import, Store, changes, platform};
use base::Digest;
use oci::image::{Config, History, RootFs};
use std::io::{self, Read};

const CHUNK: usize = 256 * 1024;

impl Store {
    /// Makes an image of one layer from a root file system (plain, gzip or zstd). Returns the image's id.
    pub fn import(&self, tar: &mut dyn Read, import: &Import) -> Result<Digest, Error> {
        let name = import.reference.as_deref().map(name).transpose()?;
        let mut config = Config::default();
        changes::apply(&mut config, &import.changes)?;
        let platform = import.platform.as_deref().map_or_else(|| Ok(platform::machine_platform()), platform::parse)?;

        let mut arrival = self.arrive();
        let taken = self.take(tar, &mut arrival)?;
        let created = now();
        let image = oci::image::Image {
            created: Some(created.clone()),
            architecture: platform.architecture,
            variant: platform.variant.unwrap_or_default(),
            os: platform.os,
            config,
            rootfs: RootFs { kind: "layers".to_owned(), diff_ids: vec![taken.diff_id] },
            history: vec![History { created: Some(created), comment: import.message.clone(), ..History::default() }],
            comment: import.message.clone(),
            ..oci::image::Image::default()
        };
        let bytes =
            serde_json::to_vec(&image).map_err(|e| Error::Archive(format!("cannot write a configuration: {e}")))?;
        let id = crate::load::digest(&bytes);
        let arrived = Arrived::with_own_manifest(bytes, vec![taken.blob], name.into_iter().collect())?;
        self.add(vec![arrived], &mut arrival)?;
        drop(arrival);
        self.stores.sync_in_background();
        Ok(id)
    }

    fn take(&self, tar: &mut dyn Read, arrival: &mut Arrival<'_>) -> Result<Taken, Error> {
        std::thread::scope(|scope| {
            let mut buffer = vec![0; CHUNK];
            let mut size = read_some(tar, &mut buffer)?;
            let mut taking = Taking::start(&self.stores, self.keep, scope, &buffer[..size])?;
            loop {
                let got = match read_some(tar, &mut buffer) {
                    Ok(0) => break,
                    Ok(got) => got,
                    Err(error) => {
                        taking.fail(&io::ErrorKind::UnexpectedEof.into());
                        return Err(error);
                    }
                };
                taking.write(&buffer[..got])?;
                size += got;
            }
            taking.finish().settle(size as u64, arrival)
        })
    }
}

fn name(text: &str) -> Result<Reference, Error> {
    let reference = Reference::parse(text)?;
    if reference.digest.is_some() {
        return Err(Error::Reference("cannot import digest reference".to_owned()));
    }
    let reference = reference.or_latest();
    check_free(&reference)?;
    Ok(reference)
}

/// As much as fits, or all there is.
fn read_some(source: &mut dyn Read, buffer: &mut [u8]) -> Result<usize, Error> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(got) => filled += got,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(Error::Io { action: "read the root file system".to_owned(), source }),
        }
    }
    Ok(filled)
}
