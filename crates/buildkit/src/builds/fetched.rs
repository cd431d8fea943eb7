//! Files at an address.

use build::context::{self, Folder, Unpacked};
use build::{Builder, Error, Result};
use registry::Cancel;
use std::fs::OpenOptions;
use std::io::Read;

/// Bytes of one file at an address that is looked into as it is.
const MOST: u64 = 1 << 30;

/// A folder with one file, which is at an address.
pub(super) fn file(builder: &Builder, address: &str, name: &str, cancel: &Cancel) -> Result<Folder> {
    let failed = |source| Error::Io { action: format!("keep {address}"), source };
    let unpacked = Unpacked::make(&builder.contexts())?;
    let body = builder.engine().fetch(address, cancel)?;
    let place = unpacked.path().join(name);
    let mut file = OpenOptions::new().write(true).create_new(true).open(place).map_err(failed)?;
    let count = std::io::copy(&mut body.take(MOST + 1), &mut file).map_err(failed)?;
    if count > MOST {
        return Err(Error::Invalid(format!("{address} is larger than {MOST} bytes")));
    }
    unpacked.into_folder()
}

/// What is in an archive at an address.
pub(super) fn archive(builder: &Builder, address: &str, cancel: &Cancel) -> Result<Folder> {
    let body = builder.engine().fetch(address, cancel)?;
    context::unpack(body, &builder.contexts())?.into_folder()
}
