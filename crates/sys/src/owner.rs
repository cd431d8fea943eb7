//! In whose name a thread touches files.

use rustix::thread::CapabilitySet;
use std::io;

/// What root may do with files of others; setfsuid(2) takes it away from who leaves root (capabilities(7)).
const OVER_FILES: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::LINUX_IMMUTABLE)
    .union(CapabilitySet::MAC_OVERRIDE);

/// From now on what the calling thread makes belongs to the user and group `id`, and its rights over files stay what they were.
///
/// A file can be made in an id-mapped mount only by an owner that the mount has an id for. For a thread that ends then: there
/// is no way back here.
pub fn make_files_of(id: u32) -> io::Result<()> {
    let before = rustix::thread::capabilities(None)?;
    for call in [libc::SYS_setfsgid, libc::SYS_setfsuid] {
        // SAFETY: no pointers; file system ids are of the calling thread alone, and no Rust type depends on them.
        unsafe { libc::syscall(call, id) };
        // SAFETY: the same; an id that no user has changes nothing and tells the present one.
        let now = unsafe { libc::syscall(call, u32::MAX) };
        if now != i64::from(id) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
    }
    let mut after = rustix::thread::capabilities(None)?;
    after.effective |= before.effective & OVER_FILES;
    Ok(rustix::thread::set_capabilities(None, after)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_thread_makes_files_of_another_and_may_still_touch_all() {
        if !rustix::process::getuid().is_root() {
            return;
        }
        let folder = std::env::temp_dir().join(format!("sys-owner-{}", std::process::id()));
        std::fs::create_dir(&folder).expect("a folder");
        let (own, file) = (folder.join("of-root"), folder.join("of-another"));
        std::fs::write(&own, "x").expect("a file");
        let (of_root, path) = (own.clone(), file.clone());
        let thread = std::thread::spawn(move || {
            make_files_of(1234).expect("ids are set");
            std::fs::write(&path, "y").expect("made in a folder of root");
            std::fs::write(&of_root, "z").expect("written although it is of root");
            std::os::unix::fs::chown(&path, Some(4321), Some(1)).expect("given away");
        });
        thread.join().expect("no panic");
        let data = std::fs::metadata(&file).expect("there");
        assert_eq!((data.uid(), data.gid()), (4321, 1));
        assert_eq!(std::fs::metadata(&own).expect("there").uid(), 0);
        std::fs::write(folder.join("after"), "").expect("a file");
        assert_eq!(std::fs::metadata(folder.join("after")).expect("there").uid(), 0);
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
