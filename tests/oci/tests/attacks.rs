//! What broke other runtimes, one test for each mechanism; races are bounded loops. Run on ours only: some would harm the reference.

use oci_tests::{Case, Console, Runtime, within};
use serde_json::json;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// A dhow of its own, that may be overwritten.
fn own_binary(folder: &Path) -> PathBuf {
    let copy = folder.join("dhow");
    fs::copy(oci_tests::binary(), &copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
    copy
}

/// CVE-2019-5736, by a script whose interpreter is the runtime itself.
#[test]
fn the_binary_of_the_runtime_cannot_be_overwritten_from_inside() {
    let folder = tempfile::tempdir().unwrap();
    let binary = own_binary(folder.path());
    let before = fs::read(&binary).unwrap();
    let runtime = Runtime::of_binary(&binary);
    for entry in ["#!/proc/self/exe\n", "#!/proc/1/exe runtime\n"] {
        let case = Case::new(&runtime, &["/evil"]);
        fs::write(case.bundle.root().join("evil"), entry).unwrap();
        fs::set_permissions(case.bundle.root().join("evil"), fs::Permissions::from_mode(0o755)).unwrap();
        let _ = case.run();
    }
    let case = Case::new(&runtime, &["/proc/self/exe", "runtime", "--version"]);
    let _ = case.run();
    // Whoever comes in by exec is looked at, all the time, and its program opened for writing.
    let script = "while :; do for p in /proc/[0-9]*; do \
                  case $(readlink $p/exe) in */busybox|'') ;; *) echo hit >> /tmp/hits; dd if=/etc/passwd of=$p/exe bs=1 count=4 conv=notrunc 2>>/tmp/said;; esac; \
                  done; done";
    let mut case = Case::new(&runtime, &["sh", "-c", script]);
    let capabilities = &mut case.bundle.config["process"]["capabilities"];
    for set in ["bounding", "effective", "permitted"] {
        capabilities[set].as_array_mut().unwrap().extend([json!("CAP_SYS_PTRACE"), json!("CAP_SYS_ADMIN")]);
    }
    case.begin();
    for _ in 0..60 {
        case.exec(&["/bin/true"]).ok();
        let _ = case.exec(&["/proc/self/exe"]);
    }
    drop(case);
    assert!(fs::read(&binary).unwrap() == before, "the binary was changed");
}

/// CVE-2024-21626: a descriptor of the host as the working folder, also one that the caller of the runtime left open.
#[test]
fn no_descriptor_of_the_host_is_a_way_out() {
    let leaked: Vec<File> = (0..20).map(|_| File::open("/").unwrap()).collect();
    for file in &leaked {
        rustix::io::fcntl_setfd(file, rustix::io::FdFlags::empty()).unwrap();
    }
    let ours = Runtime::ours();
    let highest = leaked.iter().map(AsRawFd::as_raw_fd).max().unwrap() + 12;
    for number in 3..highest {
        let mut case = Case::new(&ours, &["sh", "-c", "pwd; ls -1 /proc/self/fd; cat /etc/machine-canary 2>&1"]);
        case.bundle.config["process"]["cwd"] = json!(format!("/proc/self/fd/{number}"));
        let output = case.run();
        assert!(!output.status.success(), "cwd /proc/self/fd/{number}: {}", output.out);
    }
    let case = Case::sleeping(&ours);
    case.begin();
    for number in 3..highest {
        let cwd = format!("/proc/self/fd/{number}");
        let output = case.call(&["exec", "--cwd", &cwd, &case.id, "pwd"]);
        assert!(!output.status.success(), "exec --cwd {cwd}: {}", output.out);
    }
    let script = "n=0; while [ $n -lt 99 ]; do [ -e /proc/$$/fd/$n ] && echo $n; n=$((n+1)); done; true";
    assert_eq!(case.exec(&["sh", "-c", script]).ok(), "0\n1\n2\n");
    drop(leaked);
}

/// CVE-2025-31133: what covers a masked file is the host's /dev/null by descriptor, not what the container has under that name.
#[test]
fn a_masked_path_does_not_become_what_dev_null_points_to() {
    let ours = Runtime::ours();
    let mut case = Case::new(
        &ours,
        &[
            "sh",
            "-c",
            "cat /secret; stat -c %t:%T /secret; cat /proc/sys/kernel/core_pattern > /tmp/pattern; ls -l /secret",
        ],
    );
    let root = case.bundle.root();
    fs::write(root.join("secret"), "treasure\n").unwrap();
    fs::write(root.join("canary"), "canary\n").unwrap();
    symlink("/canary", root.join("dev/null")).unwrap();
    case.bundle.config["mounts"]
        .as_array_mut()
        .unwrap()
        .retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
    case.bundle.config["linux"]["maskedPaths"] = json!(["/secret"]);
    let output = case.run();
    assert!(!output.out.contains("treasure"), "{output:?}");
    assert!(!output.out.contains("canary"), "{output:?}");
    if output.status.success() {
        assert!(output.out.starts_with("1:3\n"), "{output:?}");
    }
}

/// CVE-2025-52565: /dev/console leads elsewhere.
#[test]
fn the_console_is_not_bound_over_what_a_link_names() {
    let ours = Runtime::ours();
    let mut case = Case::new(&ours, &["sh", "-c", "echo inside"]);
    let canary = case.path().join("canary");
    fs::write(&canary, "canary\n").unwrap();
    symlink(&canary, case.bundle.root().join("dev/console")).unwrap();
    case.bundle.config["mounts"].as_array_mut().unwrap().retain(|mount| mount["destination"] != "/dev");
    case.bundle.config["process"]["terminal"] = json!(true);
    let console = Console::listen(case.path()).unwrap();
    let _ = case.try_create(&["--console-socket", console.path.to_str().unwrap()]);
    assert_eq!(fs::read_to_string(&canary).unwrap(), "canary\n");
}

/// CVE-2019-16884, CVE-2019-19921, CVE-2023-28642: /proc or /sys is a link, or something else is mounted there.
#[test]
fn proc_and_sys_are_themselves() {
    let ours = Runtime::ours();
    for name in ["proc", "sys"] {
        let case = Case::new(&ours, &["true"]);
        let root = case.bundle.root();
        fs::remove_dir(root.join(name)).unwrap();
        fs::create_dir(root.join("elsewhere")).unwrap();
        symlink("/elsewhere", root.join(name)).unwrap();
        assert!(!case.run().status.success(), "/{name} is a link");
    }
    for (kind, destination) in
        [("tmpfs", "/proc"), ("tmpfs", "/proc/self"), ("tmpfs", "/proc/../proc/sys"), ("tmpfs", "//proc//sys/kernel")]
    {
        let mut case = Case::new(&ours, &["true"]);
        case.bundle.mount(kind, kind, destination, &[]);
        assert!(!case.run().status.success(), "{kind} at {destination}");
    }
    let mut case = Case::new(&ours, &["true"]);
    fs::create_dir(case.bundle.root().join("place")).unwrap();
    symlink("/proc/sys", case.bundle.root().join("place/link")).unwrap();
    case.bundle.mount("tmpfs", "tmpfs", "/place/link/kernel", &[]);
    assert!(!case.run().status.success(), "a tmpfs through a link into /proc");
}

/// CVE-2025-52881: what is written below /proc goes to the kernel, whatever the container has mounted or linked there.
#[test]
fn kernel_parameters_are_written_to_the_kernel() {
    let ours = Runtime::ours();
    let mut case = Case::new(&ours, &["cat", "/proc/sys/net/ipv4/ip_forward"]);
    let canary = case.path().join("canary");
    fs::create_dir_all(canary.join("net/ipv4")).unwrap();
    fs::write(canary.join("net/ipv4/ip_forward"), "canary\n").unwrap();
    case.bundle.config["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1"});
    case.bundle.mount("bind", canary.to_str().unwrap(), "/proc/sys", &["bind", "rw"]);
    assert!(!case.run().status.success(), "a bind over /proc/sys");
    assert_eq!(fs::read_to_string(canary.join("net/ipv4/ip_forward")).unwrap(), "canary\n");
    for key in ["../../../tmp/x", "net..x", "kernel.core_pattern", "kernel/core_pattern"] {
        let mut case = Case::new(&ours, &["true"]);
        case.bundle.config["linux"]["sysctl"] = json!({ key: "1" });
        assert!(!case.run().status.success(), "{key}");
    }
}

