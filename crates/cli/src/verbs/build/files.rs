//! Where a build's files are: a folder, an archive, an address; and the Dockerfile, which may be elsewhere.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// Bytes that tell an archive from a text.
const MAGIC: usize = 512;

/// The files of a build.
pub enum Context {
    Folder(PathBuf),
    /// A tar, compressed or not.
    Archive(Box<dyn Read + Send>),
    /// A repository, an archive or a Dockerfile, which the engine fetches.
    Address(String),
    /// Nothing but a Dockerfile.
    None,
}

/// What is built.
pub struct Origin {
    pub context: Context,
    /// Its text; `None`: it lies in the context.
    pub dockerfile: Option<String>,
    /// What it is called.
    pub name: String,
    /// The text of its ignore file, where it was found beside the Dockerfile or in the folder.
    pub ignore: Option<String>,
}

impl Origin {
    /// What `PATH` and `--file` mean.
    pub fn of(operand: &str, file: Option<&str>) -> Result<Origin, Failure> {
        if operand == "-" && file == Some("-") {
            return Err(Failure::said("invalid argument: can't use stdin for both build context and dockerfile"));
        }
        let context = context(operand)?;
        match (context, file) {
            (Given::Text(text), None) => Ok(Origin::alone(text)),
            (Given::Text(_), Some(_)) => {
                Err(Failure::said("ambiguous Dockerfile source: both stdin and flag correspond to Dockerfiles"))
            }
            (Given::Context(context), Some("-")) => {
                let ignore = in_folder(&context);
                Ok(Origin { context, dockerfile: Some(stdin_text()?), name: "Dockerfile".to_owned(), ignore })
            }
            (Given::Context(Context::Folder(folder)), file) => Origin::folder(folder, file),
            // Who has the archive looks for the Dockerfile in it.
            (Given::Context(context), file) => {
                let name = file.unwrap_or("Dockerfile").to_owned();
                Ok(Origin { context, dockerfile: None, name, ignore: None })
            }
        }
    }

    fn alone(text: String) -> Origin {
        Origin { context: Context::None, dockerfile: Some(text), name: "Dockerfile".to_owned(), ignore: None }
    }

    fn folder(folder: PathBuf, file: Option<&str>) -> Result<Origin, Failure> {
        if let Some(address) = file.filter(|file| file.starts_with("http://") || file.starts_with("https://")) {
            let context = Context::Folder(folder);
            let ignore = in_folder(&context);
            return Ok(Origin { context, dockerfile: None, name: address.to_owned(), ignore });
        }
        let path = file.map_or_else(|| default_file(&folder), PathBuf::from);
        let text = text(&path).map_err(|failure| elsewhere(failure, &folder, file))?;
        let ignore = self::text(&beside(&path)).ok();
        let name = shown(&path, &folder);
        let context = Context::Folder(folder);
        let ignore = ignore.or_else(|| in_folder(&context));
        Ok(Origin { context, dockerfile: Some(text), name, ignore })
    }
}

/// A Dockerfile below the context is called by its path there, another one by its own name.
fn shown(path: &Path, folder: &Path) -> String {
    let whole = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let inside = whole.strip_prefix(folder).ok().filter(|inside| inside.as_os_str() != "");
    let name = inside.map(Path::to_owned).or_else(|| path.file_name().map(PathBuf::from)).unwrap_or_default();
    name.display().to_string()
}

/// A name of a Dockerfile is looked for from here, not from the context: who means the other is told.
fn elsewhere(failure: Failure, folder: &Path, file: Option<&str>) -> Failure {
    match file {
        Some(file) if folder.join(file).is_file() => Failure::said(format!(
            "{failure}\nhint: --file is looked for from the current folder; {} is in the context",
            folder.join(file).display()
        )),
        _ => Failure::said(format!("failed to read dockerfile: {failure}")),
    }
}

enum Given {
    Context(Context),
    /// A Dockerfile alone.
    Text(String),
}

fn context(operand: &str) -> Result<Given, Failure> {
    if operand == "-" {
        return of_stream(Box::new(io::stdin()));
    }
    let path = Path::new(operand);
    if path.is_dir() {
        return Ok(Given::Context(Context::Folder(absolute(operand)?)));
    }
    if is_address(operand) {
        return Ok(Given::Context(Context::Address(operand.to_owned())));
    }
    if path.is_file() {
        let file = std::fs::File::open(path).map_err(|cause| unreadable(path, &cause))?;
        return match of_stream(Box::new(file))? {
            Given::Text(_) => Err(Failure::said(format!(
                "unable to prepare context: {operand:?} is neither a folder nor an archive: a Dockerfile is given with --file"
            ))),
            archive @ Given::Context(_) => Ok(archive),
        };
    }
    Err(Failure::said(format!("unable to prepare context: path {operand:?} not found")))
}

