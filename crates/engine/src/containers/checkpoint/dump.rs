//! From processes to files.

use super::description::{Description, null_name};
use super::folder::Draft;
use super::{Afterwards, mounts};
use crate::containers::neighbour::Joined;
use crate::containers::start::group_folder;
use crate::events::now;
use crate::groups::Group;
use crate::shelf::Cell;
use crate::streams::lock;
use crate::{Engine, Error, Result};
use container::{Container, NetworkMode, Status};
use criu::wire::{CgroupMode, ExternalMount, Kind, Options};
use criu::{CLONE_NEWNET, Session};
use oci::runtime::Spec;
use rustix::fs::FileType;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::PoisonError;

const LOG: &str = "dump.log";
/// CRIU's levels of its log: all that helps to find a fault.
const LOG_LEVEL: i32 = 4;
/// Lines of the log that are told.
const MOST_TOLD: usize = 4;

impl Engine {
    /// Writes the processes of a container that runs. The caller holds its turn.
    pub(super) fn dump(&self, cell: &Cell, program: &Path, draft: &Draft<'_>, afterwards: Afterwards) -> Result<()> {
        let record = cell.record();
        // Nobody comes into it meanwhile.
        let _alone = cell.freezing.write().unwrap_or_else(PoisonError::into_inner);
        let (pid, group) = live(cell)?;
        let description = self.describe(cell, &record, (pid, &group))?;
        description.write(draft.images())?;
        let asked = Options {
            pid: Some(pid),
            leave_running: Some(afterwards == Afterwards::GoesOn),
            link_remap: Some(true),
            external_mounts: description.mounts.keys().map(|point| external(point, point)).collect(),
            external: description.nulls.iter().map(|null| null_name(*null)).collect(),
            freeze_cgroup: Some(group_folder(&group)?.display().to_string()),
            ..common(&record, draft.images(), None, LOG)
        };
        let null = null()?;
        let mut session = Session::start(program, &[], [null.as_fd(); 3]).map_err(spoken)?;
        session.limit(session.pid(), criu::SILENCE);
        // CRIU kills what it has written, and no restart policy shall start it again.
        let before = self.mark(cell, afterwards);
        let done = session.ask(Kind::Dump, asked, |_, _| Ok::<_, criu::Error>(()));
        drop(session);
        done.map_err(|e| {
            // One that was ended had frozen it, and thaws it no more.
            if matches!(e, criu::Error::Silent { .. })
                && cell.status() == Status::Running
                && let Err(e) = group.thaw()
            {
                tracing::warn!("cannot thaw {}: {}", cell.id, base::chain(&e));
            }
            if let Some(before) = before {
                cell.change_silently(|state| state.stopped_by_user = before);
                self.house.save(cell);
            }
            why(e, draft.log(LOG))
        })
    }

    /// Of one that is to end, that the user wants it so. What it was before.
    fn mark(&self, cell: &Cell, afterwards: Afterwards) -> Option<bool> {
        if afterwards == Afterwards::GoesOn {
            return None;
        }
        let mut before = false;
        cell.change_silently(|state| before = std::mem::replace(&mut state.stopped_by_user, true));
        self.house.save(cell);
        Some(before)
    }

    fn describe(&self, cell: &Cell, record: &Container, (pid, group): (i32, &Group)) -> Result<Description> {
        let looked = |source| Error::Io { action: "look at the processes".into(), source };
        let spec = self.specification(record)?;
        Ok(Description {
            container: record.id.to_string(),
            image: record.image_id.to_string(),
            created_at: now(),
            terminal: record.config.tty,
            open_stdin: record.config.open_stdin,
            pipes: cell.hub.pipes(),
            nulls: nulls(pid, &group.pids()?.unwrap_or_default()).map_err(looked)?,
            mounts: mounts::of_engine(pid, &spec).map_err(looked)?,
            ..Description::new()
        })
    }

    /// As at its start, for the places of its mounts.
    fn specification(&self, record: &Container) -> Result<Spec> {
        let user = container::user::Found { uid: 0, gid: 0, groups: vec![0], home: "/".into() };
        let around = self.surroundings(record, user, &self.name_folder(record), &Joined::default());
        Ok(container::spec::build(record, &around)?)
    }
}

fn live(cell: &Cell) -> Result<(i32, Group)> {
    let live = lock(&cell.live);
    let live = live.as_ref().ok_or_else(|| Error::NotRunning(cell.id.to_string()))?;
    Ok((live.pid, live.group.clone()))
}