/// CVE-2026-41579, CVE-2026-47766: folders of the image lead to the host before the root is changed.
#[test]
fn links_in_place_of_device_folders_make_nothing_on_the_host() {
    let ours = Runtime::ours();
    for (name, relative) in [
        ("dev", false),
        ("dev", true),
        ("dev/pts", false),
        ("dev/shm", false),
        ("dev/ptmx", false),
        ("dev/mqueue", true),
        ("etc", false),
    ] {
        for keep_dev in [true, false] {
            let mut case = Case::new(&ours, &["true"]);
            let canary = case.path().join("canary");
            fs::create_dir(&canary).unwrap();
            let place = case.bundle.root().join(name);
            let _ = fs::remove_dir_all(&place);
            let up = "../".repeat(12);
            let target = if relative { PathBuf::from(format!("{up}{}", canary.display())) } else { canary.clone() };
            symlink(target, &place).unwrap();
            if !keep_dev {
                case.bundle.config["mounts"].as_array_mut().unwrap().retain(|mount| mount["destination"] != "/dev");
            }
            case.bundle.config["linux"]["devices"] =
                json!([{"path": "/dev/extra", "type": "c", "major": 1, "minor": 3}]);
            let _ = case.run();
            let found: Vec<_> = fs::read_dir(&canary).unwrap().map(|entry| entry.unwrap().path()).collect();
            assert!(found.is_empty(), "{name}: {found:?}");
        }
    }
}

