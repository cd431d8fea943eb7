//! The runtime's own program cannot be written to from a container (CVE-2019-5736).

use crate::Test;
use crate::bundle::Bundle;
use oci::runtime::NamespaceKind;
use runtime::create::{Milestone, knock};
use std::os::fd::AsFd;
use std::process::{Command, ExitCode};
use sys::{CgroupEntry, SingleThread};

pub const TESTS: &[Test] = &[
    ("a_sealed_program_is_executed_once_more_with_the_same_words", words),
    ("a_user_without_rights_runs_a_sealed_copy", copy),
    ("a_privileged_container_cannot_write_to_the_runtime", attack),
];

const FACE: &str = "--sealed";

/// This program, called again by a test.
pub fn other_face() -> Option<ExitCode> {
    let mut words = std::env::args();
    let name = words.next()?;
    if words.next()? != FACE {
        return None;
    }
    runtime::seal_self().unwrap();
    match words.next()?.as_str() {
        "tell" => {
            let variable = std::env::var("SAID").unwrap();
            let flags = rustix::fs::statvfs("/proc/self/exe").unwrap().f_flag;
            let mount = flags.contains(rustix::fs::StatVfsMountFlags::RDONLY);
            let program = std::fs::read_link("/proc/self/exe").unwrap();
            println!("{name} {variable} {mount} {}", program.to_string_lossy().starts_with("/memfd:"));
        }
        "attack" => under_attack(words.next()?.into()),
        other => panic!("{other}"),
    }
    Some(ExitCode::SUCCESS)
}

fn tell(command: &mut Command) -> String {
    let output = command.args([FACE, "tell"]).env("SAID", "a=b").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn words(_: &Bundle) {
    use std::os::unix::process::CommandExt;
    assert_eq!(tell(Command::new("/proc/self/exe").arg0("called")), "called a=b true false\n");
}

fn copy(bundle: &Bundle) {
    use std::os::unix::process::CommandExt;
    let program = bundle.home.path().join("program");
    std::fs::copy("/proc/self/exe", &program).unwrap();
    let told = tell(Command::new(&program).arg0("called").uid(65534).gid(65534));
    std::fs::remove_file(&program).unwrap();
    assert_eq!(told, "called a=b false true\n");
}

fn attack(bundle: &Bundle) {
    let program = bundle.home.path().join("program");
    std::fs::copy("/proc/self/exe", &program).unwrap();
    let before = std::fs::read(&program).unwrap();
    // What the attacker's container still is after the runtime's end becomes ours.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    let output = Command::new(&program).args([FACE, "attack"]).arg(bundle.home.path()).output().unwrap();
    while rustix::process::wait(rustix::process::WaitOptions::empty()).is_ok() {}
    rustix::process::set_child_subreaper(None).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("Read-only file system") && said.lines().count() == 1, "{said}");
    assert!(std::fs::read(&program).unwrap() == before);
    std::fs::remove_file(&program).unwrap();
}

/// Holds the program open, tries to change its mount, and writes to it as soon as nobody runs it any more.
const ATTACK: &str = "exec 7< /proc/PID/exe || exit; touch /tmp/here
    mount -o remount,bind,rw /proc/self/fd/7 2>/dev/null && echo remounted
    mount --bind /proc/self/fd/7 /tmp/here 2>/dev/null && echo bound
    echo ready > /tmp/ready; n=0
    while test $n -lt 20000; do
        said=$( ( echo x >> /proc/self/fd/7 ) 2>&1 )
        case $said in *busy*) ;; *) break ;; esac
        n=$((n+1))
    done
    echo \"$said\"";

/// In the sealed program: a container with all rights, in the host's pid namespace, tries to get at the init of another.
fn under_attack(home: std::path::PathBuf) {
    let bundle = Bundle { thread: SingleThread::prove().unwrap(), home: tempfile::Builder::new().tempdir().unwrap() };
    std::os::unix::fs::symlink(home.join("rootfs"), bundle.home.path().join("rootfs")).unwrap();
    let (folder, gate) = bundle.gate();
    let victim = bundle.create(&Bundle::spec(&["true"]), &gate).unwrap();
    let script = ATTACK.replace("PID", &victim.begun.pid().to_string());
    let mut spec = Bundle::spec(&["sh", "-c", &script]);
    spec.mounts.push(crate::world::mount("/tmp", "tmpfs", &[]));
    let capabilities = spec.process.as_mut().unwrap().capabilities.as_mut().unwrap();
    for set in [&mut capabilities.bounding, &mut capabilities.effective, &mut capabilities.permitted] {
        set.extend(["CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"].map(str::to_owned));
    }
    let linux = spec.linux.as_mut().unwrap();
    linux.namespaces.retain(|space| space.kind != NamespaceKind::Pid);
    (linux.masked_paths, linux.readonly_paths) = (Vec::new(), Vec::new());
    let (state, out) = (bundle.state(), std::io::stdout());
    let null = std::fs::File::open("/dev/null").unwrap();
    let creation = bundle.creation(&spec, &state, [null.as_fd(), out.as_fd(), out.as_fd()]);
    let mut begun = creation.fork(crate::bundle::zygote(&spec), &CgroupEntry::Inherit).unwrap().furnish().unwrap();
    assert!(matches!(begun.wait().unwrap(), Milestone::Started { .. }));
    let ready = format!("/proc/{}/root/tmp/ready", begun.pid());
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while std::fs::metadata(&ready).is_err() {
        assert!(std::time::Instant::now() < deadline, "the attacker is not ready");
    }
    knock(folder.as_fd(), "gate").unwrap().unwrap();
    assert_eq!(victim.end().code, 0);
}
