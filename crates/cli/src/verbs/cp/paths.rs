//! What the words of `cp` name: which is the container's, and under which name a copy comes to lie where.

use crate::failure::Failure;

/// Which way files go.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ends<'a> {
    Out { container: &'a str, from: &'a str, to: &'a str },
    In { from: &'a str, container: &'a str, to: &'a str },
}

impl<'a> Ends<'a> {
    pub(super) fn of(source: &'a str, destination: &'a str) -> Result<Ends<'a>, Failure> {
        match (split(source), split(destination)) {
            ((Some(container), from), (None, to)) => Ok(Ends::Out { container, from, to }),
            ((None, from), (Some(container), to)) => Ok(Ends::In { from, container, to }),
            ((Some(_), _), (Some(_), _)) => Err(Failure::said("copying between containers is not supported")),
            ((None, _), (None, _)) => Err(Failure::said("must specify at least one container source")),
        }
    }
}

/// `CONTAINER:PATH`; a path with a colon in it is told by a `/` or a `.` at its beginning.
fn split(word: &str) -> (Option<&str>, &str) {
    if word.starts_with('/') {
        return (None, word);
    }
    match word.split_once(':') {
        Some((container, path)) if !container.starts_with('.') => {
            (Some(container).filter(|name| !name.is_empty()), path)
        }
        _ => (None, word),
    }
}

/// What a source or a destination is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Is {
    Folder,
    File,
}

/// A destination as it was typed, and what is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) path: String,
    pub(super) is: Option<Is>,
}

/// Where an archive is unpacked, and the name that its first entry has there; `None` is its own.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) folder: String,
    pub(super) name: Option<String>,
}

impl Target {
    pub(super) fn is_folder(&self) -> bool {
        self.is == Some(Is::Folder)
    }

    /// The rules of docker cp (docs, "Description"): into a folder that is there, in place of a file, or as something new.
    pub(super) fn for_source(&self, source: Is) -> Result<Placed, Failure> {
        let (folder, name) = split_entry(&self.path);
        let renamed = Ok(Placed { folder, name: Some(name) });
        match self.is {
            Some(Is::Folder) => Ok(Placed { folder: self.path.clone(), name: None }),
            Some(Is::File) if source == Is::Folder => Err(Failure::said("cannot copy directory")),
            Some(Is::File) => renamed,
            None if source == Is::Folder => renamed,
            None if asserts_folder(&self.path) => Err(Failure::said("no such directory")),
            None => renamed,
        }
    }
}

fn asserts_folder(path: &str) -> bool {
    path.ends_with('/') || base(path) == "."
}

/// The last part of a path: `.` of one that ends in it, `/` of the root.
pub(super) fn base(path: &str) -> &str {
    let bare = path.trim_end_matches('/');
    match bare.rsplit('/').next() {
        Some("") | None => "/",
        Some(name) => name,
    }
}

/// A path without `.`, `..` and doubled slashes.
pub(super) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if path.starts_with('/') => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (path.starts_with('/'), joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

/// Folder and name of a path; a `.` at its end is a name.
pub(super) fn split_entry(path: &str) -> (String, String) {
    let mut whole = clean(path);
    if base(path) == "." && base(&whole) != "." {
        whole.push_str("/.");
    }
    match whole.rsplit_once('/') {
        Some(("", name)) => ("/".to_owned(), name.to_owned()),
        Some((folder, name)) => (folder.to_owned(), name.to_owned()),
        None => (".".to_owned(), whole),
    }
}

/// `path` with the `/` or `/.` that `typed` ends in.
pub(super) fn with_end_of(path: &str, typed: &str) -> String {
    let bare = path.trim_end_matches('/');
    match base(typed) {
        "." => format!("{bare}/."),
        _ if typed.ends_with('/') => format!("{bare}/"),
        _ => path.to_owned(),
    }
}

/// From the root of this machine.
pub(super) fn absolute(path: &str) -> Result<String, Failure> {
    let whole = match path.starts_with('/') {
        true => path.to_owned(),
        false => format!("{}/{path}", std::env::current_dir()?.display()),
    };
    Ok(with_end_of(&clean(&whole), path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_name_a_container_unless_they_begin_like_a_path() {
        let out = Ends::of("box:/etc", "here").expect("good words");
        assert_eq!(out, Ends::Out { container: "box", from: "/etc", to: "here" });
        let into = Ends::of("./a:b", "box:etc").expect("good words");
        assert_eq!(into, Ends::In { from: "./a:b", container: "box", to: "etc" });
        let said = |a, b| Ends::of(a, b).expect_err("bad words").to_string();
        assert_eq!(said("a:b", "c:d"), "copying between containers is not supported");
        assert_eq!(said("/a:b", "c"), "must specify at least one container source");
    }

    #[test]
    fn a_copy_lies_where_docker_puts_it() {
        let place = |path: &str, is, source| {
            let placed = Target { path: path.to_owned(), is }.for_source(source);
            placed.map(|placed| (placed.folder, placed.name)).map_err(|failure| failure.to_string())
        };
        let renamed = |folder: &str, name: &str| Ok((folder.to_owned(), Some(name.to_owned())));
        assert_eq!(place("/to", Some(Is::Folder), Is::Folder), Ok(("/to".to_owned(), None)));
        assert_eq!(place("/to", Some(Is::File), Is::File), renamed("/", "to"));
        assert_eq!(place("/to", Some(Is::File), Is::Folder), Err("cannot copy directory".to_owned()));
        assert_eq!(place("/a/new", None, Is::Folder), renamed("/a", "new"));
        assert_eq!(place("/a/new/", None, Is::Folder), renamed("/a", "new"));
        assert_eq!(place("/a/new", None, Is::File), renamed("/a", "new"));
        assert_eq!(place("/a/new/", None, Is::File), Err("no such directory".to_owned()));
        assert_eq!(place("new", None, Is::File), renamed(".", "new"));
    }

    #[test]
    fn ends_of_paths_stay() {
        assert_eq!((base("/"), base("/a/b/"), base("/a/."), base("a")), ("/", "b", ".", "a"));
        assert_eq!(with_end_of("/data", "/link/."), "/data/.");
        assert_eq!(with_end_of("/", "/."), "/.");
        assert_eq!(
            (clean("/a/../../b//c/."), clean("../x"), clean("a/..")),
            ("/b/c".into(), "../x".into(), ".".into())
        );
    }
}
