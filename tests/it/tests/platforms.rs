//! Several platforms: builds for them, one name for their images, what runs where, and what a machine without an emulator says.

use it::{Maker, Registry, Stage, busybox_root};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// One that no test machine is.
const OTHER: &str = "linux/s390x";

/// The beginning of an ELF file for s390x (64 bits, big-endian, machine 22) that no compiler makes: the padding is our own.
const PROGRAM: &[u8; 20] = b"\x7fELF\x02\x02\x01\x00dhowtest\x00\x02\x00\x16";

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn machine(stage: &Stage) -> String {
    format!("linux/{}", stage.dhow(["version", "-f", "{{.Server.Arch}}"]).ok().trim())
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    fs::write(path, text).expect("a file");
}

/// A context with a root for this machine and one whose programs are for another.
fn roots(stage: &Stage) -> PathBuf {
    let context = stage.folder().join("roots");
    let own = context.join(machine(stage).trim_start_matches("linux/"));
    busybox_root(&own).expect("a root");
    let other = context.join("s390x/bin");
    fs::create_dir_all(&other).expect("a folder");
    // As long as the kernel wants to see of a program.
    fs::write(other.join("busybox"), [&PROGRAM[..], &[0; 300]].concat()).expect("a program");
    fs::set_permissions(other.join("busybox"), fs::Permissions::from_mode(0o755)).expect("a mode");
    for name in ["sh", "cat", "echo", "ls"] {
        symlink("busybox", other.join(name)).expect("a name");
    }
    write(
        &context,
        "Dockerfile",
        "FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH/ /\nLABEL of=$TARGETARCH\nCMD [\"sh\"]\n",
    );
    context
}

/// `base:1` for this machine and another.
fn with_base(stage: &Stage) -> String {
    let machine = machine(stage);
    let both = format!("{machine},{OTHER}");
    stage.dhow(["build", "-q", "--platform", &both, "-t", "base:1", &shown(&roots(stage))]).ok();
    both
}

fn label(stage: &Stage, name: &str, platform: &[&str]) -> String {
    let words = [&["image", "inspect", "-f", "{{index .Config.Labels \"of\"}}"], platform, &[name]].concat();
    stage.docker(words).ok().trim().to_owned()
}

