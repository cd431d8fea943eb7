//! `ADD` and `COPY`.

use crate::flags::{Flags, Takes};
use crate::heredoc::chomped;
use crate::words::{json_array, plain_words};
use crate::{Add, Copy, Error, Fault, Heredoc, InlineFile, Sources};

const ADD: &[(&str, Takes)] = &[
    ("chown", Takes::Value),
    ("chmod", Takes::Value),
    ("link", Takes::Switch),
    ("keep-git-dir", Takes::Switch),
    ("checksum", Takes::Value),
    ("unpack", Takes::Switch),
    ("exclude", Takes::Values),
];

const COPY: &[(&str, Takes)] = &[
    ("chown", Takes::Value),
    ("from", Takes::Value),
    ("chmod", Takes::Value),
    ("link", Takes::Switch),
    ("exclude", Takes::Values),
    ("parents", Takes::Switch),
];

impl Add {
    pub(crate) fn parse(flags: &[String], rest: &str, heredocs: &[Heredoc]) -> Result<Add, Error> {
        let words = words(rest, "ADD")?;
        let flags = Flags::parse(flags, ADD)?;
        Ok(Add {
            sources: Sources::parse(words, heredocs, "ADD")?,
            chown: flags.filled("chown"),
            chmod: flags.filled("chmod"),
            link: flags.switch("link").unwrap_or(false),
            exclude: flags.all("exclude").map(str::to_owned).collect(),
            keep_git_dir: flags.switch("keep-git-dir"),
            checksum: flags.filled("checksum"),
            unpack: flags.switch("unpack"),
        })
    }
}

impl Copy {
    pub(crate) fn parse(flags: &[String], rest: &str, heredocs: &[Heredoc]) -> Result<Copy, Error> {
        let words = words(rest, "COPY")?;
        let flags = Flags::parse(flags, COPY)?;
        Ok(Copy {
            sources: Sources::parse(words, heredocs, "COPY")?,
            from: flags.filled("from"),
            chown: flags.filled("chown"),
            chmod: flags.filled("chmod"),
            link: flags.switch("link").unwrap_or(false),
            parents: flags.switch("parents").unwrap_or(false),
            exclude: flags.all("exclude").map(str::to_owned).collect(),
        })
    }
}

fn words(rest: &str, keyword: &'static str) -> Result<Vec<String>, Error> {
    let words = json_array(rest)?.unwrap_or_else(|| plain_words(rest));
    if words.len() < 2 { Err(Fault::NoDestination(keyword).into()) } else { Ok(words) }
}

impl Sources {
    fn parse(mut words: Vec<String>, heredocs: &[Heredoc], keyword: &'static str) -> Result<Sources, Error> {
        let destination = words.pop().unwrap_or_default();
        // A word that only looks like a heredoc and cannot be read as one is a path.
        let announced = |word: &str| Heredoc::announced(word).ok().flatten();
        if announced(&destination).is_some() {
            return Err(Fault::HeredocDestination(keyword).into());
        }
        let mut sources = Sources { paths: Vec::new(), inline: Vec::new(), destination };
        for word in words {
            match announced(&word) {
                Some(found) => sources.inline.push(inline(found, heredocs)),
                None => sources.paths.push(word),
            }
        }
        Ok(sources)
    }
}

fn inline(announced: Heredoc, heredocs: &[Heredoc]) -> InlineFile {
    let content = heredocs.iter().rfind(|known| known.name == announced.name).map(|known| known.content.as_str());
    let content = content.unwrap_or_default();
    InlineFile {
        content: if announced.chomp { chomped(content) } else { content.to_owned() },
        name: announced.name,
        expand: announced.expand,
    }
}
