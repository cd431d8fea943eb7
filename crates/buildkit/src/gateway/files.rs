//! Files of results and sources, for clients that look into them. No path leads out of what was made.

use crate::{Error, Result};
use bollard_buildkit_proto::fsutil::types::Stat;
use bollard_buildkit_proto::moby::buildkit::v1::frontend::{
    ReadDirRequest, ReadDirResponse, ReadFileRequest, ReadFileResponse, StatFileRequest, StatFileResponse,
};
use build::context::Folder;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, ResolveFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Bytes of a file that are read at once: what one message carries.
const MOST: u64 = 16 << 20;
/// Names of one folder.
const MOST_NAMES: usize = 100_000;

fn open(folder: &Folder, path: &str, flags: OFlags) -> Result<OwnedFd> {
    let path = path.trim_start_matches('/');
    let path = if path.is_empty() { "." } else { path };
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let opened = rustix::fs::openat2(folder.root(), path, flags | OFlags::CLOEXEC, Mode::empty(), inside);
    opened.map_err(|errno| match errno {
        Errno::NOENT | Errno::NOTDIR => Error::NotFound(format!("lstat /{path}: no such file or directory")),
        errno => Error::io(format!("open /{path}"))(errno.into()),
    })
}

/// A file, or a part of it.
pub(super) fn read(folder: &Folder, asked: &ReadFileRequest) -> Result<ReadFileResponse> {
    let mut file = File::from(open(folder, &asked.file_path, OFlags::RDONLY | OFlags::NONBLOCK)?);
    let failed = || Error::io(format!("read {}", asked.file_path));
    let metadata = file.metadata().map_err(failed())?;
    if !metadata.is_file() {
        return Err(Error::Invalid(format!("read {}: not a regular file", asked.file_path)));
    }
    let range = asked.range.unwrap_or_default();
    let (Ok(offset), Ok(length)) = (u64::try_from(range.offset), u64::try_from(range.length)) else {
        return Err(Error::Invalid("a range of a file cannot be negative".to_owned()));
    };
    let rest = metadata.len().saturating_sub(offset);
    let wanted = if length == 0 { rest } else { length.min(rest) };
    if wanted > MOST {
        return Err(Error::Invalid(format!("{} is larger than {MOST} bytes: read a part of it", asked.file_path)));
    }
    file.seek(SeekFrom::Start(offset)).map_err(failed())?;
    let mut data = Vec::new();
    file.take(wanted).read_to_end(&mut data).map_err(failed())?;
    Ok(ReadFileResponse { data })
}

pub(super) fn stat(folder: &Folder, asked: &StatFileRequest) -> Result<StatFileResponse> {
    let (parent, name) = split(&asked.path);
    if name.is_empty() || name == "." || name == ".." {
        let own = open(folder, &asked.path, OFlags::PATH)?;
        return Ok(StatFileResponse { stat: Some(of(own.as_fd(), "", &asked.path)?) });
    }
    let parent = open(folder, parent, OFlags::PATH | OFlags::DIRECTORY)?;
    Ok(StatFileResponse { stat: Some(of(parent.as_fd(), name, name)?) })
}

fn split(path: &str) -> (&str, &str) {
    path.trim_end_matches('/').rsplit_once('/').unwrap_or(("", path.trim_end_matches('/')))
}

