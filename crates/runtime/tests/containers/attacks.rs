//! Images and neighbours that mean harm. The number of a test is the CVE it repeats.

use crate::Test;
use crate::world::{World, bind, busybox_tree, process, reap, spec};
use runtime::Step;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use sys::process::{Birth, Fork};

pub const TESTS: &[Test] = &[
    ("2026-41579 2025-24965: links in the image stay inside it", links_in_image),
    ("2019-19921: /proc and /sys that are links are refused", linked_proc),
    ("2019-16884: no link brings a mount into procfs", link_into_proc),
    ("2024-21626: no working directory reaches a descriptor", descriptor_directories),
    ("2025-31133: a changed /dev/null masks nothing", changed_null),
    ("2021-30465: a mount point swapped while it is used", swapped_mount_point),
    ("2019-5736: the keeper's program cannot be reached from an exec", own_program),
    ("2016-9962: a process of the container cannot look into an exec", traced_exec),
];

/// A host folder that nothing may appear in.
struct Canary(PathBuf);

impl Canary {
    fn new(world: &World, name: &str) -> Self {
        let path = world.home.path().join(name);
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("file"), "untouched").unwrap();
        Self(path)
    }

    fn assert_untouched(&self) {
        let names: Vec<_> = std::fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["file"]);
        assert_eq!(std::fs::read_to_string(self.0.join("file")).unwrap(), "untouched");
    }
}

fn evil_tree(world: &World, name: &str) -> PathBuf {
    let tree = world.home.path().join(name);
    busybox_tree(&tree);
    tree
}

/// To the canary, from anywhere in a root: as the host sees it.
fn climb(canary: &Path) -> PathBuf {
    Path::new("../../../../../../../..").join(canary.strip_prefix("/").unwrap())
}

fn links_in_image(world: &World) {
    for (number, climbing) in [false, true].into_iter().enumerate() {
        let canary = Canary::new(world, &format!("canary-links{number}"));
        let tree = evil_tree(world, &format!("evil-links{number}"));
        let target = if climbing { climb(&canary.0) } else { canary.0.clone() };
        std::fs::remove_dir_all(tree.join("etc")).unwrap();
        for name in ["dev", "etc", "srv", "opt"] {
            symlink(&target, tree.join(name)).unwrap();
        }
        symlink(target.join("file"), tree.join("var/file")).unwrap();
        let source = world.home.path().join(format!("hosts{number}"));
        std::fs::write(&source, "mine").unwrap();
        let script = format!("cat /etc/hosts /var/file; pwd; echo > /dev/null; ls {}", canary.0.display());
        let mut spec = spec(&["/bin/sh", "-c", &script]);
        spec.mounts.push(bind(&source, "/etc/hosts", &["bind"]));
        spec.mounts.push(bind(&source, "/var/file", &["bind"]));
        spec.mounts.push(bind(&source, "/opt/deep/er/file", &["bind"]));
        spec.process.as_mut().unwrap().cwd = "/srv/work/dir".into();
        let (root, _) = world.root_of(&tree, Some(world.user.as_fd()));
        let ended = world.run_on(&spec, root).unwrap();
        assert!(ended.out.starts_with("minemine/"), "{ended:?}");
        assert!(ended.out.contains("/work/dir\n"), "{ended:?}");
        canary.assert_untouched();
    }
}

fn linked_proc(world: &World) {
    for name in ["proc", "sys"] {
        let canary = Canary::new(world, &format!("canary-{name}"));
        let tree = evil_tree(world, &format!("evil-{name}"));
        std::fs::create_dir(tree.join("elsewhere")).unwrap();
        for target in [PathBuf::from("elsewhere"), canary.0.clone()] {
            let _ = std::fs::remove_file(tree.join(name));
            symlink(target, tree.join(name)).unwrap();
            let (root, _) = world.root_of(&tree, Some(world.user.as_fd()));
            let failure = world.run_on(&spec(&["true"]), root).unwrap_err();
            assert_eq!((failure.step, failure.errno), (Step::Mount, Errno::LOOP.raw_os_error()));
        }
        canary.assert_untouched();
    }
}

fn link_into_proc(world: &World) {
    let tree = evil_tree(world, "evil-into-proc");
    symlink("/proc/self/attr", tree.join("harmless")).unwrap();
    symlink("/proc/sys", tree.join("kernel")).unwrap();
    let source = world.home.path().join("attr");
    std::fs::create_dir(&source).unwrap();
    for destination in ["/harmless", "/kernel", "/kernel/kernel"] {
        let mut spec = spec(&["true"]);
        spec.mounts.push(bind(&source, destination, &["bind"]));
        let (root, _) = world.root_of(&tree, Some(world.user.as_fd()));
        let failure = world.run_on(&spec, root).unwrap_err();
        assert_eq!((failure.step, failure.errno), (Step::Mount, Errno::PERM.raw_os_error()), "{failure}");
    }
}