fn external(key: &str, value: &str) -> ExternalMount {
    ExternalMount { key: key.to_owned(), value: value.to_owned() }
}

/// What a dump and a restoration ask for alike. `images` and `work` are descriptors of this process: they stay open until the end.
pub(in crate::containers) fn common(
    record: &Container,
    images: BorrowedFd<'_>,
    work: Option<BorrowedFd<'_>>,
    log: &str,
) -> Options {
    let own_network = record.config.network != NetworkMode::Host;
    Options {
        images: images.as_raw_fd(),
        work: work.map(|work| work.as_raw_fd()),
        log_level: Some(LOG_LEVEL),
        log_file: Some(log.to_owned()),
        notify_scripts: Some(true),
        orphan_terminal: Some(true),
        file_locks: Some(true),
        manage_cgroups: Some(true),
        // With `Ignore` the cgroup namespace is not made again (CRIU 3.17).
        cgroup_mode: Some(CgroupMode::Soft.into()),
        // Its links and addresses are the engine's.
        empty_namespaces: own_network.then_some(CLONE_NEWNET),
        ..Options::default()
    }
}

/// For standard streams that nobody hears.
fn null() -> Result<File> {
    let open = File::options().read(true).write(true).open("/dev/null");
    open.map_err(|source| Error::Io { action: "open /dev/null".into(), source })
}

/// The host's /dev/null among the descriptors of a container: it is from outside, and CRIU is to be told. What else is from outside
/// CRIU refuses.
fn nulls(pid: i32, pids: &[i32]) -> io::Result<Vec<(u64, u64)>> {
    let own = mounts::numbers(pid)?;
    let mut found = Vec::new();
    for pid in pids.iter().chain([&pid]) {
        // One that has ended meanwhile has none.
        let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
        for entry in entries.flatten() {
            let number = entry.file_name();
            let null = null_of(*pid, &number.to_string_lossy()).filter(|(mount, _)| !own.contains(mount));
            found.extend(null.filter(|null| !found.contains(null)));
        }
    }
    Ok(found)
}

/// The numbers of mount and inode of a descriptor that is /dev/null.
fn null_of(pid: i32, number: &str) -> Option<(u64, u64)> {
    let file = std::fs::metadata(format!("/proc/{pid}/fd/{number}")).ok()?;
    let is_null =
        FileType::from_raw_mode(file.mode()) == FileType::CharacterDevice && file.rdev() == rustix::fs::makedev(1, 3);
    let info =
        if is_null { std::fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).ok()? } else { return None };
    let mount = info.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok())?;
    Some((mount, file.ino()))
}

/// What CRIU or the way to it says.
pub(in crate::containers) fn spoken(error: criu::Error) -> Error {
    Error::Checkpoint(base::chain(&error))
}

/// Why CRIU failed: its own words are in its log.
pub(in crate::containers) fn why(error: criu::Error, log: io::Result<File>) -> Error {
    let told = log.map(criu::errors).unwrap_or_default();
    let first = told.iter().take(MOST_TOLD).map(String::as_str).collect::<Vec<_>>().join("; ");
    match error {
        // What CRIU told besides stands in its log, too.
        criu::Error::Failed { kind, errno, .. } if !first.is_empty() => {
            Error::Checkpoint(format!("criu failed: type {kind:?} errno {errno}: {first}"))
        }
        other if first.is_empty() => spoken(other),
        other => Error::Checkpoint(format!("{}: {first}", base::chain(&other))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_dev_null_from_outside_is_told() {
        let null = File::open("/dev/null").unwrap();
        let zero = File::open("/dev/zero").unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        let of = |file: &File| null_of(own, &file.as_raw_fd().to_string());
        let (mount, inode) = of(&null).unwrap();
        assert!(mounts::numbers(own).unwrap().contains(&mount) && inode > 0);
        assert_eq!(of(&zero), None);
        assert_eq!(nulls(own, &[]).unwrap(), []);
    }

    #[test]
    fn a_failure_is_told_with_criu_s_own_words() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dump.log");
        std::fs::write(&path, "(00.1) Error (criu/x.c:1): Can't dump\n").unwrap();
        let error = || criu::Error::Failed { kind: Kind::Dump, errno: 52, told: String::new() };
        let told = why(error(), File::open(&path)).to_string();
        assert_eq!(told, "criu failed: type Dump errno 52: (00.1) Error (criu/x.c:1): Can't dump");
        assert_eq!(why(error(), Err(io::ErrorKind::NotFound.into())).to_string(), "criu failed: type Dump errno 52");
    }
}
