//! CRIU, the external program that writes processes into files and makes processes of them again.
//!
//! It is spoken to as `criu swrk`, by its own protocol: only there come the points of the way at which namespaces can be set up and
//! state can be saved, the master of an orphaned terminal, and a restored process that is a child of CRIU's own parent. Its command
//! line has none of these.
//!
//! ```text
//!   Session::start(program) ──► CRIU is a child of this process ──┐
//!   pair(), another process spawns, Session::over(socket) ────────┴─► ask(Dump | Restore) ──Notify, answered──► outcome
//! ```
//!
//! It opens what the options name by number (`Options::images`) out of the process that made the socket.
#![forbid(unsafe_code)]

mod limit;
pub mod session;
pub mod wire;

pub use limit::SILENCE;
pub use session::{Session, pair, spawn};

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;

/// namespaces(7): the network of a container is configured by others.
pub const CLONE_NEWNET: u32 = 0x4000_0000;

/// Why CRIU did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot make a socket for criu")]
    Socket(#[source] io::Error),
    #[error("cannot pass the standard streams")]
    Streams(#[source] io::Error),
    #[error("cannot start {program}")]
    Start { program: String, source: io::Error },
    #[error("cannot ask criu")]
    Ask(#[source] io::Error),
    #[error("cannot hear criu")]
    Hear(#[source] io::Error),
    #[error("criu ended without an answer")]
    Ended,
    #[error(
        "criu said nothing and did nothing for {seconds} s, and was ended: the container's processes may not go on"
    )]
    Silent { seconds: u64 },
    #[error("cannot understand criu")]
    Understand(#[source] prost::DecodeError),
    #[error("criu failed: type {kind:?} errno {errno}{told}")]
    Failed { kind: wire::Kind, errno: i32, told: String },
    #[error("criu answered {answer:?} to {kind:?}")]
    Answer { answer: wire::Kind, kind: wire::Kind },
}

/// The first `criu` in PATH; never that of the folder this process happens to be in.
pub fn find() -> Option<PathBuf> {
    find_in(&std::env::var_os("PATH").unwrap_or_default())
}

fn find_in(path: &OsStr) -> Option<PathBuf> {
    let folders = std::env::split_paths(path).filter(|folder| folder.is_absolute());
    folders.map(|folder| folder.join("criu")).find(|program| program.is_file())
}

/// Lines of a log that are told, and how much of it is looked at, in bytes.
const MOST_LINES: usize = 20;
const MOST_LOG: u64 = 64 << 20;

/// What CRIU's log says of errors.
pub fn errors(log: impl Read) -> Vec<String> {
    let lines = BufReader::new(log.take(MOST_LOG)).split(b'\n').map_while(io::Result::ok);
    let lines = lines.map(|line| String::from_utf8_lossy(&line).into_owned());
    lines.filter(|line| line.contains("Error")).take(MOST_LINES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn criu_is_looked_for_in_absolute_folders_only() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("criu");
        std::fs::write(&program, "").unwrap();
        let path = folder.path().display();
        assert_eq!(find_in(OsStr::new(&format!(":.:/nowhere:{path}"))), Some(program));
        assert_eq!(find_in(OsStr::new(":.:src/..")), None);
        assert_eq!(find_in(OsStr::new("")), None);
    }

    #[test]
    fn a_log_is_asked_for_errors_only() {
        let log = b"(00.1) Dumping\n(00.2) Error (criu/files.c:1): cannot \xff\n(00.3) Warn\n";
        let told = errors(log.as_slice());
        assert_eq!(told.len(), 1);
        assert!(told[0].contains("criu/files.c:1"));
    }
}
