//! The images that runc's tests unpack: busybox of this machine, and a small Debian.

use super::stage;
use std::fs;
use std::path::Path;

/// Users and groups as far as the tests name them.
const PASSWD: &str = "\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
mail:x:8:8:mail:/var/spool/mail:/bin/false
nobody:x:65534:65534:nobody:/home:/bin/false
";
const GROUP: &str = "\
root:x:0:
daemon:x:1:
tty:x:5:
wheel:x:10:root
staff:x:50:
users:x:100:
nobody:x:65534:
";

/// Makes `busybox-ARCH.tar.xz` and `debian-ARCH.tar.xz` (which are plain tar; tar looks at the contents), where they are absent.
pub fn make(folder: &Path) -> Result<(), String> {
    let arch = stage::shell(folder, "go env GOARCH", &[])?;
    let arch = arch.trim();
    let busybox = folder.join(format!("busybox-{arch}.tar.xz"));
    if !busybox.is_file() {
        eprintln!("== making {}", busybox.display());
        make_busybox(&busybox)?;
    }
    let debian = folder.join(format!("debian-{arch}.tar.xz"));
    if !debian.is_file() {
        eprintln!("== making {} with debootstrap", debian.display());
        make_debian(&debian)?;
    }
    Ok(())
}

/// Folders, links and owners as in the image `busybox` of Docker.
fn make_busybox(archive: &Path) -> Result<(), String> {
    stage::need(&[("busybox", "busybox-static")])?;
    let root = tempfile::tempdir().map_err(|e| format!("no temporary folder: {e}"))?;
    let etc = root.path().join("etc");
    let at = |e: std::io::Error| format!("cannot make an image: {e}");
    fs::create_dir(&etc).map_err(at)?;
    fs::write(etc.join("passwd"), PASSWD).map_err(at)?;
    fs::write(etc.join("group"), GROUP).map_err(at)?;
    let script = "\
        mkdir -p bin dev home lib root tmp usr/bin usr/sbin var/spool/mail var/www
        chmod 755 . && chmod 1777 tmp && chmod 700 root
        cp \"$(command -v busybox)\" bin/busybox
        for name in $(bin/busybox --list); do [ -e bin/$name ] || ln bin/busybox bin/$name; done
        ln -s ../../bin/env usr/bin/env
        tar --numeric-owner --owner=0 --group=0 -cf \"$ARCHIVE.part\" .
        mv \"$ARCHIVE.part\" \"$ARCHIVE\"";
    stage::shell(root.path(), script, &[("ARCHIVE", archive.display().to_string())]).map(|_| ())
}

fn make_debian(archive: &Path) -> Result<(), String> {
    stage::need(&[("debootstrap", "debootstrap")])?;
    let folder = tempfile::tempdir().map_err(|e| format!("no temporary folder: {e}"))?;
    let script = "\
        debootstrap --variant=minbase bookworm root >&2
        rm -rf root/var/cache/apt/* root/var/lib/apt/lists/* root/usr/share/doc root/usr/share/locale root/usr/share/man
        tar -C root --numeric-owner -cf \"$ARCHIVE.part\" .
        mv \"$ARCHIVE.part\" \"$ARCHIVE\"";
    stage::shell(folder.path(), script, &[("ARCHIVE", archive.display().to_string())]).map(|_| ())
}
