//! Names of entries: from what an archive wrote to a path that stays below the root.

use crate::Error;

/// `./a//b/../c` is `a/c`; a leading `/` counts for nothing; the root itself is empty.
///
/// A path that climbs above the root is refused, even if it comes back.
pub fn normal(path: &[u8]) -> Result<Vec<u8>, Error> {
    let mut parts: Vec<&[u8]> = Vec::with_capacity(8);
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                if parts.pop().is_none() {
                    return Err(Error::broken(path, "it leads outside the root"));
                }
            }
            part => parts.push(part),
        }
    }
    Ok(parts.join(&b'/'))
}

/// The folder and the name of a normal path.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_relative_and_plain() {
        for (given, normal_path) in [
            ("a", "a"),
            ("./a/", "a"),
            ("/etc//passwd", "etc/passwd"),
            ("a/./b/../c", "a/c"),
            ("/", ""),
            ("./", ""),
            ("", ""),
            ("...", "..."),
        ] {
            assert_eq!(normal(given.as_bytes()).unwrap(), normal_path.as_bytes(), "{given}");
        }
    }

    #[test]
    fn paths_that_leave_the_root_are_refused() {
        for path in ["..", "../x", "a/../../x", "/..", "/../etc/passwd", "a/../../a"] {
            assert!(normal(path.as_bytes()).is_err(), "{path}");
        }
    }

    #[test]
    fn a_path_has_a_folder_and_a_name() {
        assert_eq!(split(b"a/b/c"), (&b"a/b"[..], &b"c"[..]));
        assert_eq!(split(b"c"), (&b""[..], &b"c"[..]));
    }
}
