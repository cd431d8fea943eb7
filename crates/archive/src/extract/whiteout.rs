//! Names that stand for what is gone (image-spec 1.1, layer.md, "Whiteouts").

use crate::Error;
use crate::path::split;

const PREFIX: &[u8] = b".wh.";
/// AUFS kept its own files under this prefix; only the opaque mark means something.
const METADATA: &[u8] = b".wh..wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// What a path says about the layers below.
#[derive(Debug, PartialEq, Eq)]
pub enum Whiteout<'a> {
    No,
    /// Left over from AUFS, to be ignored.
    Metadata,
    /// All that lower layers have in `folder` is gone.
    Opaque {
        folder: &'a [u8],
    },
    /// `name` in `folder` is gone.
    Of {
        folder: &'a [u8],
        name: &'a [u8],
    },
}

/// Reads a normal `path`; `written` is how the archive spelled it.
pub fn read<'a>(path: &'a [u8], written: &[u8]) -> Result<Whiteout<'a>, Error> {
    // `.wh...` would hide `..`: as a path it is an ordinary name, so the check is on what is hidden.
    let (folder, name) = split(path);
    for part in folder.split(|byte| *byte == b'/') {
        if part.starts_with(METADATA) {
            return Ok(Whiteout::Metadata);
        }
        if part.starts_with(PREFIX) {
            return Err(Error::broken(written, "it is below a whiteout"));
        }
    }
    if name == OPAQUE {
        return Ok(Whiteout::Opaque { folder });
    }
    if name.starts_with(METADATA) {
        return Ok(Whiteout::Metadata);
    }
    match name.strip_prefix(PREFIX) {
        None => Ok(Whiteout::No),
        Some(b"" | b"." | b"..") => Err(Error::broken(written, "a whiteout of nothing, of `.` or of `..`")),
        Some(hidden) => Ok(Whiteout::Of { folder, name: hidden }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_mean_what_the_specification_says() {
        let of = |path: &'static str| read(path.as_bytes(), path.as_bytes()).ok();
        assert_eq!(of("a/b"), Some(Whiteout::No));
        assert_eq!(of("a/.wh.b"), Some(Whiteout::Of { folder: b"a", name: b"b" }));
        assert_eq!(of(".wh.b"), Some(Whiteout::Of { folder: b"", name: b"b" }));
        assert_eq!(of("a/.wh..wh..opq"), Some(Whiteout::Opaque { folder: b"a" }));
        assert_eq!(of(".wh..wh.plnk/1.2"), Some(Whiteout::Metadata));
        assert_eq!(of("a/.wh..wh.aufs"), Some(Whiteout::Metadata));
        for hostile in [".wh.", "a/.wh..", "a/.wh...", ".wh.a/b"] {
            assert_eq!(of(hostile), None, "{hostile}");
        }
    }
}
