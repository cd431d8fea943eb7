//! A bundle with a busybox tree, and what a runtime does with it.

use crate::world::{self, Ended, busybox_tree, read_all, reap};
use oci::runtime::{Namespace, NamespaceKind, Process, Root, Spec};
use oci::state::{State, Status};
use runtime::create::{Beginning, CreateError, Creation, Joining, Milestone, Way};
use runtime::{Failure, Target};
use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::pipe::{PipeFlags, pipe_with};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use sys::{CgroupEntry, SingleThread};

pub struct Bundle {
    pub thread: SingleThread,
    pub home: tempfile::TempDir,
}

/// Pipes for one process.
pub struct Pipes {
    null: OwnedFd,
    pub out: OwnedFd,
    pub err: OwnedFd,
    ends: [OwnedFd; 2],
}

/// A container that waits at its gate or runs.
pub struct Made {
    pub begun: Beginning,
    pub out: OwnedFd,
    pub err: OwnedFd,
    pub master: Option<OwnedFd>,
}

impl Pipes {
    pub fn new() -> Self {
        let (out, out_end) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let (err, err_end) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).unwrap();
        Self { null, out, err, ends: [out_end, err_end] }
    }

    pub fn streams(&self) -> [BorrowedFd<'_>; 3] {
        [self.null.as_fd(), self.ends[0].as_fd(), self.ends[1].as_fd()]
    }

    /// Only the process has the other ends from now on.
    pub fn ours(self) -> (OwnedFd, OwnedFd) {
        (self.out, self.err)
    }
}

/// A zygote of this program, as the runtime's command line has one.
pub fn zygote(spec: &Spec) -> runtime::Zygote {
    let zygote = runtime::Zygote::start().unwrap();
    zygote.prepare(spec).unwrap();
    zygote
}

impl Bundle {
    pub fn new() -> Self {
        let thread = SingleThread::prove().expect("one thread");
        let home = tempfile::Builder::new().prefix("dhow-creation-").tempdir().expect("a folder");
        std::fs::set_permissions(home.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        busybox_tree(&home.path().join("rootfs"));
        Self { thread, home }
    }

    pub fn path(&self) -> PathBuf {
        self.home.path().to_owned()
    }

    /// What `runc spec` would write: all namespaces but the user's.
    pub fn spec(args: &[&str]) -> Spec {
        let mut spec = world::spec(args);
        spec.root = Some(Root { path: "rootfs".into(), readonly: true });
        let linux = spec.linux.as_mut().unwrap();
        linux.namespaces.push(Namespace { kind: NamespaceKind::Network, path: None });
        (linux.uid_mappings, linux.gid_mappings) = (Vec::new(), Vec::new());
        spec.mounts.retain(|mount| mount.destination != "/sys/fs/cgroup");
        spec
    }

    pub fn state(&self) -> State {
        State {
            oci_version: oci::state::VERSION.into(),
            id: "box".into(),
            status: Status::Creating,
            pid: 0,
            bundle: self.path().display().to_string(),
            annotations: [("a".to_owned(), "b".to_owned())].into(),
        }
    }

    /// A gate in a folder whose path is longer than an address can be.
    pub fn gate(&self) -> (OwnedFd, OwnedFd) {
        let folder = self.home.path().join("x".repeat(120));
        let _ = std::fs::create_dir(&folder);
        let _ = std::fs::remove_file(folder.join("gate"));
        let folder = rustix::fs::open(&folder, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let gate =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        let address = SocketAddrUnix::new(format!("/proc/self/fd/{}/gate", folder.as_raw_fd())).unwrap();
        rustix::net::bind(&gate, &address).unwrap();
        rustix::net::listen(&gate, 8).unwrap();
        (folder, gate)
    }

    pub fn creation<'a>(&'a self, spec: &'a Spec, state: &'a State, streams: [BorrowedFd<'a>; 3]) -> Creation<'a> {
        let (gate, passed, way) = (None, Vec::new(), Way::default());
        Creation { spec, bundle: self.home.path(), gate, streams, passed, way, state }
    }

    /// Creates a container up to its gate.
    pub fn create(&self, spec: &Spec, gate: &OwnedFd) -> Result<Made, CreateError> {
        let (pipes, state) = (Pipes::new(), self.state());
        let mut creation = self.creation(spec, &state, pipes.streams());
        creation.gate = Some(gate.as_fd());
        let mut begun = creation.fork(zygote(spec), &CgroupEntry::Inherit)?.furnish()?;
        let (out, err) = pipes.ours();
        let Milestone::Created { master } = begun.wait()? else { panic!("not created") };
        Ok(Made { begun, out, err, master })
    }

    /// Runs a container without a gate to its end.
    pub fn run(&self, spec: &Spec) -> Result<Ended, CreateError> {
        let (pipes, state) = (Pipes::new(), self.state());
        let begun = self.creation(spec, &state, pipes.streams()).fork(zygote(spec), &CgroupEntry::Inherit)?;
        let mut begun = begun.furnish()?;
        let (out, err) = pipes.ours();
        let Milestone::Started { master } = begun.wait()? else { panic!("not started") };
        Ok(Made { begun, out, err, master }.end())
    }

    /// What a script in a container said.
    pub fn script(&self, script: &str) -> String {
        let ended = self.run(&Self::spec(&["sh", "-c", script])).expect("run");
        assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{}", ended.out);
        ended.out
    }

    /// Executes a process in a container to its end.
    pub fn exec(&self, target: &Beginning, process: &Process, spec: &Spec, way: Way) -> Result<Ended, CreateError> {
        let (pipes, state) = (Pipes::new(), self.state());
        let joining = Joining {
            target: Target { pid: target.pid(), pidfd: target.pidfd() },
            process,
            spec,
            cgroup: CgroupEntry::Inherit,
            streams: pipes.streams(),
            passed: Vec::new(),
            way,
            state: &state,
        };
        let mut begun = runtime::create::join(&self.thread, &joining)?;
        let (out, err) = pipes.ours();
        let mut milestone = begun.wait()?;
        if way.awaits_group {
            assert!(matches!(milestone, Milestone::Hooks), "{milestone:?}");
            let mounts = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/mnt")).unwrap();
            assert_eq!(mounts(&begun.pid().to_string()), mounts("self"), "it is inside already");
            begun.proceed().map_err(CreateError::Failed)?;
            milestone = begun.wait()?;
        }
        let Milestone::Started { master } = milestone else { panic!("not started") };
        Ok(Made { begun, out, err, master }.end())
    }
}

impl Made {
    pub fn end(self) -> Ended {
        let out = read_all(self.master.as_ref().unwrap_or(&self.out).as_fd());
        let err = read_all(self.err.as_fd());
        Ended { code: reap(self.begun.pid()), out, err }
    }
}

pub fn failure(error: CreateError) -> Failure {
    match error {
        CreateError::Failed(failure) => failure,
        CreateError::Prepare(error) => panic!("{error}"),
    }
}
