//! An ignore file, a line `--`, and paths: a folder that would not be opened has nothing to find.
#![no_main]

use dockerfile::ignore::Ignore;
use libfuzzer_sys::fuzz_target;

fn seeds() -> Vec<Vec<u8>> {
    let files = [
        "node_modules\n*.log\n!keep.log\n--\nnode_modules/a/b\nkeep.log\n",
        "**\n!src/**/*.rs\n\\*a\n[a-c]?/\n--\nsrc/a/b.rs\nab/c\n",
        "# c\n/a/./b/../c\n!**/d**\na**b\n--\na/c/d\na/x/b\n",
    ];
    files.iter().map(|file| file.as_bytes().to_vec()).collect()
}

fuzz_target!(init: fuzz::plant(&seeds()), |data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let (patterns, paths) = text.split_once("\n--\n").unwrap_or((&text, "a/b/c"));
    let Ok(ignore) = Ignore::parse(patterns) else { return };
    for path in paths.lines().take(16) {
        ignore.excludes(path);
        let (mut level, mut closed) = (ignore.root(), false);
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        // A path has no empty parts.
        let whole = !path.is_empty() && path.split('/').all(|part| !part.is_empty());
        for end in ends.filter(|_| whole) {
            let (excluded, below) = ignore.enter(&level, &path[..end]);
            assert!(!closed || excluded, "{path}");
            closed |= excluded && !ignore.may_include_below(&below, &path[..end]);
            level = below;
        }
    }
});