/// CVE-2021-30465, CVE-2024-45310: a mount point below a shared volume is exchanged for a link while it is looked up.
#[test]
fn exchanging_a_mount_point_leads_nowhere_outside() {
    let ours = Runtime::ours();
    let shared = tempfile::tempdir().unwrap();
    let canary = tempfile::tempdir().unwrap();
    let (folder, link) = (shared.path().join("target"), shared.path().join("link"));
    fs::create_dir(&folder).unwrap();
    symlink(canary.path(), &link).unwrap();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let exchange = rustix::fs::RenameFlags::EXCHANGE;
                let _ = rustix::fs::renameat_with(rustix::fs::CWD, &folder, rustix::fs::CWD, &link, exchange);
            }
        });
        // Many chances in each run: a container comes up only if it met the folder every time.
        for _ in 0..30 {
            let mut case = Case::new(&ours, &["true"]);
            case.bundle.mount("bind", shared.path().to_str().unwrap(), "/vol", &["rbind"]);
            for number in 0..8 {
                case.bundle.mount("tmpfs", "tmpfs", &format!("/vol/target/inner{number}"), &[]);
            }
            let _ = case.run();
        }
        over.store(true, Ordering::Relaxed);
    });
    let made: Vec<_> = fs::read_dir(canary.path()).unwrap().collect();
    assert!(made.is_empty(), "{made:?}");
}

