//! What Docker's matcher answers, and that a walk answers the same.

use super::*;

fn excludes(patterns: &[&str], path: &str) -> bool {
    Ignore::new(patterns.iter().copied()).unwrap().excludes(path)
}

#[test]
fn one_pattern() {
    for (pattern, path, wanted) in [
        ("**", "file", true),
        ("**", "file/", true),
        ("**/", "file", true),
        ("**", "/", true),
        ("**/**", "dir/file", true),
        ("dir/**", "dir/file", true),
        ("dir/**", "dir/dir2/file", true),
        ("**/dir", "dir/file", true),
        ("**/dir2/*", "dir/dir2/file", true),
        ("**/dir2/*", "dir/dir2/dir2/file", true),
        ("**/dir2/**", "dir/dir2/file", true),
        ("**file", "file", true),
        ("**file", "dir/file", true),
        ("**file", "dir/file.txt", false),
        ("**/file*", "dir/dir/file.txt", true),
        ("**/file*txt", "dir/dir/file.txt", true),
        ("**/file*.txt", "dir/dir/file.txt", true),
        ("**/file*.txt*", "dir/dir/file.txt", true),
        ("**/**/*.txt", "dir/dir/file.txt", true),
        ("**/**/*.txt2", "dir/dir/file.txt", false),
        ("**/*.txt", "file.txt", true),
        ("a**/*.txt", "a/file.txt", true),
        ("a**/*.txt", "a/dir/file.txt", true),
        ("a/*.txt", "a/dir/file.txt", false),
        ("a/*.txt**", "a/file.txt", true),
        ("a[b-d]e", "ae", false),
        ("a[b-d]e", "ace", true),
        ("a[^b-d]e", "aze", true),
        (".*", ".foo", true),
        (".*", "foo", false),
        ("abc.def", "abcZdef", false),
        ("a/b/(.*)c/d", "a/b/(.*)c/d", true),
        ("a?c", "abc", true),
        ("a?c", "a/c", false),
        ("a\\*b", "a*b", true),
        ("a\\*b", "axb", false),
        ("*.go", "a/b.go", false),
        ("dir/", "dir/x", true),
        ("../x", "x", false),
        ("foo**", "foobar/x", true),
        ("a**b", "ab", true),
        ("a**b", "ax/b", true),
        ("a**b", "axb", false),
    ] {
        assert_eq!(excludes(&[pattern], path), wanted, "{pattern} {path}");
    }
}

#[test]
fn exceptions_and_order() {
    for (patterns, path, wanted) in [
        (&["*", "!keep"][..], "keep", false),
        (&["*", "!keep"], "other", true),
        (&["!keep", "*"], "keep", true),
        (&["docs", "!docs/README.md"], "docs/README.md", false),
        (&["docs", "!docs/README.md"], "docs/x", true),
        (&["docs", "!docs/a", "docs/a/b"], "docs/a/b/c", true),
        (&["**", "!util/docker/web"], "util/docker/web/foo", false),
        (&["**", "!util/docker/web", "util/docker/web/foo"], "util/docker/web/foo", true),
        (&["src/*", "!src/*.c"], "src/a/b.c", true),
        (&["**", "!**/*.md"], "a/b/c.md", false),
    ] {
        assert_eq!(excludes(patterns, path), wanted, "{patterns:?} {path}");
    }
}

#[test]
fn a_file_is_read_line_by_line() {
    let ignore = Ignore::parse("\u{feff}# comment\n  /a/./b/ \n\n! c/../d \n#x\n /\n").unwrap();
    assert_eq!(ignore.patterns().collect::<Vec<_>>(), ["a/b", "!d", "/"]);
    // A comment begins at the beginning of its line.
    assert_eq!(Ignore::parse(" # x").unwrap().patterns().collect::<Vec<_>>(), ["# x"]);
}

#[test]
fn bad_patterns_are_errors() {
    assert_eq!(Ignore::new(["!"]).unwrap_err(), PatternError::LoneException);
    assert_eq!(Ignore::parse("a\n! \n").unwrap_err(), PatternError::LoneException);
    for pattern in ["a[", "[]a]", "[-]", "[x-]", "a\\", "[a-\\", "[^]"] {
        assert!(Ignore::new([pattern]).is_err(), "{pattern}");
    }
}

#[test]
fn a_walk_answers_like_single_questions() {
    let lists: &[&[&str]] = &[
        &["node_modules", "*.log", "!keep.log"],
        &["**", "!src", "src/**/*.o", "!src/a/keep.o"],
        &["a/*", "!a/b/c", "**/x?", "!**/xy"],
        &["*", "!a*/**/c"],
    ];
    let names = ["a", "b", "c", "src", "node_modules", "keep.log", "x.log", "xy", "xz", "keep.o", "z.o"];
    for patterns in lists {
        let ignore = Ignore::new(patterns.iter().copied()).unwrap();
        let mut folders = vec![(String::new(), ignore.root())];
        for _ in 0..3 {
            let mut below = Vec::new();
            for (folder, level) in &folders {
                for name in names {
                    let path = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
                    let (excluded, next) = ignore.enter(level, &path);
                    assert_eq!(excluded, ignore.excludes(&path), "{patterns:?} {path}");
                    below.push((path, next));
                }
            }
            folders = below;
        }
    }
}

#[test]
fn a_folder_is_searched_when_an_exception_may_lie_in_it() {
    let may = |patterns: &[&str], folder: &str| {
        let ignore = Ignore::new(patterns.iter().copied()).unwrap();
        ignore.may_include_below(&ignore.root(), folder)
    };
    assert!(may(&["docs", "!docs/README.md"], "docs"));
    assert!(!may(&["docs", "!docs/README.md"], "doc"));
    assert!(!may(&["*", "!docs/README.md"], "src"));
    assert!(may(&["*", "!a/b"], "a/b/c"));
    assert!(may(&["*", "!**/x"], "anything"));
    assert!(may(&["*", "!src/*.c"], "src"));
    assert!(!may(&["*", "!src/*.c"], "lib"));
    assert!(!may(&["docs"], "docs"));
}
