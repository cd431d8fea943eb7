//! Results that come back: archives into files or stdout, files into a folder and never outside of it, whatever the engine sends.

use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::thread::JoinHandle;

use api::types::BuildOption;
use archive::pipe::Source;
use archive::{Destination, Replacing};
use rustix::fs::{CWD, Mode, OFlags};

use crate::failure::Failure;
use crate::verbs::sink::Sink;

/// Where one output goes.
pub enum Receiver {
    /// It stays with the engine.
    Nowhere,
    Archive(Option<Sink>),
    Files(Option<Files>),
}

/// A thread that writes files.
pub struct Files {
    pipe: Source,
    thread: JoinHandle<Result<(), archive::Error>>,
}

impl Receiver {
    /// Looks whether what is to come can be written, before anything is built.
    pub fn of(output: &BuildOption) -> Result<Receiver, Failure> {
        let dest = output.attributes.get("dest").map(String::as_str).filter(|dest| !dest.is_empty());
        let as_folder = output.attributes.get("tar").is_some_and(|text| text == "false");
        if output.attributes.get("mode").is_some_and(|mode| mode == "delete") {
            return Err(Failure::said("mode=delete is not supported: empty the folder before the build"));
        }
        match (output.kind.as_str(), dest) {
            ("image" | "registry" | "cacheonly" | "docker", None) => Ok(Receiver::Nowhere),
            ("image" | "registry" | "cacheonly", Some(_)) => {
                Err(Failure::said(format!("an output of type {} has no dest: it does not come here", output.kind)))
            }
            ("local", Some(dest)) => Files::into(dest).map(Some).map(Receiver::Files),
            ("oci" | "docker", Some("-")) if as_folder => Err(Failure::said("dest cannot be stdout of a folder")),
            ("oci" | "docker", Some(dest)) if as_folder => Files::into(dest).map(Some).map(Receiver::Files),
            ("oci" | "docker" | "tar", Some("-")) => {
                if rustix::termios::isatty(rustix::stdio::stdout()) {
                    return Err(Failure::said(format!(
                        "dest file is required for {} exporter. refusing to write to console",
                        output.kind
                    )));
                }
                Ok(Receiver::Archive(Some(Sink::Stdout)))
            }
            ("oci" | "docker" | "tar", Some(dest)) => {
                let doing = format!("cannot write the output {dest}");
                Ok(Receiver::Archive(Some(Sink::open(Some(dest), &doing)?)))
            }
            ("local" | "oci" | "tar", None) => {
                Err(Failure::said(format!("dest is required for {} output", output.kind)))
            }
            (other, _) => Err(Failure::said(format!(
                "unknown output type {other:?}: use image, registry, docker, oci, local, tar or cacheonly"
            ))),
        }
    }

    /// Whether stdout is taken.
    pub fn is_stdout(&self) -> bool {
        matches!(self, Receiver::Archive(Some(Sink::Stdout)))
    }

    /// The next bytes.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match self {
            Receiver::Archive(Some(sink)) => Ok(sink.write(bytes)?),
            Receiver::Files(Some(files)) => {
                // When the other end is gone its own words tell why.
                if files.pipe.write_all(bytes).is_err() {
                    return self.whole();
                }
                Ok(())
            }
            _ => Err(Failure::said("the engine sends what was not asked for")),
        }
    }

    /// Nothing more comes.
    pub fn whole(&mut self) -> Result<(), Failure> {
        match self {
            Receiver::Nowhere => Ok(()),
            Receiver::Archive(sink) => match sink.take() {
                Some(sink) => sink.whole(),
                None => Err(Failure::said("the engine ends an output twice")),
            },
            Receiver::Files(files) => match files.take() {
                Some(files) => files.end(),
                None => Err(Failure::said("the engine ends an output twice")),
            },
        }
    }
}

