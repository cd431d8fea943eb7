//! A result's files: into a folder of the client's, or as one tar.

use super::Export;
use super::options::Options;
use crate::attest;
use crate::context::{Folder, Unpacked};
use crate::output::{Exported, Part};
use crate::{Error, Result};
use archive::{Packing, Times, Whiteouts};
use base::Digest;
use oci::image::Platform;
use registry::Cancel;
use std::collections::BTreeMap;
use std::ffi::CStr;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

pub(super) fn local(export: &Export<'_>, options: &Options) -> Result<Exported> {
    let parts = parts(export, options)?;
    export.begun("copying files");
    export.sink.files(&parts)?;
    export.ended("copying files");
    Ok(Exported::default())
}

pub(super) fn tar(export: &Export<'_>, options: &Options) -> Result<Exported> {
    let parts = parts(export, options)?;
    let trees: Vec<_> = parts.iter().map(|part| (part.below.as_deref(), part.folder.root())).collect();
    let times = parts.first().and_then(|part| part.times).map_or(Times::AsTheyAre, Times::All);
    let packing = Packing { whiteouts: Whiteouts::None, times, ..Packing::default() };
    let mut sink = export.sink.archive()?;
    export.begun("sending tarball");
    archive::pack_together(&trees, packing, &mut sink).map_err(Error::io("send the files"))?;
    sink.finish()?;
    export.ended("sending tarball");
    Ok(Exported::default())
}

/// Results in folders of their platforms where there are several, and what is said of them beside each.
fn parts(export: &Export<'_>, options: &Options) -> Result<Vec<Part>> {
    let results = export.solved.results();
    let split = options.platform_split.unwrap_or(results.len() > 1);
    let times = options.epoch.or(export.solved.epoch);
    let attested = attest::wanted(export.solved, attest::Which::Explicit)?;
    let mut parts = Vec::new();
    for (number, product) in results.iter().enumerate() {
        let name = folder_name(&product.platform);
        let below = Some(name.clone()).filter(|_| split);
        parts.push(Part { below: below.clone(), folder: export.solved.folder(number)?, times });
        if attested.is_empty() {
            continue;
        }
        let subjects = subjects(&export.solved.folder(number)?, export.cancel)?;
        let statements = attest::statements(export, &attested, (number, &[]), &subjects)?;
        let between = if results.len() > 1 && !split { format!(".{name}") } else { String::new() };
        let said = Unpacked::make(&export.solved.house.contexts())?;
        for statement in statements {
            let (stem, extension) = statement.file.rsplit_once('.').unwrap_or((statement.file, "json"));
            let file = format!("{}{stem}{between}.{extension}", options.attestation_prefix);
            write(&said, &file, &statement.body)?;
        }
        parts.push(Part { below, folder: said.into_folder()?, times });
    }
    Ok(parts)
}

/// `linux_arm_v7`
fn folder_name(platform: &Platform) -> String {
    let variant = platform.variant.iter().filter(|variant| !variant.is_empty());
    let parts: Vec<&str> =
        [platform.os.as_str(), platform.architecture.as_str()].into_iter().chain(variant.map(String::as_str)).collect();
    parts.join("_")
}

fn write(folder: &Unpacked, name: &str, body: &serde_json::Value) -> Result<()> {
    if name.contains('/') {
        return Err(Error::Invalid(format!("attestation-prefix: {name:?} is no name of a file")));
    }
    let text = serde_json::to_vec_pretty(body).map_err(|e| Error::Invalid(format!("cannot write a statement: {e}")))?;
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(folder.path().join(name));
    file.and_then(|mut file| file.write_all(&text)).map_err(Error::io("keep a statement"))
}

/// Every file of a result with the digest of what is in it.
fn subjects(folder: &Folder, cancel: &Cancel) -> Result<BTreeMap<String, Digest>> {
    let failed = || Error::io("read the files of the result");
    let mut found = BTreeMap::new();
    let mut walk = archive::pack::Walk::new(folder.root()).map_err(failed())?;
    while let Some(step) = walk.next_step().map_err(failed())? {
        if cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let look = archive::pack::Look::of(step.folder.as_fd(), &step.name).map_err(failed())?;
        match look.kind {
            rustix::fs::FileType::Directory => {
                let inner = archive::pack::open_folder(step.folder.as_fd(), &step.name).map_err(failed())?;
                walk.enter(&step.path, inner).map_err(failed())?;
            }
            rustix::fs::FileType::RegularFile => {
                let path = String::from_utf8_lossy(&step.path).into_owned();
                let digest = digest_of(step.folder.as_fd(), &step.name).map_err(Error::io(format!("read {path}")))?;
                found.insert(path, digest);
            }
            _ => {}
        }
    }
    Ok(found)
}

fn digest_of(folder: BorrowedFd<'_>, name: &CStr) -> std::io::Result<Digest> {
    use rustix::fs::{Mode, OFlags};
    use sha2::Digest as _;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut file = std::fs::File::from(rustix::fs::openat(folder, name, flags, Mode::empty())?);
    let mut sum = sha2::Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(Digest::from_bytes(sum.finalize().into())),
            Ok(got) => sum.update(&buffer[..got]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
