//! The order in which names of a tree come: sorted, parents first. A name that leads anywhere else ends the transfer.

use rustix::fs::FileType;
use std::collections::HashMap;

/// What a path may have (PATH_MAX without the zero byte).
const LONGEST: usize = 4095;
/// What a name may have (NAME_MAX).
const LONGEST_NAME: usize = 255;

/// The folders that the list is in.
#[derive(Debug)]
pub struct Order {
    levels: Vec<Level>,
}

/// One folder that the list is in.
#[derive(Debug, Default)]
pub struct Level {
    pub path: Vec<u8>,
    /// The name that came last.
    last: Vec<u8>,
    /// What was here before and was not told so far.
    pub left: HashMap<Vec<u8>, FileType>,
}

/// Where a name belongs.
#[derive(Debug, PartialEq, Eq)]
pub struct Place<'a> {
    pub folder: &'a [u8],
    pub name: &'a [u8],
    /// What was there before.
    pub before: Option<FileType>,
}

/// Why a name is none that may come now.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Disorder {
    #[error("the client sent the path {0:?}, which is none inside of a folder")]
    Unclean(String),
    #[error("the client sent the path {0:?} out of order")]
    OutOfOrder(String),
}

impl Order {
    /// In the root, in which `left` is.
    pub fn new(left: HashMap<Vec<u8>, FileType>) -> Order {
        Order { levels: vec![Level { left, ..Level::default() }] }
    }

    /// The next name. `leave` is told each folder that is complete.
    pub fn next<'a, E: From<Disorder>>(
        &mut self,
        path: &'a [u8],
        mut leave: impl FnMut(Level) -> Result<(), E>,
    ) -> Result<Place<'a>, E> {
        check(path)?;
        let (folder, name) = match path.iter().rposition(|byte| *byte == b'/') {
            Some(at) => (&path[..at], &path[at + 1..]),
            None => (&b""[..], path),
        };
        let disorder = || Disorder::OutOfOrder(String::from_utf8_lossy(path).into_owned());
        while self.levels.last().is_some_and(|level| level.path != folder) {
            // The root is never left: a folder that was not told ends there.
            if self.levels.len() == 1 {
                return Err(disorder().into());
            }
            if let Some(level) = self.levels.pop() {
                leave(level)?;
            }
        }
        let Some(level) = self.levels.last_mut() else { return Err(disorder().into()) };
        if level.last.as_slice() >= name {
            return Err(disorder().into());
        }
        level.last = name.to_vec();
        let before = level.left.remove(name);
        Ok(Place { folder, name, before })
    }

    /// The name that came last is a folder, in which `left` is.
    pub fn enter(&mut self, path: &[u8], left: HashMap<Vec<u8>, FileType>) {
        self.levels.push(Level { path: path.to_vec(), last: Vec::new(), left });
    }

    /// All folders that are not complete, deepest first.
    pub fn finish(&mut self) -> Vec<Level> {
        let mut levels = std::mem::take(&mut self.levels);
        levels.reverse();
        levels
    }
}

/// A path is relative, and has no part that is empty, `.` or `..`.
fn check(path: &[u8]) -> Result<(), Disorder> {
    let is_odd = |part: &[u8]| matches!(part, b"" | b"." | b"..") || part.len() > LONGEST_NAME;
    if path.len() > LONGEST || path.contains(&0) || path.split(|byte| *byte == b'/').any(is_odd) {
        let start = &path[..path.len().min(100)];
        return Err(Disorder::Unclean(String::from_utf8_lossy(start).into_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(paths: &[(&str, bool)]) -> Result<(), Disorder> {
        let mut order = Order::new(HashMap::new());
        for (path, is_folder) in paths {
            order.next::<Disorder>(path.as_bytes(), |_| Ok(()))?;
            if *is_folder {
                order.enter(path.as_bytes(), HashMap::new());
            }
        }
        Ok(())
    }

    #[test]
    fn names_come_sorted_below_folders_that_were_told() {
        let good = [("a", true), ("a/b", true), ("a/b/c", false), ("a/z", false), ("a-b", false), ("b", false)];
        assert_eq!(take(&good), Ok(()));
        for bad in [
            &[("b", false), ("a", false)][..],
            &[("a", false), ("a", false)],
            &[("a", false), ("a/b", false)],
            &[("a/b", false)],
            &[("a", true), ("b", false), ("a/c", false)],
        ] {
            assert!(matches!(take(bad), Err(Disorder::OutOfOrder(_))), "{bad:?}");
        }
    }

    #[test]
    fn no_path_leads_out() {
        let long = "n".repeat(256);
        for bad in ["", "/", "/etc", "..", "../x", "a/..", "a//b", "a/", ".", "./a", "a\0b", &long] {
            assert!(matches!(take(&[(bad, false)]), Err(Disorder::Unclean(_))), "{bad:?}");
        }
    }

    #[test]
    fn what_was_not_told_is_left() {
        let left =
            |names: &[&str]| names.iter().map(|name| (name.as_bytes().to_vec(), FileType::RegularFile)).collect();
        let mut order = Order::new(left(&["a", "b", "c"]));
        assert!(order.next::<Disorder>(b"b", |_| Ok(())).unwrap().before.is_some());
        let rest = order.finish().remove(0).left;
        assert_eq!(rest.len(), 2);
        assert!(rest.contains_key(&b"a"[..]) && rest.contains_key(&b"c"[..]));
    }
}
