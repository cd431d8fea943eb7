//! Full files of a log as gzip, and the way back.
//!
//! A compressed file says in its header which file it was (device, inode, birth): a reader that stands at the end of that file
//! finds its place among the others. Birth is needed because an inode is used again once its file is deleted.

use crate::Target;
use crate::files::{gone_is_fine, order};
use crate::read::FileId;
use flate2::bufread::GzDecoder;
use flate2::{Compression, GzBuilder};
use rustix::fs::{MemfdFlags, Mode, OFlags};
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Seek, Write};
use std::path::Path;

/// Bytes read and written at once.
const BLOCK: usize = 64 * 1024;

/// Compresses the rotated files of a log that are not yet. Readers are not disturbed; a pump may rotate meanwhile. Only one
/// at a time for each log.
pub fn compress(target: &Target) -> io::Result<()> {
    for index in 1..target.max_file {
        if target.compress && target.rotated(index).exists() {
            compress_one(target, index)?;
        }
    }
    Ok(())
}

fn compress_one(target: &Target, index: u32) -> io::Result<()> {
    let plain = File::open(target.rotated(index))?;
    let id = FileId::of(&plain)?;
    let unfinished = target.unfinished();
    let done = write(&plain, &id, &unfinished).and_then(|()| exchange(target, &id, &unfinished));
    gone_is_fine(fs::remove_file(&unfinished))?;
    done
}

fn write(plain: &File, id: &FileId, path: &Path) -> io::Result<()> {
    let modified = plain.metadata()?.modified()?;
    let file = File::options().write(true).create(true).truncate(true).open(path)?;
    rustix::fs::fchmod(&file, Mode::from_raw_mode(0o640))?;
    let mut out =
        GzBuilder::new().comment(id.to_string()).write(BufWriter::with_capacity(BLOCK, file), Compression::default());
    io::copy(&mut BufReader::with_capacity(BLOCK, plain), &mut out)?;
    let file = out.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.set_modified(modified)?;
    // The plain file is deleted next: a power cut must not find neither.
    file.sync_data()
}

/// Puts the compressed file in the place the plain one has by now; it may have been dropped meanwhile.
fn exchange(target: &Target, id: &FileId, finished: &Path) -> io::Result<()> {
    let _order = order();
    for index in 1..target.max_file {
        let plain = target.rotated(index);
        if FileId::at(&plain)?.as_ref() == Some(id) {
            fs::rename(finished, target.compressed(index))?;
            return fs::remove_file(plain);
        }
    }
    Ok(())
}

/// Which file a compressed one was; `None` when it does not say.
pub fn id_of(file: &File) -> Option<FileId> {
    let decoder = GzDecoder::new(BufReader::with_capacity(512, file));
    let comment = decoder.header()?.comment()?;
    std::str::from_utf8(comment).ok()?.parse().ok()
}

/// The content of a compressed file, in a file without a name. What is broken ends it early.
pub fn content(mut small: &File, folder: &Path) -> io::Result<File> {
    let file = nameless(folder)?;
    // Its header may have been read already.
    small.rewind()?;
    let mut out = BufWriter::with_capacity(BLOCK, &file);
    let mut text = GzDecoder::new(BufReader::with_capacity(BLOCK, small));
    if let Err(error) = io::copy(&mut text, &mut out)
        && !matches!(
            error.kind(),
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof
        )
    {
        return Err(error);
    }
    out.flush()?;
    drop(out);
    Ok(file)
}

fn nameless(folder: &Path) -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    match rustix::fs::open(folder, flags, Mode::RUSR | Mode::WUSR) {
        Ok(file) => Ok(file.into()),
        // Not every file system has such files.
        Err(_) => Ok(rustix::fs::memfd_create("log", MemfdFlags::CLOEXEC)?.into()),
    }
}
