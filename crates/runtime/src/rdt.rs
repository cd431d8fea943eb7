//! Intel Resource Director Technology: a group of resctrl(5) for a container (Documentation/filesystems/resctrl.rst).
//!
//! ```text
//!  Group::make ──► add(pid) ──► ... ──► remove
//! ```
//!
//! A group that exists already, or that the specification names (`closID`), belongs to somebody else and is never removed.

use oci::runtime::IntelRdt;
use std::io;
use std::path::{Path, PathBuf};

/// Where the kernel's documentation mounts it.
const ROOT: &str = "/sys/fs/resctrl";

/// Why a group cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("intelRdt is specified in config, but Intel RDT is not enabled")]
    Disabled,
    #[error("invalid intelRdt.ClosID {0:?}")]
    Name(String),
    #[error("intelRdt.{what} is specified in config, but Intel RDT/{technique} is not enabled")]
    Lacking { what: &'static str, technique: &'static str },
    #[error("clos dir not accessible (must be pre-created when schemata, l3CacheSchema and memBwSchema are empty)")]
    NotMade { source: io::Error },
    /// `status`: the kernel's own words, if it has any.
    #[error("intelrdt: cannot write {}{}", path.display(), words(status))]
    Write { path: PathBuf, status: Option<String>, source: io::Error },
    #[error("intelrdt: cannot {action} {}", path.display())]
    Folder { action: &'static str, path: PathBuf, source: io::Error },
}

fn words(status: &Option<String>) -> String {
    status.as_ref().map(|status| format!(", last_cmd_status: {status}")).unwrap_or_default()
}

/// A container's group, and its monitoring group if it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    root: PathBuf,
    path: PathBuf,
    monitor: Option<PathBuf>,
    /// Made here, for this container alone.
    ours: bool,
}

/// Refuses what this machine, or any, cannot do.
pub fn check(asked: &IntelRdt) -> Result<(), Error> {
    check_in(Path::new(ROOT), asked)
}

fn check_in(root: &Path, asked: &IntelRdt) -> Result<(), Error> {
    if !root.join("schemata").exists() {
        return Err(Error::Disabled);
    }
    let name = asked.clos_id.as_str();
    if matches!(name, "." | "..") || name.len() > 1 && name.contains('/') {
        return Err(Error::Name(name.to_owned()));
    }
    let has = |resource: &str| root.join("info").join(resource).exists();
    if !asked.l3_cache_schema.is_empty() && !has("L3") && !has("L3CODE") {
        return Err(Error::Lacking { what: "l3CacheSchema", technique: "CAT" });
    }
    if !asked.mem_bw_schema.is_empty() && !has("MB") {
        return Err(Error::Lacking { what: "memBwSchema", technique: "MBA" });
    }
    Ok(())
}

impl Group {
    /// Makes the group of the container `id`, or finds the one that `asked` names, and sets its schemata.
    pub fn make(id: &str, asked: &IntelRdt) -> Result<Group, Error> {
        Self::make_in(Path::new(ROOT), id, asked)
    }

    fn make_in(root: &Path, id: &str, asked: &IntelRdt) -> Result<Group, Error> {
        check_in(root, asked)?;
        let path = match asked.clos_id.as_str() {
            // The root is the group of all that are in no other.
            "/" => root.to_owned(),
            "" => root.join(id),
            name => root.join(name),
        };
        let schemata = schemata(asked);
        if !asked.clos_id.is_empty() && schemata.is_empty() {
            std::fs::metadata(&path).map_err(|source| Error::NotMade { source })?;
        }
        let made = folder(&path)?;
        let monitor = asked.enable_monitoring.then(|| path.join("mon_groups").join(id));
        let group = Group { root: root.to_owned(), path, monitor: None, ours: made && asked.clos_id.is_empty() };
        group.furnish(&schemata, monitor).inspect_err(|_| {
            if group.ours {
                let _ = std::fs::remove_dir(&group.path);
            }
        })
    }

    fn furnish(&self, schemata: &str, monitor: Option<PathBuf>) -> Result<Group, Error> {
        if !schemata.is_empty() {
            self.write(&self.path.join("schemata"), schemata)?;
        }
        if let Some(monitor) = &monitor {
            folder(monitor)?;
        }
        Ok(Group { monitor, ..self.clone() })
    }

    /// Puts a process, and its future children, into the group.
    pub fn add(&self, pid: i32) -> Result<(), Error> {
        for folder in std::iter::once(&self.path).chain(&self.monitor) {
            self.write(&folder.join("tasks"), &pid.to_string())?;
        }
        Ok(())
    }

    /// The group that [`Group::make`] made for this container, after it ended.
    #[must_use]
    pub fn of(id: &str, asked: &IntelRdt) -> Group {
        Self::of_in(Path::new(ROOT), id, asked)
    }

