//! Texts that nobody would write: read or refused, never a panic, and rules that hold for all of them.

use dockerfile::ignore::{Ignore, Level};
use dockerfile::lint::{ImageFacts, Options, Surroundings, check};
use dockerfile::{BuildArguments, Globals, Lines, Scope, parse, parse_trigger};
use proptest::prelude::*;
use std::sync::Arc;

struct Nothing;

impl Surroundings for Nothing {
    fn image(&self, _: &str, _: Option<&str>) -> Option<ImageFacts> {
        Some(ImageFacts::default())
    }

    fn is_image_name(&self, name: &str) -> bool {
        !name.is_empty()
    }

    fn ignore(&self) -> Option<&Ignore> {
        None
    }
}

const WORDS: &[&str] = &[
    "FROM",
    "ENV",
    "ARG",
    "RUN",
    "COPY",
    "ADD",
    "ONBUILD",
    "HEALTHCHECK",
    "CMD",
    "LABEL",
    "VOLUME",
    "SHELL",
    "WORKDIR",
    "EXPOSE",
    "from",
    "as",
    "a",
    "b=c",
    "\n",
    "\n",
    "\r\n",
    " ",
    " ",
    " ",
    "\t",
    "\\",
    "\\\n",
    "`",
    "\"",
    "'",
    "#",
    "$",
    "${",
    "}",
    "$a",
    ":-",
    "%",
    "/",
    "<<E",
    "<<-'E'",
    "E\n",
    "--from=0",
    "--mount=type=cache,target=/$a",
    "--",
    "[",
    "]",
    "[\"x\"]",
    ",",
    "80/tcp",
    "é",
    "\u{a0}",
    "\u{feff}",
    "# escape=`\n",
    "# check=skip=all\n",
];

const PARTS: &[&str] = &["*", "**", "/", "a", "b", "!", "?", "[a-b]", "[^a]", "ab", ".", "\\*", "\n", "#", " "];

fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(WORDS), 0..40).prop_map(|words| words.concat())
}

/// Everything that the crate does with a file.
fn whole(text: &str) {
    let lines = text.split('\n').count();
    let file = match parse(text.as_bytes()) {
        Ok(file) => file,
        Err(error) => {
            assert!(error.lines().is_none_or(|at| at.first >= 1 && at.first <= at.last && at.last <= lines), "{error}");
            error.excerpt(text, "Dockerfile");
            return;
        }
    };
    let arguments = BuildArguments::default();
    check(&file, &arguments, &Options::default(), &Nothing);
    let Ok(globals) = Globals::new(&file, &arguments).map(Arc::new) else { return };
    for stage in &file.stages {
        let Ok(mut scope) = Scope::of_image(&globals, &[]) else { return };
        for step in &stage.steps {
            assert!(step.written.lines.last <= lines);
            if let Ok(resolved) = scope.step(step) {
                scope.title(step, &resolved);
            }
            let _ = parse_trigger(&step.written.code, Lines { first: 1, last: 1 });
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_or_refused(text in text()) {
        whole(&text);
        whole(&format!("FROM x\n{text}"));
    }

    #[test]
    fn a_folder_that_is_not_searched_has_nothing_to_find(
        patterns in prop::collection::vec(prop::sample::select(PARTS), 0..20),
        path in prop::collection::vec(prop::sample::select(&["a", "b", "ab", "aab"][..]), 1..5),
    ) {
        let Ok(ignore) = Ignore::parse(&patterns.concat().replace(' ', "\n")) else { return Ok(()) };
        let mut level: Level = ignore.root();
        let mut closed = false;
        for depth in 1..=path.len() {
            let path = path[..depth].join("/");
            let (excluded, below) = ignore.enter(&level, &path);
            prop_assert!(!closed || excluded, "{path} is in a folder that would not be opened");
            closed |= excluded && !ignore.may_include_below(&below, &path);
            level = below;
        }
    }
}
