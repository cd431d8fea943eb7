//! `.dockerignore`: which paths of a context are left out. The rules are those of Docker's pattern matcher.
//!
//! - A pattern is a path from the context's root with `*`, `?`, `[a-z]` and `**` (any number of folders). What lies in a folder
//!   that matches, matches.
//! - `!` makes an exception of what patterns before it matched; the last pattern that has a say wins.
//!
//! For one path there is [`Ignore::excludes`]. A walk through a tree keeps a [`Level`] for each folder instead, so that parents
//! are matched once:
//!
//! ```text
//! let ignore = dockerfile::ignore::Ignore::parse("node_modules\n*.log\n!keep.log\n").unwrap();
//! let root = ignore.root();
//! let (excluded, folder) = ignore.enter(&root, "node_modules");
//! assert!(excluded && !ignore.may_include_below(&folder, "node_modules"));   // need not be opened
//! assert!(!ignore.enter(&root, "keep.log").0);
//! ```

mod glob;

use glob::Glob;

/// What a list of patterns means.
#[derive(Debug, Clone, Default)]
pub struct Ignore {
    patterns: Vec<Pattern>,
    exceptions: bool,
}

#[derive(Debug, Clone)]
struct Pattern {
    text: String,
    /// `!`
    exception: bool,
    glob: Glob,
}

/// Why a list of patterns cannot be used, in Docker's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    #[error("illegal exclusion pattern: \"!\"")]
    LoneException,
    #[error("syntax error in pattern")]
    Syntax { pattern: String },
}

/// Which patterns match a folder, so that they match what lies in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Level {
    /// One bit for each pattern.
    matched: Vec<u64>,
}

impl Level {
    fn has(&self, at: usize) -> bool {
        self.matched.get(at / 64).is_some_and(|word| word & (1 << (at % 64)) != 0)
    }

    fn add(&mut self, at: usize) {
        if self.matched.len() <= at / 64 {
            self.matched.resize(at / 64 + 1, 0);
        }
        self.matched[at / 64] |= 1 << (at % 64);
    }
}

impl Ignore {
    /// Reads the text of an ignore file.
    pub fn parse(text: &str) -> Result<Ignore, PatternError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text.lines().filter(|line| !line.starts_with('#')).map(str::trim).filter(|line| !line.is_empty());
        let patterns: Vec<String> = lines.map(from_root).collect();
        Ignore::new(patterns.iter().map(String::as_str))
    }

    /// Reads patterns as `COPY --exclude` has them: a leading slash stays what it is.
    pub fn new<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Ignore, PatternError> {
        let mut ignore = Ignore::default();
        for pattern in patterns.into_iter().map(str::trim).filter(|pattern| !pattern.is_empty()) {
            let cleaned = crate::path::cleaned(pattern);
            let (text, exception) = match cleaned.strip_prefix('!') {
                Some("") => return Err(PatternError::LoneException),
                Some(text) => (text.to_owned(), true),
                None => (cleaned, false),
            };
            let glob = Glob::parse(&text).ok_or_else(|| PatternError::Syntax { pattern: text.clone() })?;
            ignore.exceptions |= exception;
            ignore.patterns.push(Pattern { text, exception, glob });
        }
        Ok(ignore)
    }

    /// Whether there is nothing to leave out.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether any pattern is an exception.
    pub fn has_exceptions(&self) -> bool {
        self.exceptions
    }

    /// The patterns, cleaned, with their `!`.
    pub fn patterns(&self) -> impl Iterator<Item = String> {
        self.patterns.iter().map(|pattern| format!("{}{}", if pattern.exception { "!" } else { "" }, pattern.text))
    }

    /// Whether `path` is left out: relative to the root, parted by `/`, without `.` and `..`.
    pub fn excludes(&self, path: &str) -> bool {
        let mut excluded = false;
        for pattern in &self.patterns {
            // Only what would change the verdict is asked.
            if pattern.exception == excluded && prefixes(path).any(|path| pattern.glob.matches(path)) {
                excluded = !pattern.exception;
            }
        }
        excluded
    }

    /// The root, which no pattern matches.
    pub fn root(&self) -> Level {
        Level::default()
    }

    /// Whether `path`, which lies in the folder of `parent`, is left out; and the level to go on with if it is a folder.
    pub fn enter(&self, parent: &Level, path: &str) -> (bool, Level) {
        let mut level = Level::default();
        let mut excluded = false;
        for (at, pattern) in self.patterns.iter().enumerate() {
            let inherited = parent.has(at);
            if inherited || (pattern.exception == excluded && pattern.glob.matches(path)) {
                level.add(at);
                excluded = !pattern.exception;
            }
        }
        (excluded, level)
    }

    /// Whether an exception may bring back something in the folder `path`, which itself is left out.
    pub fn may_include_below(&self, _level: &Level, path: &str) -> bool {
        let inside = |pattern: &Pattern| pattern.exception && pattern.glob.may_match_below(path);
        self.exceptions && self.patterns.iter().any(inside)
    }

    /// Whether everything in the root is left out by a pattern that says just that.
    pub(crate) fn excludes_everything(&self) -> bool {
        self.patterns.iter().any(|pattern| !pattern.exception && matches!(pattern.text.as_str(), "*" | "**" | "**/*"))
    }
}

/// A line's pattern, from the root of the context however it was written.
fn from_root(line: &str) -> String {
    let (mark, pattern) = line.strip_prefix('!').map_or(("", line), |pattern| ("!", pattern.trim()));
    if pattern.is_empty() {
        return mark.to_owned();
    }
    let cleaned = crate::path::cleaned(pattern);
    let relative = cleaned.strip_prefix('/').filter(|rest| !rest.is_empty()).unwrap_or(&cleaned);
    format!("{mark}{relative}")
}

/// The path and the folders it lies in.
fn prefixes(path: &str) -> impl Iterator<Item = &str> {
    let folders = path.match_indices('/').map(move |(at, _)| &path[..at]).filter(|folder| !folder.is_empty());
    std::iter::once(path).chain(folders)
}

#[cfg(test)]
mod tests;