#[test]
fn one_name_has_an_image_for_each_platform() {
    let stage = Stage::bare();
    let machine = machine(&stage);
    let own = machine.trim_start_matches("linux/").to_owned();
    with_base(&stage);
    assert_eq!(label(&stage, "base:1", &[]), own);
    assert_eq!(label(&stage, "base:1", &["--platform", OTHER]), "s390x");
    assert_eq!(stage.docker(["images", "-q"]).ok().lines().count(), stage.dhow(["images", "-q"]).ok().lines().count());
    assert_eq!(stage.dhow(["images", "-q", "base"]).ok().lines().count(), 1);
    let refused = stage.docker(["image", "inspect", "--platform", "linux/riscv64", "base:1"]);
    assert!(
        refused.err.contains("was found but does not provide the specified platform (linux/riscv64)"),
        "{refused:?}"
    );
    // As docker's own command line asks for them.
    let tree = stage.docker(["images", "--tree"]).ok();
    assert!(tree.contains(&machine) && tree.contains(OTHER), "{tree}");

    // By way of a registry, and of an archive.
    let registry = Registry::start(&stage, Maker::Own, 5900);
    let name = format!("{}/multi:1", registry.address);
    stage.dhow(["tag", "base:1", &name]).ok();
    let said = stage.docker(["push", &name]).ok();
    assert!(!said.contains("Not all multiplatform-content is present"), "{said}");
    let archive = stage.folder().join("multi.tar");
    stage.docker(["save", "-o", &shown(&archive), "base:1"]).ok();
    stage.dhow(["rmi", "base:1", &name]).ok();
    assert_eq!(stage.dhow(["images", "-q", "base"]).ok(), "");
    stage.dhow(["pull", "-q", "--platform", OTHER, &name]).ok();
    assert_eq!(label(&stage, &name, &[]), "s390x");
    stage.dhow(["pull", "-q", &name]).ok();
    assert_eq!(
        (label(&stage, &name, &[]), label(&stage, &name, &["--platform", OTHER])),
        (own.clone(), "s390x".into())
    );
    stage.docker(["load", "-q", "-i", &shown(&archive)]).ok();
    assert_eq!((label(&stage, "base:1", &[]), label(&stage, "base:1", &["--platform", OTHER])), (own, "s390x".into()));
    // Nothing of them is left when the names are gone.
    stage.dhow(["rmi", "base:1", &name]).ok();
    stage.dhow(["builder", "prune", "-af"]).ok();
    let left: Vec<String> =
        stage.image_files().into_iter().filter(|path| path.contains("/sha256/") && path.len() > 60).collect();
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn a_build_takes_each_base_for_its_platform() {
    let stage = Stage::bare();
    let machine = machine(&stage);
    let both = with_base(&stage);
    let context = stage.folder().join("c");
    write(&context, "for-s390x", "big iron\n");
    write(&context, &format!("for-{}", machine.trim_start_matches("linux/")), "this machine\n");
    let text = "ARG TAG=1\n\
        FROM --platform=$BUILDPLATFORM base:$TAG AS tool\n\
        RUN echo made on $(cat /proc/sys/kernel/ostype) > /tool\n\
        FROM --platform=$BUILDPLATFORM base:$TAG AS cross\n\
        COPY --from=tool /tool /tool\n\
        ARG TARGETARCH\n\
        RUN echo cross for $TARGETARCH > /cross\n\
        FROM base:$TAG\n\
        ARG TARGETARCH\n\
        COPY for-$TARGETARCH /what\n\
        COPY --from=cross /tool /cross /\n";
    write(&context, "Dockerfile", text);
    let words = ["build", "--progress", "plain", "--no-cache", "--platform", &both, "-t", "app:1", &shown(&context)];
    let built = stage.dhow(words);
    let said = built.err.clone() + &built.out;
    built.ok();
    // The tool is made once, whatever it is for; what was made for each platform, for each.
    let begun = |part: &str| said.lines().filter(|line| line.contains(part) && line.contains("] RUN")).count();
    assert_eq!((begun("RUN echo made on"), begun("RUN echo cross for")), (1, 2), "{said}");
    assert_eq!(said.matches("exporting manifest list").count(), 1, "{said}");
    for (platform, what, cross) in [
        (machine.as_str(), "this machine\n", format!("cross for {}\n", machine.trim_start_matches("linux/"))),
        (OTHER, "big iron\n", "cross for s390x\n".to_owned()),
    ] {
        let id = stage.dhow(["create", "--platform", platform, "app:1"]).ok();
        for (file, expected) in [("/what", what), ("/cross", cross.as_str()), ("/tool", "made on Linux\n")] {
            let to = stage.folder().join("got");
            stage.dhow(["cp", &format!("{}:{file}", id.trim()), &shown(&to)]).ok();
            assert_eq!(fs::read_to_string(&to).expect("a file"), expected, "{platform} {file}");
        }
        stage.dhow(["rm", id.trim()]).ok();
    }
    // All of it is known the second time.
    let again = stage.dhow(["build", "--progress", "plain", "--platform", &both, "-t", "app:2", &shown(&context)]);
    let said = again.err.clone() + &again.out;
    again.ok();
    assert!(!said.contains("made on") || said.contains("CACHED"), "{said}");
    let id = |name: &str| stage.dhow(["image", "inspect", "-f", "{{.Id}}", name]).ok();
    assert_eq!(id("app:1"), id("app:2"));
    // Files are in the folder of what they are for, also where all of it stands on this machine's image.
    let out = stage.folder().join("out");
    let output = format!("type=local,dest={}", shown(&out));
    stage.dhow(["build", "-q", "--platform", &both, "--target", "cross", "-o", &output, &shown(&context)]).ok();
    assert_eq!(fs::read_to_string(out.join("linux_s390x/cross")).expect("a file"), "cross for s390x\n");
}

#[test]
fn bases_of_other_platforms_come_from_the_registry_and_leave_local_names_alone() {
    let stage = Stage::bare();
    let own = machine(&stage).trim_start_matches("linux/").to_owned();
    with_base(&stage);
    let registry = Registry::start(&stage, Maker::Own, 5901);
    let name = format!("{}/base:1", registry.address);
    stage.dhow(["tag", "base:1", &name]).ok();
    stage.dhow(["push", "-q", &name]).ok();
    stage.dhow(["rmi", "base:1", &name]).ok();
    stage.dhow(["pull", "-q", &name]).ok();
    let context = stage.folder().join("c");
    write(&context, "Dockerfile", &format!("FROM {name}\nLABEL built=yes\n"));
    stage.dhow(["build", "-q", "--platform", OTHER, "-t", "app:1", &shown(&context)]).ok();
    assert_eq!(label(&stage, "app:1", &[]), "s390x");
    assert_eq!(label(&stage, &name, &[]), own);
}

/// An emulator that is registered as long as this lives: for programs that only this test makes.
struct Emulator {
    entry: PathBuf,
}

impl Emulator {
    fn register(stage: &Stage) -> Emulator {
        let at = stage.folder().join("binfmt");
        fs::create_dir(&at).expect("a folder");
        stage.tool("mount", ["-t", "binfmt_misc", "binfmt_misc", &shown(&at)]).ok();
        // The mount is in the stage's namespace, and goes with it.
        let at = PathBuf::from(format!("/proc/{}/root{}", stage.holder_pid(), shown(&at)));
        let name = format!("dhow-it-{}", std::process::id());
        let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).exists());
        let magic: String = PROGRAM.iter().map(|byte| format!("\\x{byte:02x}")).collect();
        // The kernel's registry opens the program now (F): containers do not have it.
        let line = format!(":{name}:M::{magic}::{}:F", busybox.expect("apt-get install busybox-static"));
        let emulator = Emulator { entry: at.join(name) };
        fs::write(at.join("register"), line).expect("an emulator can be registered");
        emulator
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = fs::write(&self.entry, "-1");
    }
}

