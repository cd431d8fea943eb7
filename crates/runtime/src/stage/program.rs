//! Finding a program as execvp(3) does, and running it.

use crate::{Failure, ProcessPlan, Step};
use rustix::fs::{Access, AtFlags, CWD, FileType};
use rustix::io::Errno;
use std::ffi::CString;
use sys::process::Strings;

/// A program that was found, with what it is started with.
#[derive(Debug)]
pub(crate) struct Program {
    path: CString,
    arguments: Strings,
    environment: Strings,
    name: String,
}

/// Looks for the program as the user it will run as. A name with a slash is looked at where it is, others are looked for in PATH.
pub(crate) fn find(plan: &ProcessPlan) -> Result<Program, Failure> {
    let name = plan.args.first().map(Vec::as_slice).unwrap_or_default();
    let subject = String::from_utf8_lossy(name).into_owned();
    let fail = |step, errno| Failure::new(step, errno, subject.as_str());
    let path = match name.contains(&b'/') {
        true => executable(name).map(|()| name.to_vec()),
        false => in_path(name, search_path(&plan.env)),
    };
    let path = path.map_err(|errno| fail(Step::LookPath, errno))?;
    let path = CString::new(path).map_err(|_| fail(Step::Execve, Errno::INVAL))?;
    let arguments = Strings::new(plan.args.clone()).ok_or_else(|| fail(Step::Execve, Errno::INVAL))?;
    let environment = Strings::new(plan.env.clone()).ok_or_else(|| fail(Step::Execve, Errno::INVAL))?;
    Ok(Program { path, arguments, environment, name: subject })
}

/// The last PATH counts, as for a program that reads its environment into a table.
fn search_path(environment: &[Vec<u8>]) -> &[u8] {
    environment.iter().rev().find_map(|variable| variable.strip_prefix(b"PATH=")).unwrap_or_default()
}

fn in_path(name: &[u8], path: &[u8]) -> Result<Vec<u8>, Errno> {
    let mut failure = Errno::NOENT;
    if name.is_empty() || path.is_empty() {
        return Err(failure);
    }
    for folder in path.split(|byte| *byte == b':') {
        let mut candidate = if folder.is_empty() { b".".to_vec() } else { folder.to_vec() };
        candidate.push(b'/');
        candidate.extend(name);
        match executable(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(Errno::ACCESS) => failure = Errno::ACCESS,
            Err(_) => {}
        }
    }
    Err(failure)
}

fn executable(path: &[u8]) -> Result<(), Errno> {
    match FileType::from_raw_mode(rustix::fs::stat(path)?.st_mode) {
        FileType::Directory => Err(Errno::ISDIR),
        _ => rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS),
    }
}

impl Program {
    /// Executes it. Returns only why that failed.
    pub(crate) fn run(&self) -> Failure {
        let error = sys::process::execve(&self.path, &self.arguments, &self.environment);
        let mut errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
        // The kernel says "permission denied" for a folder.
        if errno == Errno::ACCESS && executable(self.path.as_bytes()) == Err(Errno::ISDIR) {
            errno = Errno::ISDIR;
        }
        Failure::new(Step::Execve, errno, self.name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn folders() -> (tempfile::TempDir, Vec<u8>) {
        let all = tempfile::tempdir().unwrap();
        for (folder, mode) in [("one", 0o644), ("two", 0o755)] {
            let path = all.path().join(folder);
            std::fs::create_dir_all(path.join("folder")).unwrap();
            std::fs::write(path.join("tool"), "").unwrap();
            std::fs::set_permissions(path.join("tool"), PermissionsExt::from_mode(mode)).unwrap();
        }
        std::fs::write(all.path().join("one/plain"), "").unwrap();
        let path = format!("/nowhere:{0}/one:{0}/two", all.path().display()).into_bytes();
        (all, path)
    }

    #[test]
    fn the_first_executable_file_in_path_is_taken() {
        let (all, path) = folders();
        assert_eq!(in_path(b"tool", &path).unwrap(), format!("{}/two/tool", all.path().display()).into_bytes());
    }

    #[test]
    fn what_is_not_found_and_what_is_not_executable_differ() {
        let (_all, path) = folders();
        assert_eq!(in_path(b"nothing", &path), Err(Errno::NOENT));
        assert_eq!(in_path(b"folder", &path), Err(Errno::NOENT));
        assert_eq!(in_path(b"", &path), Err(Errno::NOENT));
        assert_eq!(in_path(b"tool", b""), Err(Errno::NOENT));
        assert_eq!(in_path(b"plain", &path), Err(Errno::ACCESS));
    }

    #[test]
    fn the_last_path_variable_counts() {
        let environment = [b"PATH=/a".to_vec(), b"X=PATH=/c".to_vec(), b"PATH=/b".to_vec()];
        assert_eq!(search_path(&environment), b"/b");
        assert_eq!(search_path(&[]), b"");
    }
}