/// CVE-2025-24965 and its kin: working folder and mount points through links.
#[test]
fn folders_are_made_inside_only() {
    let ours = Runtime::ours();
    for link in ["work", "var/run", "etc/hosts"] {
        let mut case = Case::new(&ours, &["true"]);
        let canary = case.path().join("canary");
        fs::create_dir(&canary).unwrap();
        let place = case.bundle.root().join(link);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        symlink(canary.join("deeper"), &place).unwrap();
        case.bundle.config["process"]["cwd"] = json!(format!("/{link}/made/here"));
        case.bundle.mount("bind", "/etc/hostname", &format!("/{link}/secrets/x"), &["bind", "ro"]);
        let _ = case.run();
        assert_eq!(fs::read_dir(&canary).unwrap().count(), 0, "{link}");
    }
}

/// CVE-2016-9962: who comes in by exec can be neither traced nor looked into before its own program runs.
#[test]
fn an_entering_process_shows_nothing_of_the_host() {
    let script = "while :; do for p in /proc/[0-9]*; do \
                  for f in $p/fd/* $p/cwd $p/exe $p/root; do readlink $f; done; cat $p/environ | tr '\\0' '\\n'; done >> /tmp/seen 2>/dev/null; done";
    let case = Case::new(&Runtime::ours(), &["sh", "-c", script]);
    case.begin();
    for _ in 0..100 {
        let words = ["exec", case.id.as_str(), "/bin/true"];
        let mut command = case.command(&words);
        command.env("HOST_SECRET", "canary-value");
        case.finish(command, &words).ok();
    }
    let seen = fs::read_to_string(case.bundle.root().join("tmp/seen")).unwrap_or_default();
    let secret: Vec<_> = seen
        .lines()
        .filter(|line| line.contains("canary-value") || line.contains("state.json") || line.ends_with("/dhow"))
        .collect();
    assert!(secret.is_empty(), "{secret:?}");
}

/// CVE-2022-29162 and its kin.
#[test]
fn nothing_is_inheritable() {
    let ours = Runtime::ours();
    let case = Case::sleeping(&ours);
    case.begin();
    for user in ["0:0", "1000:1000"] {
        let out = case.call(&["exec", "-u", user, &case.id, "grep", "CapInh", "/proc/self/status"]).ok();
        assert_eq!(out.trim(), "CapInh:\t0000000000000000", "{user}");
    }
    let run = Case::new(&ours, &["grep", "CapInh", "/proc/self/status"]).run().ok();
    assert_eq!(run.trim(), "CapInh:\t0000000000000000");
}

/// CVE-2024-40635, CVE-2016-3697 and their kin: numbers that do not fit, and what is no number.
#[test]
fn an_odd_user_is_never_root() {
    let ours = Runtime::ours();
    for uid in [json!(4_294_967_295_u64), json!(4_294_967_296_u64), json!(-1), json!("0"), json!(1.5)] {
        let mut case = Case::new(&ours, &["id", "-u"]);
        case.bundle.config["process"]["user"]["uid"] = uid.clone();
        let output = case.run();
        assert!(!output.status.success(), "uid {uid}: {}", output.out);
    }
    let mut case = Case::new(&ours, &["id", "-u"]);
    case.bundle.config["process"]["user"]["uid"] = json!(2_147_483_648_u64);
    assert_eq!(case.run().ok().trim(), "2147483648");
    let case = Case::sleeping(&ours);
    case.begin();
    for user in ["4294967296", "4294967295", "1e3", "-1", "0:0x", "1000:", ":0", " 0", "0 ", "+0", "0x0"] {
        let output = case.call(&["exec", "-u", user, &case.id, "id", "-u"]);
        assert!(!output.status.success(), "exec -u {user:?}: {}", output.out);
    }
}