#[test]
fn programs_of_another_platform_run_where_an_emulator_is_registered() {
    let stage = Stage::bare();
    let machine = machine(&stage);
    let both = with_base(&stage);
    let context = stage.folder().join("c");
    write(
        &context,
        "Dockerfile",
        "FROM base:1\nARG TARGETPLATFORM\nRUN echo $TARGETPLATFORM > /made\nCMD [\"cat\", \"/made\"]\n",
    );
    let words = ["build", "--progress", "plain", "--platform", &both, "-t", "app:1", &shown(&context)];

    let refused = stage.dhow(words);
    let said = refused.err + &refused.out;
    assert_ne!(refused.code, 0);
    assert!(said.contains("exec format error") && said.contains("no emulator for linux/s390x is registered"), "{said}");
    assert!(said.contains("qemu-user-static"), "{said}");
    assert_eq!(stage.dhow(["images", "-q", "app"]).ok(), "");

    let emulator = Emulator::register(&stage);
    stage.dhow(words).ok();
    assert_eq!(stage.dhow(["run", "--rm", "app:1"]).ok(), format!("{machine}\n"));
    let ran = stage.dhow(["run", "--rm", "--platform", OTHER, "app:1"]);
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("linux/s390x\n", ""));
    assert_eq!(stage.docker(["run", "--rm", "--platform", OTHER, "app:1", "echo", "there"]).ok(), "there\n");
    drop(emulator);
    assert_eq!(stage.dhow(["ps", "-aq"]).ok(), "");
}