fn descriptor_directories(world: &World) {
    // Something of the host that a careless parent left open, and inheritable.
    let leak =
        rustix::fs::open("/", rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY, rustix::fs::Mode::empty())
            .unwrap();
    let mut spec = spec(&["pwd"]);
    let running = world.start(world.park(), &world.prepare(&self::spec(&["sleep", "1000"]))).unwrap();
    for number in 3..48 {
        for path in [format!("/proc/self/fd/{number}"), format!("/proc/self/fd/{number}/../..")] {
            spec.process.as_mut().unwrap().cwd = path.clone();
            let failure = world.run(&spec).unwrap_err();
            assert_eq!(failure.step, Step::WorkingDirectory, "{failure}");
            let mut process = process(&["pwd"]);
            process.cwd = path;
            assert_eq!(world.exec(&running, &process).err().unwrap().step, Step::WorkingDirectory);
        }
    }
    running.kill();
    drop(leak);
}

/// The image's own /dev/null is a link or another device: masks come from the host's, which was looked at.
fn changed_null(world: &World) {
    let tree = evil_tree(world, "evil-null");
    std::fs::create_dir(tree.join("dev")).unwrap();
    symlink("/etc/passwd", tree.join("dev/null")).unwrap();
    let mut spec = spec(&["sh", "-c", "cat /proc/keys /proc/timer_list; stat -c '%t:%T' /proc/keys"]);
    let volume = world.home.path().join("evil-dev");
    std::fs::create_dir(&volume).unwrap();
    symlink("/proc/sys/kernel/core_pattern", volume.join("null")).unwrap();
    let (root, _) = world.root_of(&tree, Some(world.user.as_fd()));
    assert_eq!(world.run_on(&spec, root).unwrap().out, "1:3\n");
    // And with a whole /dev from somewhere else.
    spec.mounts.retain(|mount| !mount.destination.starts_with("/dev"));
    spec.mounts.push(bind(&volume, "/dev", &["rbind"]));
    assert_eq!(world.run(&spec).unwrap().out, "1:3\n");
}

/// One process swaps a folder and a link in a shared volume, while containers mount below it.
fn swapped_mount_point(world: &World) {
    const STARTS: usize = 150;
    let canary = Canary::new(world, "canary-swap");
    let volume = world.home.path().join("swap");
    std::fs::create_dir_all(volume.join("a/inner")).unwrap();
    symlink(climb(&canary.0), volume.join("b")).unwrap();
    rustix::fs::chown(&volume, Some(rustix::fs::Uid::from_raw(0)), None).unwrap();
    let swapper = match sys::fork(&world.thread, &Birth::default()).unwrap() {
        Fork::Child(_) => loop {
            let _ = renameat_with(CWD, volume.join("a"), CWD, volume.join("b"), RenameFlags::EXCHANGE);
        },
        Fork::Parent { pid, .. } => pid,
    };
    let source = world.home.path().join("swap-source");
    std::fs::write(&source, "").unwrap();
    let mut spec = spec(&["true"]);
    spec.mounts.push(bind(&volume, "/vol", &["rbind"]));
    spec.mounts.push(bind(&source, "/vol/a/inner/made", &["bind"]));
    spec.mounts.push(bind(&source, "/vol/a/more/made", &["bind"]));
    let mut ran = 0;
    for _ in 0..STARTS {
        match world.run(&spec) {
            Ok(ended) => ran += i32::from(ended.code == 0),
            Err(failure) => assert_eq!(failure.step, Step::Mount, "{failure}"),
        }
    }
    sys::signal::send(swapper, 9).unwrap();
    reap(swapper);
    assert!(ran > 0, "no container started at all");
    canary.assert_untouched();
}

/// What execs is the keeper's program until execve; `#!/proc/self/exe` and a reopened /proc/PID/exe are the known ways to it.
fn own_program(world: &World) {
    let tree = evil_tree(world, "evil-exe");
    std::fs::write(tree.join("bin/again"), "#!/proc/self/exe\n").unwrap();
    std::fs::set_permissions(tree.join("bin/again"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do for p in /proc/[0-9]*; do \
        (echo x > $p/exe) 2>/dev/null && echo wrote $(readlink $p/exe); done; done; sleep 1000";
    let (root, _) = world.root_of(&tree, Some(world.user.as_fd()));
    let running = world.start(world.park(), &world.prepare_on(&spec(&["sh", "-c", script]), root)).unwrap();
    let own = std::env::current_exe().unwrap();
    let before = std::fs::read(&own).unwrap();
    for _ in 0..30 {
        // `again` names the interpreter of the process that executes it: itself. The kernel gives up, or runs busybox.
        let _ = world.exec(&running, &process(&["again"])).map(|running| running.end());
    }
    assert!(before == std::fs::read(&own).unwrap(), "the program was changed");
    let out = running.out.try_clone().unwrap();
    running.kill();
    assert_eq!(crate::world::read_all(out.as_fd()), "");
}

/// A container in the host's user namespace with CAP_SYS_PTRACE withheld, as by default: it may not read what an exec has open.
fn traced_exec(world: &World) {
    let script = "while :; do for p in /proc/[0-9]*; do [ $p = /proc/1 ] || ls -l $p/fd $p/root/ $p/cwd/ 2>/dev/null; done; done";
    let running = world.start(world.park(), &world.prepare(&spec(&["sh", "-c", script]))).unwrap();
    for _ in 0..30 {
        assert_eq!(world.exec(&running, &process(&["true"])).unwrap().end().code, 0);
    }
    let out = running.out.try_clone().unwrap();
    running.kill();
    let seen = crate::world::read_all(out.as_fd());
    assert!(!seen.contains("socket:"), "{seen}");
    assert!(!seen.contains("mnt") && !seen.contains("lost+found"), "{seen}");
}