/// CVE-2024-9676 and its kin: /etc/passwd of an image is a pipe, a device, a link to one, or has no end.
#[test]
fn a_hostile_passwd_neither_blocks_nor_fills_memory() {
    let ours = Runtime::ours();
    let spoils: [fn(&Path); 4] = [
        |path| {
            rustix::fs::mknodat(
                rustix::fs::CWD,
                path,
                rustix::fs::FileType::Fifo,
                rustix::fs::Mode::from_raw_mode(0o644),
                0,
            )
            .unwrap()
        },
        |path| symlink("/dev/zero", path).unwrap(),
        |path| File::create(path).unwrap().set_len(8 << 30).unwrap(),
        |path| fs::create_dir(path).unwrap(),
    ];
    for spoil in spoils {
        let mut case = Case::new(&ours, &["sh", "-c", "echo home=$HOME"]);
        for file in ["etc/passwd", "etc/group"] {
            let path = case.bundle.root().join(file);
            fs::remove_file(&path).unwrap();
            spoil(&path);
        }
        case.bundle.config["process"]["user"]["uid"] = json!(1000);
        let output = case.run();
        assert!(output.status.success() || !output.err.is_empty(), "{output:?}");
    }
}

/// CVE-2025-23266: nothing of the image reaches the environment of a hook.
#[test]
fn hooks_get_only_their_own_environment() {
    let mut case = Case::new(&Runtime::ours(), &["true"]);
    let log = case.path().join("env");
    case.bundle.config["process"]["env"] = json!(["PATH=/bin", "LD_PRELOAD=/evil.so", "FROM_IMAGE=1"]);
    let script = format!("env | sort >> {}; pwd >> {}", log.display(), log.display());
    let hook = json!([{"path": "/bin/sh", "args": ["sh", "-c", script]}]);
    case.bundle.config["hooks"] =
        json!({"prestart": hook, "createRuntime": hook, "createContainer": hook, "poststart": hook, "poststop": hook});
    case.bundle.save().unwrap();
    let mut command = case.command(&["run", &case.id]);
    command.env("FROM_CALLER", "1");
    case.finish(command, &["run"]).ok();
    let seen = fs::read_to_string(log).unwrap();
    assert!(!seen.contains("FROM_IMAGE") && !seen.contains("LD_PRELOAD") && !seen.contains("FROM_CALLER"), "{seen}");
}

/// runc 404181e4c: a program that ends at once is not waited for in vain.
#[test]
fn programs_that_end_at_once_do_not_hang_the_runtime() {
    let ours = Runtime::ours();
    let case = Case::new(&ours, &["true"]);
    case.bundle.save().unwrap();
    for number in 0..80 {
        let id = format!("{}-{number}", case.id);
        case.call(&["run", &id]).ok();
    }
    let keeper = Case::sleeping(&ours);
    keeper.begin();
    for _ in 0..60 {
        keeper.exec(&["true"]).ok();
    }
}

/// crun 1.29.1: modes and flags of mounts made by the new mount API.
#[test]
fn mounts_keep_their_modes_and_flags() {
    let script = "stat -c %a /dev/shm /dev /dev/mqueue /; ls -l /proc/self/exe | cut -c1; \
                  touch /sys/x 2>&1; grep -E ' (/proc|/sys|/dev|/dev/shm|/dev/pts) ' /proc/mounts | cut -d' ' -f2,4; stat -c %F /dev/null";
    let mut case = Case::new(&Runtime::ours(), &["sh", "-c", script]);
    fs::set_permissions(case.bundle.root(), fs::Permissions::from_mode(0o755)).unwrap();
    case.bundle.config["process"]["env"] = json!(["PATH=/bin"]);
    let out = case.run().ok();
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(lines[..4], ["1777", "755", "1777", "755"], "{out}");
    assert_eq!(lines[4], "l");
    assert!(lines[5].contains("Read-only file system"), "{out}");
    let flags =
        |path: &str| out.lines().find(|line| line.starts_with(&format!("{path} "))).unwrap_or_default().to_owned();
    for path in ["/proc", "/sys", "/dev/shm"] {
        for flag in ["nosuid", "nodev", "noexec"] {
            assert!(flags(path).contains(flag), "{path} lacks {flag}: {out}");
        }
    }
    assert!(flags("/sys").contains("ro,"), "{out}");
    assert!(flags("/dev").contains("nosuid") && flags("/dev/pts").contains("noexec"), "{out}");
    assert_eq!(lines.last(), Some(&"character special file"), "{out}");
}

