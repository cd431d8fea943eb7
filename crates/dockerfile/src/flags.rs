//! The flags of an instruction.

use crate::suggest::{Case, nearest};
use crate::{Error, Fault};

/// What a flag takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takes {
    /// Nothing, or `true` and `false`.
    Switch,
    Value,
    /// A value, each time it is given.
    Values,
}

/// The flags an instruction was given.
#[derive(Debug, Default)]
pub(crate) struct Flags {
    given: Vec<(&'static str, String)>,
}

impl Flags {
    /// Checks `words` (`--name=value`) against the flags that there are.
    pub fn parse(words: &[String], known: &[(&'static str, Takes)]) -> Result<Flags, Error> {
        let mut flags = Flags::default();
        for word in words {
            flags.add(word, known)?;
        }
        Ok(flags)
    }

    /// For an instruction without flags.
    pub fn none(words: &[String]) -> Result<(), Error> {
        Flags::parse(words, &[]).map(drop)
    }

    fn add(&mut self, word: &str, known: &[(&'static str, Takes)]) -> Result<(), Error> {
        let (flag, value) = word.split_once('=').map_or((word, None), |(flag, value)| (flag, Some(value)));
        let written = flag.strip_prefix("--").unwrap_or(flag);
        let Some((name, takes)) = known.iter().find(|(name, _)| *name == written) else {
            let hint = nearest(written, known.iter().map(|(name, _)| *name), Case::Matters);
            return Err(Error::from(Fault::UnknownFlag(flag.to_owned())).meaning(hint));
        };
        if *takes != Takes::Values && self.given.iter().any(|(given, _)| given == name) {
            return Err(Fault::DuplicateFlag(flag.to_owned()).into());
        }
        let missing = || Error::from(Fault::FlagWithoutValue(flag.to_owned()));
        let value = match (takes, value) {
            (Takes::Switch, None) => "true".to_owned(),
            (Takes::Switch, Some(value)) => match value.to_lowercase().as_str() {
                "" => return Err(missing()),
                value @ ("true" | "false") => value.to_owned(),
                _ => return Err(Fault::FlagNotBoolean { flag: flag.to_owned(), value: value.to_owned() }.into()),
            },
            (_, Some(value)) => value.to_owned(),
            (_, None) => return Err(missing()),
        };
        self.given.push((name, value));
        Ok(())
    }

    /// A switch, if it was given.
    pub fn switch(&self, name: &str) -> Option<bool> {
        self.text(name).map(|value| value == "true")
    }

    /// A value, even an empty one.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.given.iter().find(|(given, _)| *given == name).map(|(_, value)| value.as_str())
    }

    /// A value; an empty one says nothing.
    pub fn filled(&self, name: &str) -> Option<String> {
        self.text(name).filter(|value| !value.is_empty()).map(str::to_owned)
    }

    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.given.iter().filter(move |(given, _)| *given == name).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[(&str, Takes)] = &[("link", Takes::Switch), ("from", Takes::Value), ("exclude", Takes::Values)];

    fn parse(words: &[&str]) -> Result<Flags, String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        Flags::parse(&words, KNOWN).map_err(|error| error.message())
    }

    #[test]
    fn reads_the_three_sorts() {
        let flags = parse(&["--link", "--from=a=b", "--exclude=x", "--exclude=y"]).unwrap();
        assert_eq!(flags.switch("link"), Some(true));
        assert_eq!(flags.text("from"), Some("a=b"));
        assert_eq!(flags.all("exclude").collect::<Vec<_>>(), ["x", "y"]);
        assert_eq!(parse(&["--link=False"]).unwrap().switch("link"), Some(false));
    }

    #[test]
    fn says_what_is_wrong_with_a_flag() {
        let wrong = |word| parse(&[word]).err().unwrap();
        assert_eq!(wrong("--form=a"), "unknown flag: --form (did you mean from?)");
        assert_eq!(wrong("--platform=a"), "unknown flag: --platform");
        assert_eq!(wrong("--from"), "missing a value on flag: --from");
        assert_eq!(wrong("--link="), "missing a value on flag: --link");
        assert_eq!(wrong("--link=1"), "expecting boolean value for flag --link, not: 1");
        assert_eq!(parse(&["--from=a", "--from=b"]).err().unwrap(), "duplicate flag specified: --from");
    }
}
