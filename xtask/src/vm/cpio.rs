//! A cpio archive in the "newc" form, as the kernel unpacks it at boot (Documentation/driver-api/early-userspace/buffer-format.rst).

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

const FOLDER: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_000;
const CHARACTER_DEVICE: u32 = 0o020_000;

/// Writes entries to `out`; all belong to root.
pub struct Archive<W> {
    out: W,
    number: u32,
}

impl<W: Write> Archive<W> {
    pub fn new(out: W) -> Archive<W> {
        Archive { out, number: 0 }
    }

    /// Everything below `folder`, sorted, without the folder itself.
    pub fn tree(&mut self, folder: &Path) -> io::Result<()> {
        self.below(folder, "")
    }

    fn below(&mut self, folder: &Path, prefix: &str) -> io::Result<()> {
        let mut entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            let path = entry.path();
            let look = path.symlink_metadata()?;
            let mode = look.permissions().mode() & 0o7777;
            if look.is_dir() {
                self.entry(&name, FOLDER | mode, (0, 0), &[])?;
                self.below(&path, &format!("{name}/"))?;
            } else if look.is_symlink() {
                self.entry(&name, LINK | 0o777, (0, 0), fs::read_link(&path)?.as_os_str().as_encoded_bytes())?;
            } else {
                debug_assert!(look.mode() & FILE != 0);
                self.entry(&name, FILE | mode, (0, 0), &fs::read(&path)?)?;
            }
        }
        Ok(())
    }

    pub fn character_device(&mut self, name: &str, mode: u32, device: (u32, u32)) -> io::Result<()> {
        self.entry(name, CHARACTER_DEVICE | mode, device, &[])
    }

    /// Writes the end mark.
    pub fn end(mut self) -> io::Result<()> {
        self.entry("TRAILER!!!", 0, (0, 0), &[])?;
        self.out.flush()
    }

    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), bytes: &[u8]) -> io::Result<()> {
        self.number += 1;
        let size = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        let name_size = u32::try_from(name.len() + 1).map_err(io::Error::other)?;
        // inode, mode, uid, gid, links, mtime, size, device, special device, length of the name, check sum (unused).
        let fields = [self.number, mode, 0, 0, 1, 0, size, 0, 0, device.0, device.1, name_size, 0];
        self.out.write_all(b"070701")?;
        for field in fields {
            write!(self.out, "{field:08x}")?;
        }
        self.out.write_all(name.as_bytes())?;
        // The header has 110 bytes; header and name, and then the bytes, end on a multiple of four.
        self.pad(110 + name.len(), 1)?;
        self.out.write_all(bytes)?;
        self.pad(bytes.len(), 0)
    }

    /// NULs to the next multiple of four after `length` bytes, of which at least `least`.
    fn pad(&mut self, length: usize, least: usize) -> io::Result<()> {
        let end = (length + least).next_multiple_of(4);
        self.out.write_all(&[0; 4][..end - length])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_laid_out_as_the_kernel_reads_them() {
        let mut bytes = Vec::new();
        let mut archive = Archive::new(&mut bytes);
        archive.entry("init", FILE | 0o755, (0, 0), b"hello").unwrap();
        archive.end().unwrap();
        assert_eq!(&bytes[..6], b"070701");
        assert_eq!(&bytes[14..22], b"000081ed");
        assert_eq!(&bytes[54..62], b"00000005");
        assert_eq!(&bytes[110..116], b"init\0\0");
        assert_eq!(&bytes[116..124], b"hello\0\0\0");
        assert_eq!(&bytes[124..130], b"070701");
        assert_eq!(bytes.len() % 4, 0);
    }
}