/// Whether the engine is to fetch it.
pub fn is_address(text: &str) -> bool {
    ["http://", "https://", "git://", "ssh://", "git@", "github.com/"].iter().any(|prefix| text.starts_with(prefix))
}

/// An archive is known by its first bytes; the rest is text.
fn of_stream(mut stream: Box<dyn Read + Send>) -> Result<Given, Failure> {
    let mut first = Vec::new();
    stream.by_ref().take(MAGIC as u64).read_to_end(&mut first)?;
    let whole = Box::new(io::Cursor::new(first.clone()).chain(stream));
    if is_archive(&first) {
        return Ok(Given::Context(Context::Archive(whole)));
    }
    let mut text = Vec::new();
    let mut whole = whole;
    whole.read_to_end(&mut text)?;
    if text.is_empty() {
        return Err(Failure::said("the Dockerfile (stdin) cannot be empty"));
    }
    Ok(Given::Text(String::from_utf8_lossy(&text).into_owned()))
}

fn is_archive(first: &[u8]) -> bool {
    const COMPRESSED: [&[u8]; 4] = [b"\x1f\x8b\x08", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"];
    let is_tar = first.get(257..262) == Some(b"ustar");
    is_tar || COMPRESSED.iter().any(|magic| first.starts_with(magic))
}

pub fn absolute(path: &str) -> Result<PathBuf, Failure> {
    std::fs::canonicalize(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Failure::said(format!("unable to prepare context: path {path:?} not found")),
        _ => Failure::said(format!("unable to prepare context: {path}: {error}")),
    })
}

/// The text of a folder's `.dockerignore`.
fn in_folder(context: &Context) -> Option<String> {
    match context {
        Context::Folder(folder) => text(&folder.join(".dockerignore")).ok(),
        _ => None,
    }
}

fn default_file(context: &Path) -> PathBuf {
    let usual = context.join("Dockerfile");
    let other = context.join("dockerfile");
    if !usual.exists() && other.exists() { other } else { usual }
}

/// `Dockerfile.dockerignore`
fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".dockerignore");
    PathBuf::from(name)
}

pub fn bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|cause| unreadable(path, &cause))
}

fn unreadable(path: &Path, cause: &io::Error) -> Failure {
    match cause.kind() {
        io::ErrorKind::NotFound => Failure::said(format!("open {}: no such file or directory", path.display())),
        _ => Failure::said(format!("cannot read {}: {cause}", path.display())),
    }
}

fn text(path: &Path) -> Result<String, Failure> {
    Ok(String::from_utf8_lossy(&bytes(path)?).into_owned())
}

fn stdin_text() -> Result<String, Failure> {
    let mut text = Vec::new();
    let read = io::stdin().lock().read_to_end(&mut text);
    read.map_err(|error| Failure::said(format!("cannot read the Dockerfile: {error}")))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_known_by_its_first_bytes() {
        let mut tar = vec![0u8; 512];
        tar[257..262].copy_from_slice(b"ustar");
        assert!(is_archive(&tar) && is_archive(b"\x1f\x8b\x08\0") && !is_archive(b"FROM x\n"));
    }

    #[test]
    fn a_folder_has_its_dockerfile_and_its_ignore_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("written");
        write("Dockerfile", "FROM a\n");
        write(".dockerignore", "x\n");
        write("other", "FROM b\n");
        write("other.dockerignore", "y\n");
        let path = folder.path().display().to_string();
        let usual = Origin::of(&path, None).expect("an origin");
        assert_eq!((usual.dockerfile.as_deref(), usual.ignore.as_deref()), (Some("FROM a\n"), Some("x\n")));
        let other = Origin::of(&path, Some(&format!("{path}/other"))).expect("an origin");
        assert_eq!((other.name.as_str(), other.ignore.as_deref()), ("other", Some("y\n")));
        let missing = Origin::of(&path, Some("other")).err().expect("no file here").to_string();
        assert!(missing.contains("is in the context"), "{missing}");
        let archive = folder.path().join("c.tar");
        std::fs::write(&archive, b"\x1f\x8b\x08").expect("written");
        let sent = Origin::of(&archive.display().to_string(), None).expect("an origin");
        assert!(matches!(sent.context, Context::Archive(_)) && sent.dockerfile.is_none());
        assert!(Origin::of(&format!("{path}/other"), None).is_err());
    }
}
