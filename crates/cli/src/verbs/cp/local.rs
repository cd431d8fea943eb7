//! This machine's end of a copy.

use api::client::{Answer, Payload, Uploader};
use archive::{Destination, Packing, Renamed, Replacing, Whiteouts};
use bytes::Bytes;
use rustix::fs::{CWD, FileType, Mode, OFlags};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::paths::{Is, Target, absolute, base, clean, split_entry};
use crate::failure::Failure;

/// Symlinks followed at the most on the way to a destination.
const MOST_LINKS: usize = 10;

/// A place that cannot be written to is told before anything is asked for.
pub(super) fn check_output(path: &str) -> Result<(), Failure> {
    let (folder, _) = split_entry(&clean(path));
    if !Path::new(&folder).exists() {
        return Err(Failure::said(format!("invalid output path: directory \"{folder}\" does not exist")));
    }
    let Ok(data) = std::fs::metadata(path) else { return Ok(()) };
    use std::os::unix::fs::FileTypeExt;
    let kind = data.file_type();
    let what = match (kind.is_char_device() || kind.is_block_device(), kind.is_file() || kind.is_dir()) {
        (true, _) => "got a device",
        (_, false) => "got an irregular file",
        _ => return Ok(()),
    };
    Err(Failure::said(format!("invalid output path: \"{path}\" must be a directory or a regular file: {what}")))
}

/// What is at a destination of this machine; the target of a symlink, which need not be there.
pub(super) fn target(path: &str) -> Result<Target, Failure> {
    let mut path = absolute(path)?;
    for _ in 0..MOST_LINKS {
        let Ok(data) = std::fs::symlink_metadata(&path) else { break };
        if !data.is_symlink() {
            return Ok(Target { path, is: Some(if data.is_dir() { Is::Folder } else { Is::File }) });
        }
        let to = std::fs::read_link(&path)?.display().to_string();
        path = if to.starts_with('/') { to } else { format!("{}/{to}", split_entry(&path).0) };
    }
    let (folder, _) = split_entry(&path);
    match std::fs::metadata(&folder) {
        Ok(data) if data.is_dir() => Ok(Target { path, is: None }),
        Ok(_) => Err(Failure::said("not a directory")),
        Err(_) => Err(Failure::said(format!("stat {folder}: no such file or directory"))),
    }
}

/// Unpacks an answer into a folder; the files become this user's. Bytes that came.
pub(super) async fn extract(
    mut answer: Answer<'_>,
    folder: &str,
    renamed: Option<Renamed<'_>>,
) -> Result<u64, Failure> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = rustix::fs::openat(CWD, folder, flags, Mode::empty()).map_err(io::Error::from)?;
    let (mut pipe, sink) = archive::pipe::pipe();
    let (from, to) = renamed.map(|r| (r.from.to_owned(), r.to.to_owned())).unzip();
    let named = folder.to_owned();
    let thread = std::thread::spawn(move || {
        let renamed = from.as_deref().zip(to.as_deref()).map(|(from, to)| Renamed { from, to });
        unpack(sink, &open, &named, renamed)
    });
    let mut bytes = 0;
    // When the other end is gone its own words tell why.
    let mut fed = Ok(());
    while let (Ok(()), Some(chunk)) = (&fed, answer.chunk().await?) {
        bytes += chunk.len() as u64;
        fed = pipe.write_all(&chunk);
    }
    drop(fed.and_then(|()| pipe.finish()));
    match thread.join() {
        Ok(done) => done.map(|()| bytes).map_err(|e| Failure::said(base::chain(&e))),
        Err(_) => Err(Failure::said("the thread that writes files has failed")),
    }
}

fn unpack(
    source: impl io::Read,
    folder: &OwnedFd,
    named: &str,
    renamed: Option<Renamed<'_>>,
) -> Result<(), archive::Error> {
    let of = Some((rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()));
    // Nothing of a container's leads out of the folder: that is the root of all its links.
    let (root, folder) = (folder.as_fd(), folder.as_fd());
    let replacing = Replacing::SameKind;
    archive::copy_in(source, Destination { root, folder, path: "", named, renamed, owner: 0, of, replacing })
}

/// A file or folder to be sent.
pub(super) struct Source {
    open: OwnedFd,
    pub(super) is: Is,
    /// In the archive.
    pub(super) name: String,
}

/// What is done with a source that is a symlink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Links {
    Kept,
    Followed,
}

/// How much was sent so far.
pub(super) struct Sent(Arc<AtomicU64>);

impl Sent {
    pub(super) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Source {
    pub(super) fn open(path: &str, links: Links) -> Result<Source, Failure> {
        let whole = absolute(path)?;
        let mut flags = OFlags::PATH | OFlags::CLOEXEC;
        flags.set(OFlags::NOFOLLOW, links == Links::Kept);
        let open = rustix::fs::openat(CWD, whole.as_str(), flags, Mode::empty());
        let open = open.map_err(|e| Failure::said(format!("lstat {whole}: {}", words(e))))?;
        let mode = rustix::fs::fstat(&open).map_err(io::Error::from)?.st_mode;
        let is = if FileType::from_raw_mode(mode) == FileType::Directory { Is::Folder } else { Is::File };
        Ok(Source { open, is, name: base(&whole).trim_matches('/').to_owned() })
    }

    /// Its archive, made by a thread while it is sent.
    pub(super) fn packed(self, name: String) -> (Payload, Sent) {
        let (uploader, payload) = Payload::stream(None);
        let sent = Arc::new(AtomicU64::new(0));
        let mut feeder = Feeder { uploader, sent: sent.clone() };
        std::thread::spawn(move || {
            let packing = Packing { whiteouts: Whiteouts::None, ..Packing::default() };
            if let Err(e) = archive::copy_out(self.open.as_fd(), name.as_bytes(), &[], packing, &mut feeder) {
                feeder.uploader.feed(Err(e));
            }
        });
        (payload, Sent(sent))
    }
}

struct Feeder {
    uploader: Uploader,
    sent: Arc<AtomicU64>,
}

impl Write for Feeder {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.uploader.feed(Ok(Bytes::copy_from_slice(bytes))) {
            true => {
                self.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                Ok(bytes.len())
            }
            false => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn words(errno: rustix::io::Errno) -> String {
    match errno {
        rustix::io::Errno::NOENT => "no such file or directory".to_owned(),
        rustix::io::Errno::NOTDIR => "not a directory".to_owned(),
        rustix::io::Errno::ACCESS => "permission denied".to_owned(),
        other => io::Error::from(other).to_string(),
    }
}