impl Files {
    fn into(dest: &str) -> Result<Files, Failure> {
        if dest == "-" {
            return Err(Failure::said("dest cannot be stdout for local output: use type=tar"));
        }
        let wrong = |cause: io::Error| Failure::said(format!("cannot write into {dest}: {cause}"));
        fs::create_dir_all(dest).map_err(wrong)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = rustix::fs::openat(CWD, Path::new(dest), flags, Mode::empty());
        let open = open.map_err(|errno| wrong(errno.into()))?;
        let (pipe, source) = archive::pipe::pipe();
        let named = dest.to_owned();
        let thread = std::thread::spawn(move || unpack(source, &open, &named));
        Ok(Files { pipe, thread })
    }

    fn end(self) -> Result<(), Failure> {
        // What stands behind the end of a tar is nobody's.
        let _ = self.pipe.finish();
        match self.thread.join() {
            Ok(done) => done.map_err(|error| Failure::said(base::chain(&error))),
            Err(_) => Err(Failure::said("the thread that writes files has failed")),
        }
    }
}

fn unpack(source: impl io::Read, folder: &OwnedFd, named: &str) -> Result<(), archive::Error> {
    let of = Some((rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()));
    // What links of the result point to is looked for in the folder.
    let (root, folder) = (folder.as_fd(), folder.as_fd());
    let replacing = Replacing::Anything;
    archive::copy_in(source, Destination { root, folder, path: "", named, renamed: None, owner: 0, of, replacing })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// One entry of a tar: a file with these bytes, or a link to them.
    fn entry(name: &str, kind: u8, content: &str) -> Vec<u8> {
        let mut head = [0_u8; 512];
        head[..name.len()].copy_from_slice(name.as_bytes());
        let size = if kind == b'0' { content.len() } else { 0 };
        head[100..107].copy_from_slice(b"0000644");
        head[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
        head[156] = kind;
        if kind != b'0' {
            head[157..157 + content.len()].copy_from_slice(content.as_bytes());
        }
        head[257..263].copy_from_slice(b"ustar\0");
        head[148..156].copy_from_slice(b"        ");
        let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
        head[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        let mut bytes = head.to_vec();
        if kind == b'0' {
            bytes.extend_from_slice(content.as_bytes());
            bytes.resize(bytes.len().next_multiple_of(512), 0);
        }
        bytes
    }

    fn output(kind: &str, dest: &Path) -> BuildOption {
        let attributes = BTreeMap::from([("dest".to_owned(), dest.display().to_string())]);
        BuildOption { kind: kind.to_owned(), attributes }
    }

    #[test]
    fn a_hostile_engine_writes_nothing_outside_of_the_folder() {
        for entries in [
            vec![entry("../canary", b'0', "broken")],
            vec![entry("d/../../canary", b'0', "broken")],
            vec![entry("out", b'2', ".."), entry("out/canary", b'0', "broken")],
            vec![entry("canary", b'1', "../canary"), entry("canary", b'0', "broken")],
        ] {
            let home = tempfile::tempdir().expect("a folder");
            let canary = home.path().join("canary");
            fs::write(&canary, "whole").expect("written");
            let mut receiver = Receiver::of(&output("local", &home.path().join("dest"))).expect("a receiver");
            let tar = [entries.concat(), vec![0; 1024]].concat();
            let _ = receiver.take(&tar).and_then(|()| receiver.whole());
            assert_eq!(fs::read_to_string(&canary).expect("there"), "whole");
            let beside = fs::read_dir(home.path()).expect("a folder").count();
            assert_eq!(beside, 2, "the canary and the destination");
        }
    }

    #[test]
    fn an_archive_appears_when_it_is_whole() {
        let home = tempfile::tempdir().expect("a folder");
        let path = home.path().join("x.tar");
        let mut receiver = Receiver::of(&output("oci", &path)).expect("a receiver");
        receiver.take(b"bytes").expect("taken");
        assert!(!path.exists());
        receiver.whole().expect("whole");
        assert_eq!(fs::read(&path).expect("there"), b"bytes");
        assert!(receiver.whole().is_err() && receiver.take(b"more").is_err());
    }

    #[test]
    fn what_goes_nowhere_is_not_taken() {
        let mut receiver =
            Receiver::of(&BuildOption { kind: "image".to_owned(), ..BuildOption::default() }).expect("one");
        assert!(receiver.take(b"bytes").is_err());
        assert!(receiver.whole().is_ok());
    }
}