    /// The same where resctrl is mounted elsewhere.
    #[must_use]
    pub fn of_in(root: &Path, id: &str, asked: &IntelRdt) -> Group {
        let name = if asked.clos_id.is_empty() { id } else { asked.clos_id.trim_start_matches('/') };
        let path = root.join(name);
        let monitor = asked.enable_monitoring.then(|| path.join("mon_groups").join(id));
        Group { root: root.to_owned(), path, monitor, ours: asked.clos_id.is_empty() }
    }

    /// Where resctrl is mounted.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The group that counts for this container alone, if it was asked for.
    #[must_use]
    pub fn monitor(&self) -> Option<&Path> {
        self.monitor.as_deref()
    }

    /// Removes what was made for this container alone. What is gone already is no failure.
    pub fn remove(&self) -> Result<(), Error> {
        let monitor = self.monitor.as_ref().filter(|_| !self.ours);
        for path in monitor.into_iter().chain(self.ours.then_some(&self.path)) {
            match std::fs::remove_dir(path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::Folder { action: "remove", path: path.clone(), source });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The kernel says why it refuses in a file of its own.
    fn write(&self, path: &Path, text: &str) -> Result<(), Error> {
        let written = std::fs::OpenOptions::new().write(true).open(path).and_then(|mut file| {
            use std::io::Write;
            file.write_all(text.as_bytes())
        });
        written.map_err(|source| {
            let status = std::fs::read_to_string(self.root.join("info/last_cmd_status")).ok();
            let status = status.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
            Error::Write { path: path.to_owned(), status, source }
        })
    }
}

/// Whether it was not there before.
fn folder(path: &Path) -> Result<bool, Error> {
    match std::fs::create_dir(path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(source) => Err(Error::Folder { action: "make", path: path.to_owned(), source }),
    }
}

fn schemata(asked: &IntelRdt) -> String {
    let lines = [&asked.l3_cache_schema, &asked.mem_bw_schema].into_iter().chain(&asked.schemata);
    lines.filter(|line| !line.is_empty()).map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that looks as the kernel's does, as far as these files go.
    fn machine() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("info/L3")).unwrap();
        std::fs::write(root.path().join("schemata"), "L3:0=fff\n").unwrap();
        root
    }

    fn existing(root: &Path, name: &str) {
        std::fs::create_dir_all(root.join(name).join("mon_groups/box")).unwrap();
        for file in ["schemata", "tasks", "mon_groups/box/tasks"] {
            std::fs::write(root.join(name).join(file), "").unwrap();
        }
    }

    #[test]
    fn a_machine_without_it_is_told_so() {
        let empty = tempfile::tempdir().unwrap();
        let error = check_in(empty.path(), &IntelRdt::default()).unwrap_err().to_string();
        assert_eq!(error, "intelRdt is specified in config, but Intel RDT is not enabled");
    }

    #[test]
    fn names_that_climb_and_techniques_that_are_not_there_are_refused() {
        let root = machine();
        for clos_id in ["..", ".", "a/b"] {
            let asked = IntelRdt { clos_id: clos_id.into(), ..IntelRdt::default() };
            assert!(matches!(check_in(root.path(), &asked), Err(Error::Name(_))), "{clos_id}");
        }
        let asked = IntelRdt { mem_bw_schema: "MB:0=20".into(), ..IntelRdt::default() };
        assert!(check_in(root.path(), &asked).unwrap_err().to_string().contains("RDT/MBA is not enabled"));
        let asked = IntelRdt { clos_id: "none".into(), ..IntelRdt::default() };
        assert!(matches!(Group::make_in(root.path(), "box", &asked), Err(Error::NotMade { .. })));
    }

    #[test]
    fn a_named_group_is_joined_and_stays() {
        let root = machine();
        existing(root.path(), "gold");
        let schemata = vec!["L3:0=f".to_owned()];
        let asked = IntelRdt { clos_id: "gold".into(), schemata, enable_monitoring: true, ..IntelRdt::default() };
        let group = Group::make_in(root.path(), "box", &asked).unwrap();
        group.add(42).unwrap();
        let read = |name: &str| std::fs::read_to_string(root.path().join("gold").join(name)).unwrap();
        assert_eq!([read("schemata"), read("tasks"), read("mon_groups/box/tasks")], ["L3:0=f\n", "42", "42"]);
        // A folder of the kernel's is removed with its files.
        std::fs::remove_file(root.path().join("gold/mon_groups/box/tasks")).unwrap();
        group.remove().unwrap();
        assert!(root.path().join("gold/tasks").exists() && !root.path().join("gold/mon_groups/box").exists());
    }

    #[test]
    fn a_group_of_its_own_is_removed_and_one_that_fails_is_not_left() {
        let root = machine();
        let asked = IntelRdt::default();
        let group = Group::make_in(root.path(), "box", &asked).unwrap();
        assert!(root.path().join("box").is_dir());
        group.remove().unwrap();
        group.remove().unwrap();
        let asked = IntelRdt { l3_cache_schema: "L3:0=f".into(), ..IntelRdt::default() };
        assert!(matches!(Group::make_in(root.path(), "box", &asked), Err(Error::Write { .. })));
        assert!(!root.path().join("box").exists());
    }
}