/// crun 1.27.1: mounts made later on the host arrive where propagation was asked for, and nowhere else.
#[test]
fn later_mounts_of_the_host_propagate_as_asked() {
    let ours = Runtime::ours();
    let volume = tempfile::tempdir().unwrap();
    let mounted = |options: &[&str]| {
        let mut case = Case::sleeping(&ours);
        case.bundle.mount("bind", volume.path().to_str().unwrap(), "/vol", options);
        case.begin();
        case
    };
    let shell = |words: &str| assert!(std::process::Command::new("sh").args(["-c", words]).status().unwrap().success());
    let path = volume.path().display();
    shell(&format!("mount -t tmpfs tmpfs {path} && mount --make-shared {path} && mkdir {path}/later"));
    let (slave, private) = (mounted(&["rbind", "rslave"]), mounted(&["rbind", "rprivate"]));
    shell(&format!("mount -t tmpfs tmpfs {path}/later && touch {path}/later/file"));
    let seen = slave.exec(&["ls", "/vol/later"]);
    let unseen = private.exec(&["ls", "/vol/later"]);
    drop((slave, private));
    shell(&format!("umount {path}/later && umount {path}"));
    assert_eq!((seen.ok().trim().to_owned(), unseen.ok().trim().to_owned()), ("file".to_owned(), String::new()));
}

/// Errors while a container is paused leave it as it was, and never frozen for ever.
#[test]
fn nothing_stays_frozen() {
    let ours = Runtime::ours();
    let case = Case::sleeping(&ours);
    case.begin();
    case.call(&["pause", &case.id]).ok();
    assert!(!case.exec(&["true"]).status.success());
    // Refused on v1; on v2 the out-of-memory killer ends frozen processes, too.
    let _ = case.call(&["update", "--memory", "1", &case.id]);
    assert_ne!(case.status(), "running");
    let _ = case.call(&["kill", &case.id, "KILL"]);
    let _ = case.call(&["resume", &case.id]);
    case.await_status("stopped");
    case.call(&["delete", &case.id]).ok();
}

/// A runtime that is killed in the middle of `create` leaves something that `delete -f` removes whole.
#[test]
#[expect(clippy::disallowed_methods, reason = "not a wait for something: the point at which it dies is what varies")]
fn a_killed_create_can_be_cleaned_up() {
    let ours = Runtime::ours();
    for step in 0..40 {
        let case = Case::sleeping(&ours);
        case.bundle.save().unwrap();
        let mut command = case.command(&["create", &case.id]);
        let null = || File::options().read(true).write(true).open("/dev/null").unwrap();
        let mut child = command.stdout(null()).stderr(null()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_micros(300 * step));
        let _ = child.kill();
        let _ = child.wait();
        case.call(&["delete", "-f", &case.id]).ok();
    }
}

/// An interrupted `create` undoes what it did.
#[test]
fn an_interrupted_create_leaves_nothing() {
    let mut case = Case::sleeping(&Runtime::ours());
    let mark = case.path().join("mark");
    let script = format!("touch {}; exec sleep 1000", mark.display());
    case.bundle.config["hooks"]["createRuntime"] =
        json!([{"path": "/bin/sh", "args": ["sh", "-c", script], "timeout": 30}]);
    let said = case.path().join("said");
    case.bundle.save().unwrap();
    let null = || File::options().read(true).write(true).open("/dev/null").unwrap();
    let mut child =
        case.command(&["create", &case.id]).stdout(null()).stderr(File::create(&said).unwrap()).spawn().unwrap();
    within("the hook runs", || mark.exists());
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(!child.wait().unwrap().success());
    // Not after the hook has had its time.
    let said = fs::read_to_string(said).unwrap();
    assert!(said.contains("interrupted by a signal"), "{said}");
    case.call(&["delete", "-f", &case.id]).ok();
}
