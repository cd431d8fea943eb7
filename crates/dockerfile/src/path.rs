//! Paths as texts.

/// The working directory after a `WORKDIR path`. An absolute path stays letter by letter, as BuildKit keeps it in configuration and
/// history.
pub fn workdir(current: &str, path: &str) -> String {
    match path {
        "" if current.is_empty() => "/".to_owned(),
        "" => current.to_owned(),
        path if path.starts_with('/') => path.to_owned(),
        path => cleaned(&format!("/{current}/{path}")),
    }
}

/// The last part of a path.
pub(crate) fn last(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// A path without `.`, `..` and needless slashes.
pub(crate) fn cleaned(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/').filter(|part| !matches!(*part, "" | ".")) {
        match (part, parts.last()) {
            ("..", Some(&last)) if last != ".." => drop(parts.pop()),
            ("..", None) if rooted => {}
            _ => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_working_directory_is_kept_or_joined() {
        for (current, path, wanted) in [
            ("", "/a/", "/a/"),
            ("/x", "/a//b/..", "/a//b/.."),
            ("/a/", "b/./c/", "/a/b/c"),
            ("/a/b", "../..", "/"),
            ("", "a", "/a"),
            ("/a/", "", "/a/"),
        ] {
            assert_eq!(workdir(current, path), wanted, "{current} {path}");
        }
    }

    #[test]
    fn a_path_is_cleaned() {
        for (path, wanted) in [("a//b/../c/.", "a/c"), ("/../a", "/a"), ("../a", "../a"), ("", "."), ("/", "/")] {
            assert_eq!(cleaned(path), wanted, "{path}");
        }
        assert_eq!(last("/a/b/"), "b");
    }
}
