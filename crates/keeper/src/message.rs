//! The control protocol: a length-prefixed postcard message, with file descriptors by SCM_RIGHTS on its first byte.
//!
//! The engine asks with a number, the keeper answers with the same number, in any order; events carry no number.
//! File descriptors that a message speaks of are listed in the order the fields say.
//!
//! ```text
//!   engine                       keeper
//!     │ ◄────── hello(VERSION) ──  │   first
//!     │ ── hello(version) ──────►  │   that of the keeper
//!     │ ◄── Found, Found, ... ───  │   every process it has
//!     │ ◄──────── Ready ─────────  │   fds: the journal; from now on the engine pumps
//!     │ ── Asked ──────────────►   │
//!     │ ◄───── Answer, Event ────  │
//! ```

use base::Id;
use runtime::{Failure, ParkPlan, Plan};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The version of this protocol. A keeper says its own first; the engine answers with the one that is spoken then, which is the
/// older of both: a keeper may be older than its engine, and has containers that must not end for that.
///
/// 2: `Restore` and `Restored`.
pub const VERSION: u32 = 2;

/// The oldest version that is spoken.
pub const OLDEST: u32 = 1;

/// Standard streams of a container or an exec.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stdio {
    /// A pipe that stays open until `CloseStdin`; else /dev/null.
    pub stdin: bool,
    /// stdin, stdout and stderr are one pseudo terminal.
    pub terminal: bool,
}

/// How a process ended, wait(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    Code(u8),
    Signal(u8),
}

impl Exit {
    /// As a shell says it: the code, or 128 + signal.
    pub fn shell_code(self) -> i32 {
        match self {
            Exit::Code(code) => code.into(),
            Exit::Signal(signal) => 128 + i32::from(signal),
        }
    }
}

/// What the file descriptors of an `Exec` are; the wire form of [`sys::CgroupEntry`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CgroupFds {
    /// Each is a `tasks` of v1, open for writing.
    V1,
    /// One, the directory of a v2 cgroup.
    V2,
    /// Those of v1, then one of v2.
    Hybrid,
    /// There are none: it is born in the keeper's cgroup.
    Inherit,
}

/// What the engine asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// Make a parked process. fds: those the plan names. Answer: `Parked` or `Failed`.
    Park { plan: ParkPlan },
    /// Let a parked process go.
    Unpark { pid: i32 },
    /// Turn a parked process into the container `key`. fds: those the plan names. Answer: `Started` or `Failed`.
    Launch { key: Id, parked: i32, plan: Box<Plan>, stdio: Stdio, log: logs::Target },
    /// Run one more process in container `container`. fds: see `CgroupFds`. Answer: `Started` or `Failed`.
    Exec { key: Id, container: Id, plan: Box<runtime::ProcessPlan>, cgroup: CgroupFds, stdio: Stdio },
    /// Close the keeper's end of a process's stdin (the engine closes its own).
    CloseStdin { key: Id },
    /// The exit was recorded: forget it.
    Release { key: Id },
    /// Answered at once.
    Ping,
    /// Start CRIU as a child, with the process's ends of the streams as its own: what it restores, and passes on as a sibling of
    /// itself, will be the keeper's child, too. fds: CRIU's end of its conversation with the engine. Answer: `Restoring`.
    Restore { key: Id, program: PathBuf, stdio: Stdio, log: logs::Target },
    /// CRIU has restored container `key`, and waits. fds: the pty master, if it has one. Answer: `Started`.
    Restored { key: Id, pid: i32 },
}

/// What the keeper answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// fds: user namespace (only when it is not the host's), network namespace.
    Parked {
        pid: i32,
        own_user: bool,
    },
    /// fds: pidfd, then stdin (if asked), stdout, stderr; or pidfd, pty master.
    Started {
        pid: i32,
    },
    Failed(Failure),
    /// No such process, or a broken request.
    Refused(String),
    Done,
    /// CRIU's process.
    Restoring {
        pid: i32,
    },
}

/// What the keeper tells unasked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// `at`: nanoseconds since the epoch. Comes after the `Started` of the same process.
    Exited { key: Id, exit: Exit, at: i64 },
}

/// A process that a new engine finds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Adopted {
    pub key: Id,
    pub pid: i32,
    /// The container an exec belongs to.
    pub container: Option<Id>,
    pub stdio: Stdio,
    pub log: logs::Target,
    /// Nanoseconds since the epoch.
    pub started_at: i64,
    pub exited: Option<(Exit, i64)>,
}

/// A request with its number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    pub number: u64,
    pub request: Request,
}

/// Everything the keeper says after its hello.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Told {
    Answer {
        number: u64,
        reply: Reply,
    },
    Event(Event),
    /// fds: none when it has exited and its output is all in the log; else pidfd, then for a container as for `Started`,
    /// stdin only while it is open. The streams of an exec died with the engine that asked for it.
    Found(Box<Adopted>),
    /// fds: those of [`logs::pump::Journal::fds`].
    Ready,
}