#[test]
fn one_platform_can_be_removed_or_pushed_alone() {
    let stage = Stage::bare();
    let own = machine(&stage).trim_start_matches("linux/").to_owned();
    with_base(&stage);
    let refused = stage.dhow(["rmi", "--platform", OTHER, "base:1"]);
    assert!(refused.err.contains("to force delete"), "{refused:?}");
    let id = stage.dhow(["create", "--platform", OTHER, "base:1"]).ok();
    let used = stage.dhow(["rmi", "-f", "--platform", OTHER, "base:1"]);
    assert!(used.err.contains("is used by a container"), "{used:?}");
    stage.dhow(["rm", id.trim()]).ok();
    let registry = Registry::start(&stage, Maker::Own, 5902);
    let name = format!("{}/multi:1", registry.address);
    stage.dhow(["tag", "base:1", &name]).ok();
    stage.docker(["push", "-q", "--platform", OTHER, &name]).ok();
    stage.dhow(["rmi", "-f", "--platform", OTHER, "base:1"]).ok();
    assert_eq!(label(&stage, "base:1", &[]), own);
    assert_ne!(stage.docker(["image", "inspect", "--platform", OTHER, "base:1"]).code, 0);
    // Not all of it is here any more: what is here is pushed, and docker tells of it.
    let said = stage.docker(["push", &name]).ok();
    assert!(said.contains("Not all multiplatform-content is present"), "{said}");
    stage.dhow(["rmi", "-f", "--platform", &machine(&stage), "base:1"]).ok();
    assert_eq!(stage.dhow(["images", "-q", "base"]).ok(), "");
}

#[test]
fn the_engines_own_registry_serves_indexes() {
    let stage = Stage::bare();
    let own = machine(&stage).trim_start_matches("linux/").to_owned();
    with_base(&stage);
    // What was built is kept as trees, from which the registry makes the layers.
    let (root, host) = (shown(&stage.data_root()), stage.host());
    let registry = Registry::serve(&stage, "127.0.0.1:5903", &["--data-root", &root, "--host", &host]);
    let other = Stage::bare();
    // The other engine is in a network of its own: files are the way.
    let copied = stage.folder().join("copied");
    let from = format!("docker://{}/base:1", registry.address);
    let words = ["copy", "-q", "--all", "--src-tls-verify=false", &from, &format!("oci:{}:base:1", shown(&copied))];
    stage.tool("skopeo", words).ok();
    let archive = stage.folder().join("copied.tar");
    stage.tool("tar", ["-C", &shown(&copied), "-cf", &shown(&archive), "."]).ok();
    other.dhow(["load", "-q", "-i", &shown(&archive)]).ok();
    assert_eq!((label(&other, "base:1", &[]), label(&other, "base:1", &["--platform", OTHER])), (own, "s390x".into()));
}

#[test]
fn a_killed_engine_has_an_index_whole_or_not_at_all() {
    let mut stage = Stage::bare();
    let machine = machine(&stage);
    let context = roots(&stage);
    let both = format!("{machine},{OTHER}");
    stage.dhow(["build", "-q", "--platform", &both, "-t", "base:1", &shown(&context)]).ok();
    let archive = stage.folder().join("base.tar");
    stage.dhow(["save", "-o", &shown(&archive), "base:1"]).ok();
    stage.dhow(["rmi", "base:1"]).ok();
    for round in 0..6_u64 {
        let mut load = stage.dhow_command(["load", "-q", "-i", &shown(&archive)]).spawn().expect("dhow runs");
        // Somewhere on the way; where exactly is chance.
        let since = std::time::Instant::now();
        while since.elapsed() < std::time::Duration::from_millis(round * 15) {
            std::thread::yield_now();
        }
        stage.kill_engine();
        load.wait().expect("dhow ends");
        stage.start_engine();
        let checked = stage.dhow(["system", "fsck"]);
        assert_eq!(checked.code, 0, "{checked:?}");
        if !stage.dhow(["images", "-q", "base"]).ok().is_empty() {
            assert_eq!(label(&stage, "base:1", &["--platform", OTHER]), "s390x");
            assert_eq!(label(&stage, "base:1", &["--platform", &machine]), machine.trim_start_matches("linux/"));
            stage.dhow(["rmi", "base:1"]).ok();
        }
    }
}
