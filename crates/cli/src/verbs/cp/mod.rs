//! `cp`: files between a container and this machine.

mod local;
mod paths;

use api::client::{Answer, Payload, encode, query};
use api::types::PathStat;
use archive::Renamed;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use http::Method;
use std::io::Write;

use crate::failure::Failure;
use crate::grammar::{About, Needs};
use crate::session::Session;
use crate::show::{complain, human};
use crate::words::{Outcome, Verb};
use paths::{Ends, Is, Target};

/// Copies files.
#[derive(Debug, Args)]
pub struct Cp {
    /// Archive mode (copy all uid/gid information)
    #[arg(short, long)]
    archive: bool,
    /// Always follow symlinks in SRC_PATH
    #[arg(short = 'L', long)]
    follow_link: bool,
    /// Suppress progress output during copy. Progress output is automatically suppressed if no terminal is attached
    #[arg(short, long)]
    quiet: bool,
    #[arg(hide = true)]
    operands: Vec<String>,
}

/// Go's os.FileMode.
const FOLDER: u32 = 1 << 31;
const SYMLINK: u32 = 1 << 27;
/// Device, named pipe, socket.
const SPECIAL: u32 = 1 << 26 | 1 << 25 | 1 << 24;

/// Where the engine tells what is at a path.
const HEADER: &str = "x-docker-container-path-stat";

impl Verb for Cp {
    const ABOUT: About = About {
        name: "cp",
        usage: "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n        dhow cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
        does: "Copy files/folders between a container and the local filesystem\n\n\
               Use '-' as the source to read a tar archive from stdin\n\
               and extract it to a directory destination in a container.\n\
               Use '-' as the destination to stream a tar archive of a\n\
               container source to stdout.",
        needs: Needs::Exactly(2),
    };

    async fn run(self, session: &Session) -> Outcome {
        let [source, destination] = &self.operands[..] else { return Ok(1) };
        if source.is_empty() {
            return Err(Failure::said("source can not be empty"));
        }
        if destination.is_empty() {
            return Err(Failure::said("destination can not be empty"));
        }
        match Ends::of(source, destination)? {
            Ends::Out { container, from, to } => self.copy_out(session, container, from, to).await?,
            Ends::In { from, container, to } => self.copy_in(session, from, container, to).await?,
        }
        Ok(0)
    }
}

impl Cp {
    async fn copy_out(&self, session: &Session, container: &str, from: &str, to: &str) -> Result<(), Failure> {
        if to != "-" {
            local::check_output(to)?;
        }
        let mut from = from.to_owned();
        let mut name = None;
        if self.follow_link
            && let Ok(stat) = stat(session, container, &from).await
            && stat.mode & SYMLINK != 0
        {
            name = Some(paths::base(&from)).filter(|base| *base != paths::base(&stat.link_target)).map(str::to_owned);
            from = paths::with_end_of(&stat.link_target, &from);
        }
        let path = query(&format!("/containers/{}/archive", encode(container)), &[("path", Some(&from))]);
        let answer = session.client().call(Method::GET, &path, Payload::Empty).await?;
        if to == "-" {
            return to_stdout(answer).await;
        }
        let source = kind(told(&answer)?.mode);
        let (name_there, name) = (paths::base(&from).trim_matches('/'), name.as_deref());
        let target = local::target(to)?.for_source(source)?;
        let renamed = target.name.as_deref().or(name).map(|to| Renamed { from: name_there, to });
        let bytes = local::extract(answer, &target.folder, renamed).await?;
        self.say(bytes, &paths::absolute(to)?)
    }

    async fn copy_in(&self, session: &Session, from: &str, container: &str, to: &str) -> Result<(), Failure> {
        let there = destination(session, container, to).await?;
        if from == "-" {
            if !there.is_folder() {
                return Err(Failure::said(format!("destination \"{container}:{to}\" must be a directory")));
            }
            let (uploader, payload) = Payload::stream(None);
            std::thread::spawn(move || uploader.feed_all(std::io::stdin(), |_| {}));
            return self.put(session, container, &there.path, payload).await;
        }
        let source =
            local::Source::open(from, if self.follow_link { local::Links::Followed } else { local::Links::Kept })?;
        let target = there.for_source(source.is)?;
        let (folder, name) = (target.folder, target.name.unwrap_or_else(|| source.name.clone()));
        let (payload, sent) = source.packed(name);
        self.put(session, container, &folder, payload).await?;
        self.say(sent.bytes(), &format!("{container}:{to}"))
    }

    async fn put(&self, session: &Session, container: &str, path: &str, payload: Payload) -> Result<(), Failure> {
        let own = self.archive.then_some("true");
        let pairs = [("copyUIDGID", own), ("noOverwriteDirNonDir", Some("true")), ("path", Some(path))];
        let path = query(&format!("/containers/{}/archive", encode(container)), &pairs);
        Ok(session.client().call(Method::PUT, &path, payload).await?.bytes().await.map(drop)?)
    }

    fn say(&self, bytes: u64, place: &str) -> Result<(), Failure> {
        if !self.quiet && rustix::termios::isatty(rustix::stdio::stdout()) {
            let size = human::size(i64::try_from(bytes).unwrap_or(i64::MAX), 3);
            complain(&format!("Successfully copied {size} to {place}"));
        }
        Ok(())
    }
}

/// What the destination in a container is; one that cannot be looked at may still be made.
async fn destination(session: &Session, container: &str, to: &str) -> Result<Target, Failure> {
    let mut path = to.to_owned();
    let mut found = stat(session, container, to).await;
    if let Ok(stat_of_link) = &found
        && stat_of_link.mode & SYMLINK != 0
    {
        path.clone_from(&stat_of_link.link_target);
        found = stat(session, container, &path).await;
    }
    let Ok(stat) = found else { return Ok(Target { path, is: None }) };
    if stat.mode & SPECIAL != 0 {
        let kind = if stat.mode & 1 << 26 != 0 { "got a device" } else { "got an irregular file" };
        let text = format!("destination \"{container}:{to}\" must be a directory or a regular file: {kind}");
        return Err(Failure::said(text));
    }
    Ok(Target { path, is: Some(kind(stat.mode)) })
}

fn kind(mode: u32) -> Is {
    if mode & FOLDER != 0 { Is::Folder } else { Is::File }
}

async fn stat(session: &Session, container: &str, path: &str) -> Result<PathStat, Failure> {
    let path = query(&format!("/containers/{}/archive", encode(container)), &[("path", Some(path))]);
    let answer = session.client().call(Method::HEAD, &path, Payload::Empty).await?;
    let stat = told(&answer);
    answer.bytes().await?;
    stat
}

fn told(answer: &Answer<'_>) -> Result<PathStat, Failure> {
    let text = answer.header(HEADER).and_then(|text| STANDARD.decode(text).ok());
    let stat = text.and_then(|json| serde_json::from_slice(&json).ok());
    stat.ok_or_else(|| Failure::said("the engine does not say what is at this path"))
}

async fn to_stdout(mut answer: Answer<'_>) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    while let Some(bytes) = answer.chunk().await? {
        out.write_all(&bytes)?;
    }
    Ok(out.flush()?)
}
