//! Paths inside a container, as texts: nothing is opened here.

/// `path` without `.`, `..`, doubled and trailing slashes, decided from the text alone (Go's `path.Clean`).
///
/// `None` when it is not absolute or holds a NUL.
pub(crate) fn clean(path: &str) -> Option<String> {
    if !path.starts_with('/') || path.contains('\0') {
        return None;
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    Some(format!("/{}", parts.join("/")))
}

/// Whether `path` is `folder` or below it; both cleaned.
pub(crate) fn is_within(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// How deep a cleaned path is: a parent has a smaller depth than what is below it.
pub(crate) fn depth(path: &str) -> usize {
    path.split('/').filter(|part| !part.is_empty()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_cleaned_from_its_text_alone_and_never_leaves_the_root() {
        for (path, cleaned) in
            [("/", "/"), ("/a//b/", "/a/b"), ("/a/./b", "/a/b"), ("/a/../../b", "/b"), ("/../..", "/")]
        {
            assert_eq!(clean(path).as_deref(), Some(cleaned), "{path}");
        }
        assert_eq!(clean("a/b"), None);
        assert_eq!(clean(""), None);
        assert_eq!(clean("/a\0b"), None);
    }

    #[test]
    fn a_sibling_with_the_same_beginning_is_not_within() {
        assert!(is_within("/proc", "/proc"));
        assert!(is_within("/proc/sys", "/proc"));
        assert!(!is_within("/process", "/proc"));
    }
}
