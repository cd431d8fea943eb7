//! Cases of builds: files with a Dockerfile for each, what its context is made with, and what changes before it is built again.
//!
//! ```text
//!   == NAME [buildkit]      begins a case; not for the classic builder when it says so
//!   $ SHELL                 makes the context; run in its folder
//!   > FLAGS                 of `docker build`
//!   ~ SHELL > FLAGS         changes the context, and the flags; then it is built again
//!   ! true                  the build fails
//!   anything else           the Dockerfile
//! ```

use std::path::{Path, PathBuf};

/// One case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Case {
    /// With the name of its file.
    pub name: String,
    pub language: Language,
    pub context: Vec<String>,
    pub flags: String,
    pub again: Option<Again>,
    pub end: End,
    pub dockerfile: String,
}

/// What is understood.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Language {
    /// By the classic builder, too, and alike.
    #[default]
    Plain,
    BuildKit,
}

/// How a build ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum End {
    #[default]
    Image,
    Failure,
}

/// A second build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Again {
    pub change: String,
    /// The first one's unless it has its own.
    pub flags: Option<String>,
}

/// All cases, in the order of their files and lines.
pub fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("builds");
    let entries = std::fs::read_dir(&folder).expect("the cases are in the source tree");
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    paths.sort();
    paths.iter().flat_map(|path| read(path)).collect()
}

fn read(path: &Path) -> Vec<Case> {
    let text = std::fs::read_to_string(path).expect("a case can be read");
    let file = path.file_stem().expect("a name").to_string_lossy().into_owned();
    text.split("\n== ").skip(1).map(|text| case(&file, text)).collect()
}

fn case(file: &str, text: &str) -> Case {
    let (title, lines) = text.split_once('\n').unwrap_or((text, ""));
    let (name, language) = match title.strip_suffix(" [buildkit]") {
        Some(name) => (name, Language::BuildKit),
        None => (title, Language::Plain),
    };
    let mut case = Case { name: format!("{file}: {name}"), language, ..Case::default() };
    for line in lines.trim_end().lines() {
        match line.split_once(' ') {
            Some(("$", shell)) => case.context.push(shell.to_owned()),
            Some((">", flags)) if case.dockerfile.is_empty() => flags.clone_into(&mut case.flags),
            Some(("~", change)) => {
                // With spaces around it is no redirection.
                let (change, flags) = change.split_once(" > --").map_or((change, None), |(c, f)| (c, Some(f)));
                let flags = flags.map(|flags| format!("--{flags}"));
                case.again = Some(Again { change: change.to_owned(), flags });
            }
            Some(("!", _)) => case.end = End::Failure,
            _ => {
                case.dockerfile.push_str(line);
                case.dockerfile.push('\n');
            }
        }
    }
    case
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_taken_apart() {
        let text = "name [buildkit]\n$ echo x > f\n> --a\n~ echo y > f > --b\nFROM x\nRUN a \\\n  b\n\n";
        let expected = Case {
            name: "file: name".to_owned(),
            language: Language::BuildKit,
            context: vec!["echo x > f".to_owned()],
            flags: "--a".to_owned(),
            again: Some(Again { change: "echo y > f".to_owned(), flags: Some("--b".to_owned()) }),
            end: End::Image,
            dockerfile: "FROM x\nRUN a \\\n  b\n".to_owned(),
        };
        assert_eq!(case("file", text), expected);
        assert!(cases().len() > 40);
    }
}
