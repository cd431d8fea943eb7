//! HOME for a process that has none: from the container's own /etc/passwd.

use super::resolve;
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::io::Read;
use std::os::fd::AsFd;

/// A longer file is no list of users (CVE-2024-9676).
const LONGEST: u64 = 10 << 20;

/// The environment with HOME in it: the user's of /etc/passwd, or `/`. `None` when a variable has it already.
pub(super) fn environment(env: &[Vec<u8>], uid: u32) -> Option<Vec<Vec<u8>>> {
    let is_home = |variable: &&Vec<u8>| variable.starts_with(b"HOME=");
    if env.iter().filter(is_home).any(|variable| variable.len() > b"HOME=".len()) {
        return None;
    }
    let mut all: Vec<_> = env.iter().filter(|variable| !is_home(variable)).cloned().collect();
    let found = passwd().ok().and_then(|text| home_of(&text, uid).map(<[u8]>::to_vec));
    all.push([b"HOME=".as_slice(), &found.unwrap_or_else(|| b"/".to_vec())].concat());
    Some(all)
}

fn passwd() -> Result<Vec<u8>, Errno> {
    let root = rustix::fs::openat(CWD, "/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    // A pipe or a terminal in its place must not make this wait.
    let file = resolve::in_root(root.as_fd(), "etc/passwd", OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
    if FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) != FileType::RegularFile {
        return Err(Errno::INVAL);
    }
    let mut text = Vec::new();
    let read = std::fs::File::from(file).take(LONGEST).read_to_end(&mut text);
    read.map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
    Ok(text)
}

/// The sixth field of the first line with this number in the third, passwd(5).
fn home_of(text: &[u8], uid: u32) -> Option<&[u8]> {
    text.split(|byte| *byte == b'\n').find_map(|line| {
        let fields: Vec<_> = line.split(|byte| *byte == b':').collect();
        let number = std::str::from_utf8(fields.get(2)?).ok()?.parse::<u32>().ok()?;
        let home = fields.get(5).filter(|home| !home.is_empty() && !home.contains(&0))?;
        (number == uid).then_some(*home)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_home_of_a_number_is_found() {
        let text =
            b"root:x:0:0:root:/root:/bin/sh\n# x\nbad:x:1\nuser:x:1000:1000::/home/user:/bin/sh\nnone:x:7:7:::\n";
        assert_eq!(home_of(text, 0), Some(b"/root".as_slice()));
        assert_eq!(home_of(text, 1000), Some(b"/home/user".as_slice()));
        assert_eq!([home_of(text, 1), home_of(text, 7), home_of(text, 9)], [None; 3]);
    }

    #[test]
    fn a_home_that_is_set_stays() {
        assert_eq!(environment(&[b"A=1".to_vec(), b"HOME=/x".to_vec()], 0), None);
        let made = environment(&[b"HOME=".to_vec(), b"A=1".to_vec()], u32::MAX - 1).unwrap();
        assert_eq!(made, [b"A=1".to_vec(), b"HOME=/".to_vec()]);
    }
}
