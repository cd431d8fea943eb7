//! The bundle: a folder with config.json, read and looked over before anything else happens.

use crate::error::{Error, Result};
use crate::wording::io_text;
use oci::runtime::{Process, Spec};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

const CONFIG: &str = "config.json";

/// The longest document that is read, in bytes.
const LONGEST: u64 = 16 << 20;

/// A bundle that was read.
#[derive(Debug)]
pub struct Bundle {
    /// Absolute.
    pub path: PathBuf,
    pub spec: Spec,
}

/// Goes to `folder` (`None`: stays), which relative paths of sockets are meant from, and reads the configuration there.
pub fn enter(folder: Option<&Path>) -> Result<Bundle> {
    if let Some(folder) = folder {
        std::env::set_current_dir(folder)
            .map_err(|e| Error::new(format!("chdir {}: {}", folder.display(), io_text(&e))))?;
    }
    let path = std::env::current_dir().map_err(|e| Error::new(format!("getwd: {e}")))?;
    let spec: Option<Spec> = read(Path::new(CONFIG))?;
    let spec = spec.ok_or_else(|| Error::new("config cannot be null"))?;
    check_version(&spec.oci_version)?;
    check_process(spec.process.as_ref())?;
    Ok(Bundle { path, spec })
}

/// The process of `exec --process FILE`.
pub fn read_process(path: &Path) -> Result<Process> {
    let process: Process = read(path)?;
    check_process(Some(&process))?;
    Ok(process)
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let shown = path.display();
    let file = File::open(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => Error::new(format!("JSON specification file {shown} not found")),
        _ => Error::new(format!("cannot open {shown}: {e}")),
    })?;
    let mut text = Vec::new();
    let length = file.take(LONGEST + 1).read_to_end(&mut text);
    let length = length.map_err(|e| Error::new(format!("cannot read {shown}: {e}")))?;
    if length as u64 > LONGEST {
        return Err(Error::new(format!("cannot read {shown}: it is longer than {} MiB", LONGEST >> 20)));
    }
    parse(&text).map_err(|e| Error::new(format!("cannot read {shown}: {e}")))
}

/// Programs written in Go write `null` for an empty list or map, which is read as if it were not there.
pub fn parse<T: DeserializeOwned>(text: &[u8]) -> serde_json::Result<T> {
    let Ok(read) = serde_json::from_slice(text) else {
        let mut value = serde_json::from_slice(text)?;
        drop_nulls(&mut value);
        return serde_json::from_value(value);
    };
    Ok(read)
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// All versions of the specification so far are 0.x or 1.x, and each 1.x reads what came before.
fn check_version(version: &str) -> Result<()> {
    match version.split('.').next() {
        Some("" | "0" | "1") => Ok(()),
        _ => {
            Err(Error::new(format!("unsupported ociVersion {version:?}: this runtime follows {}", oci::state::VERSION)))
        }
    }
}

/// What any process must have.
pub fn check_process(process: Option<&Process>) -> Result<()> {
    let process = process.ok_or_else(|| Error::new("process property must not be empty"))?;
    let refused = if process.cwd.is_empty() {
        "Cwd property must not be empty"
    } else if !process.cwd.starts_with('/') {
        "Cwd must be an absolute path"
    } else if process.args.is_empty() {
        "args must not be empty"
    } else if process.selinux_label.as_ref().is_some_and(|label| !label.is_empty()) && !selinux_is_on() {
        "selinux label is specified in config, but selinux is disabled or not supported"
    } else {
        return Ok(());
    };
    Err(Error::new(refused))
}

fn selinux_is_on() -> bool {
    Path::new("/sys/fs/selinux/enforce").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_that_are_null_are_as_if_they_were_not_there() {
        let spec: Spec = parse(
            br#"{"ociVersion":"1.0.2","mounts":null,"linux":{"sysctl":null,"namespaces":[{"type":"pid","path":null}]}}"#,
        )
        .unwrap();
        assert!(spec.mounts.is_empty());
        assert_eq!(spec.linux.unwrap().namespaces.len(), 1);
    }

    #[test]
    fn a_document_that_is_too_long_or_no_json_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(CONFIG);
        std::fs::write(&path, "{\"ociVersion\": 1").unwrap();
        assert!(read::<Spec>(&path).unwrap_err().message.contains("config.json: EOF while parsing"));
        File::create(&path).unwrap().set_len(LONGEST + 1).unwrap();
        assert!(read::<Spec>(&path).unwrap_err().message.ends_with("it is longer than 16 MiB"));
        std::fs::remove_file(&path).unwrap();
        assert!(read::<Spec>(&path).unwrap_err().message.ends_with("config.json not found"));
    }

    #[test]
    fn a_process_needs_arguments_and_an_absolute_folder() {
        let mut process = Process { cwd: "/".to_owned(), args: vec!["true".to_owned()], ..Process::default() };
        assert!(check_process(Some(&process)).is_ok());
        process.cwd = "tmp".to_owned();
        assert_eq!(check_process(Some(&process)).unwrap_err().message, "Cwd must be an absolute path");
        process.cwd.clear();
        assert_eq!(check_process(Some(&process)).unwrap_err().message, "Cwd property must not be empty");
        process = Process { cwd: "/".to_owned(), ..Process::default() };
        assert_eq!(check_process(Some(&process)).unwrap_err().message, "args must not be empty");
        assert_eq!(check_process(None).unwrap_err().message, "process property must not be empty");
    }

    #[test]
    fn versions_of_the_future_are_refused() {
        assert!(check_version("1.0.2-dev").is_ok());
        assert!(check_version("").is_ok());
        assert!(check_version("2.0.0").is_err());
    }
}