/// The names of a folder that fit a pattern, in their order.
pub(super) fn list(folder: &Folder, asked: &ReadDirRequest) -> Result<ReadDirResponse> {
    let opened = open(folder, &asked.dir_path, OFlags::RDONLY | OFlags::DIRECTORY)?;
    let mut names = Vec::new();
    let mut buffer = [MaybeUninit::uninit(); 32 << 10];
    let mut entries = RawDir::new(&opened, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry.map_err(|errno| Error::io(format!("list {}", asked.dir_path))(errno.into()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != "." && name != ".." && fits(&asked.include_pattern, &name) {
            names.push(name);
        }
        if names.len() > MOST_NAMES {
            return Err(Error::Invalid(format!("{} has more than {MOST_NAMES} names", asked.dir_path)));
        }
    }
    names.sort();
    let entries = names.iter().map(|name| of(opened.as_fd(), name, name)).collect::<Result<Vec<Stat>>>()?;
    Ok(ReadDirResponse { entries })
}

/// `*`, `?` and plain letters, as far as a name goes.
fn fits(pattern: &str, name: &str) -> bool {
    if pattern.is_empty() {
        return true;
    }
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut place, mut star) = (0, 0, None);
    while place < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, place));
                at += 1;
            }
            Some(letter) if *letter == '?' || *letter == name[place] => {
                at += 1;
                place += 1;
            }
            _ => match star {
                Some((back, from)) => {
                    star = Some((back, from + 1));
                    (at, place) = (back + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|letter| *letter == '*')
}

fn of(parent: BorrowedFd<'_>, name: &str, shown: &str) -> Result<Stat> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH;
    let found = rustix::fs::statat(parent, name, flags).map_err(|errno| match errno {
        Errno::NOENT => Error::NotFound(format!("lstat {shown}: no such file or directory")),
        errno => Error::io(format!("look at {shown}"))(errno.into()),
    })?;
    let kind = FileType::from_raw_mode(found.st_mode);
    let linkname = match kind {
        FileType::Symlink => rustix::fs::readlinkat(parent, name, Vec::new())
            .map(|target| target.to_string_lossy().into_owned())
            .unwrap_or_default(),
        _ => String::new(),
    };
    Ok(Stat {
        path: shown.to_owned(),
        mode: crate::session::wire::mode(kind, found.st_mode & 0o7777),
        uid: found.st_uid,
        gid: found.st_gid,
        size: found.st_size,
        mod_time: found
            .st_mtime
            .saturating_mul(1_000_000_000)
            .saturating_add(i64::try_from(found.st_mtime_nsec).unwrap_or_default()),
        linkname,
        ..Stat::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard_buildkit_proto::moby::buildkit::v1::frontend::FileRange;

    fn folder() -> (tempfile::TempDir, Folder) {
        let place = tempfile::tempdir().expect("a folder");
        std::fs::write(place.path().join("a.txt"), b"0123456789").expect("written");
        std::fs::create_dir(place.path().join("d")).expect("made");
        std::os::unix::fs::symlink("/etc/passwd", place.path().join("out")).expect("linked");
        std::os::unix::fs::symlink("../../../..", place.path().join("up")).expect("linked");
        let folder = Folder::open(place.path()).expect("opened");
        (place, folder)
    }

    fn part(path: &str, offset: i64, length: i64) -> ReadFileRequest {
        let range = Some(FileRange { offset, length });
        ReadFileRequest { file_path: path.to_owned(), range, ..ReadFileRequest::default() }
    }

    #[test]
    fn a_part_of_a_file_is_read() {
        let (_place, folder) = folder();
        assert_eq!(read(&folder, &part("/a.txt", 2, 3)).expect("read").data, b"234");
        assert_eq!(read(&folder, &part("a.txt", 8, 100)).expect("read").data, b"89");
        assert_eq!(read(&folder, &part("a.txt", 100, 0)).expect("read").data, b"");
    }

    #[test]
    fn strange_ranges_and_paths_are_refused() {
        let (_place, folder) = folder();
        for (offset, length) in [(-1, 0), (0, -1), (i64::MIN, i64::MIN)] {
            assert!(read(&folder, &part("a.txt", offset, length)).is_err());
        }
        for path in ["d", "out", "up/etc/passwd", "../../../../etc/passwd", "/proc/self/environ", "x", "a.txt/x", "\0"]
        {
            assert!(read(&folder, &part(path, 0, 0)).is_err(), "{path}");
        }
    }

    #[test]
    fn names_are_listed_and_looked_at() {
        let (_place, folder) = folder();
        let asked = |pattern: &str| ReadDirRequest {
            dir_path: "/".to_owned(),
            include_pattern: pattern.to_owned(),
            ..ReadDirRequest::default()
        };
        let names = |pattern: &str| -> Vec<String> {
            let listed = list(&folder, &asked(pattern)).expect("listed");
            listed.entries.into_iter().map(|entry| entry.path).collect()
        };
        assert_eq!(names(""), ["a.txt", "d", "out", "up"]);
        assert_eq!(names("*.t?t"), ["a.txt"]);
        let looked = |path: &str| {
            let asked = StatFileRequest { path: path.to_owned(), ..StatFileRequest::default() };
            stat(&folder, &asked).map(|answer| answer.stat.unwrap_or_default())
        };
        assert_eq!(looked("out").expect("there").linkname, "/etc/passwd");
        assert_eq!(looked("/a.txt").expect("there").size, 10);
        assert!(looked(".").expect("there").mode & (1 << 31) != 0);
        assert!(looked("nothing").is_err());
    }
}
