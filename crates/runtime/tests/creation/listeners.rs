//! Filters that ask a listener.

use crate::Test;
use crate::bundle::{Bundle, Made, Pipes};
use oci::runtime::{Seccomp, SeccompRule, Spec};
use oci::state::{ContainerProcessState, Status};
use runtime::create::{CreateError, Milestone};
use rustix::net::{AddressFamily, RecvFlags, SocketAddrUnix, SocketFlags, SocketType};
use std::os::fd::{AsFd, OwnedFd};
use sys::CgroupEntry;

pub const TESTS: &[Test] = &[
    ("a_listener_gets_the_descriptor_and_the_state", listener),
    ("calls_of_the_runtime_itself_may_be_asked_about", important),
    ("without_a_listener_there_is_no_container", nobody),
    ("a_filter_without_questions_needs_no_listener", no_question),
];

fn spec(bundle: &Bundle, args: &[&str], names: &[&str]) -> Spec {
    let mut spec = Bundle::spec(args);
    let rule = SeccompRule {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        action: "SCMP_ACT_NOTIFY".into(),
        ..SeccompRule::default()
    };
    spec.linux.as_mut().unwrap().seccomp = Some(Seccomp {
        default_action: "SCMP_ACT_ALLOW".into(),
        listener_path: bundle.home.path().join("agent").display().to_string(),
        listener_metadata: "data".into(),
        syscalls: vec![rule],
        ..Seccomp::default()
    });
    spec
}

fn agent(bundle: &Bundle) -> OwnedFd {
    let path = bundle.home.path().join("agent");
    let _ = std::fs::remove_file(&path);
    let agent = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
    rustix::net::bind(&agent, &SocketAddrUnix::new(path).unwrap()).unwrap();
    rustix::net::listen(&agent, 1).unwrap();
    agent
}

fn received(agent: &OwnedFd) -> (ContainerProcessState, OwnedFd) {
    crate::world::readable(agent.as_fd());
    let connection = rustix::net::accept_with(agent, SocketFlags::CLOEXEC).unwrap();
    let (mut bytes, mut fds) = (vec![0; 64 << 10], Vec::new());
    let read = sys::recv_with_fds(connection.as_fd(), &mut bytes, &mut fds, RecvFlags::empty()).unwrap();
    (serde_json::from_slice(&bytes[..read]).unwrap(), fds.pop().unwrap())
}

/// Runs a container whose listener goes away at once: what it is asked is ENOSYS then, seccomp_unotify(2).
fn run(bundle: &Bundle, spec: &Spec) -> (ContainerProcessState, Made) {
    let agent = agent(bundle);
    let (pipes, state) = (Pipes::new(), bundle.state());
    let creation = bundle.creation(spec, &state, pipes.streams());
    let mut begun = creation.fork(crate::bundle::zygote(spec), &CgroupEntry::Inherit).unwrap().furnish().unwrap();
    let (out, err) = pipes.ours();
    assert!(matches!(begun.wait().unwrap(), Milestone::Started { .. }));
    let (told, listener) = received(&agent);
    drop(listener);
    (told, Made { begun, out, err, master: None })
}

fn listener(bundle: &Bundle) {
    let spec = spec(bundle, &["sh", "-c", "mkdir /dev/shm/x; echo $?"], &["mkdir"]);
    let (told, made) = run(bundle, &spec);
    assert_eq!((told.pid, told.state.pid, told.state.status), (made.begun.pid(), made.begun.pid(), Status::Running));
    assert_eq!((told.metadata.as_str(), told.fds.as_slice()), ("data", ["seccompFd".to_owned()].as_slice()));
    let ended = made.end();
    assert_eq!(ended.out, "1\n");
    assert!(ended.err.contains("Function not implemented"), "{}", ended.err);
}

/// read(2) is what the process waits with until its listener was fetched.
fn important(bundle: &Bundle) {
    let spec = spec(bundle, &["true"], &["sendmsg", "recvmsg", "sendto"]);
    let (_, made) = run(bundle, &spec);
    assert_eq!(made.end().code, 0);
}

fn nobody(bundle: &Bundle) {
    let _ = std::fs::remove_file(bundle.home.path().join("agent"));
    let told = bundle.run(&spec(bundle, &["true"], &["mkdir"])).unwrap_err().to_string();
    assert!(told.starts_with("failed to connect with seccomp agent"), "{told}");
    let mut unnamed = spec(bundle, &["true"], &["mkdir"]);
    unnamed.linux.as_mut().unwrap().seccomp.as_mut().unwrap().listener_path.clear();
    assert!(matches!(bundle.run(&unnamed), Err(CreateError::Prepare(_))));
}

fn no_question(bundle: &Bundle) {
    let mut spec = spec(bundle, &["sh", "-c", "mkdir /dev/shm/x"], &["mkdir"]);
    spec.linux.as_mut().unwrap().seccomp.as_mut().unwrap().syscalls[0].action = "SCMP_ACT_ALLOW".into();
    assert_eq!(bundle.run(&spec).unwrap().code, 0);
}
