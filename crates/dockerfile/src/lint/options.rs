//! Which rules count: `skip=A,B;experimental=all;error=true`.

use super::Rule;
use crate::directive::check_of_comment;
use crate::{Dockerfile, Error, Fault};

/// Rules left out, experimental rules asked for, and whether a warning is an error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    skip: Which,
    experimental: Which,
    /// A warning makes the build fail.
    pub error: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Which {
    All,
    Named(Vec<String>),
}

impl Default for Which {
    fn default() -> Which {
        Which::Named(Vec::new())
    }
}

impl Which {
    fn parse(value: &str) -> Which {
        match value.trim() {
            "all" => Which::All,
            names => Which::Named(names.split(',').map(|name| name.trim().to_owned()).collect()),
        }
    }

    fn has(&self, rule: Rule) -> bool {
        match self {
            Which::All => true,
            Which::Named(names) => names.iter().any(|name| name == rule.name()),
        }
    }

    fn join(&mut self, other: Which) {
        match (&mut *self, other) {
            (Which::All, _) => {}
            (Which::Named(names), Which::Named(more)) => names.extend(more),
            (_, Which::All) => *self = Which::All,
        }
    }
}

impl Options {
    /// The options of a build: those that were given (`BUILDKIT_DOCKERFILE_CHECK`), or those that the file's directive says.
    pub fn of(file: &Dockerfile, given: Option<&str>) -> Result<Options, Error> {
        match (given, &file.directives.check) {
            (Some(given), _) => Options::parse(given),
            (None, Some(directive)) => Options::parse(&directive.value).map_err(|error| error.at(directive.lines)),
            (None, None) => Ok(Options::default()),
        }
    }

    /// Reads them.
    pub fn parse(text: &str) -> Result<Options, Error> {
        let mut options = Options::default();
        let wrong = |why: String| Error::from(Fault::CheckOptions(why));
        for part in text.trim().splitn(3, ';').filter(|_| !text.trim().is_empty()) {
            let quoted = crate::quote::quoted;
            let (key, value) =
                part.split_once('=').ok_or_else(|| wrong(format!("invalid check option {}", quoted(part))))?;
            match key.trim() {
                "skip" => options.skip = Which::parse(value),
                "experimental" => options.experimental = Which::parse(value),
                "error" => {
                    let value = value.trim();
                    options.error = crate::mount::boolean("error", value).map_err(|_| {
                        let why = format!("strconv.ParseBool: parsing {}: invalid syntax", quoted(value));
                        wrong(format!("failed to parse check option {}: {why}", quoted(part)))
                    })?;
                }
                key => return Err(wrong(format!("invalid check option {}", quoted(key)))),
            }
        }
        Ok(options)
    }

    /// Whether a rule counts for an instruction with these comments above it.
    pub fn wants_at(&self, rule: Rule, comments: &[String]) -> bool {
        self.with_comments(comments).wants(rule)
    }

    pub(super) fn wants(&self, rule: Rule) -> bool {
        if rule.is_experimental() { self.experimental.has(rule) } else { !self.skip.has(rule) }
    }

    /// With those of a comment `# check=...` right above an instruction.
    pub(super) fn with_comments(&self, comments: &[String]) -> Options {
        let mut options = self.clone();
        let more = comments.iter().find_map(|comment| check_of_comment(comment)).map(Options::parse);
        if let Some(Ok(more)) = more {
            options.skip.join(more.skip);
            options.experimental.join(more.experimental);
        }
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_options() {
        let options = Options::parse("skip=StageNameCasing,FromAsCasing;error=true;experimental=all").unwrap();
        assert!(options.error && !options.wants(Rule::FromAsCasing) && options.wants(Rule::UndefinedVar));
        assert!(options.wants(Rule::InvalidDefinitionDescription));
        assert!(!Options::parse("").unwrap().wants(Rule::InvalidDefinitionDescription));
        assert!(!Options::parse("skip=all").unwrap().wants(Rule::UndefinedVar));
    }

    #[test]
    fn says_what_is_wrong_with_options() {
        let wrong = |text| Options::parse(text).unwrap_err().message();
        assert_eq!(wrong("skip"), "failed to parse check options: invalid check option \"skip\"");
        assert_eq!(wrong("a=b"), "failed to parse check options: invalid check option \"a\"");
        assert!(wrong("error=maybe").ends_with("strconv.ParseBool: parsing \"maybe\": invalid syntax"));
    }

    #[test]
    fn a_comment_above_an_instruction_has_a_say() {
        let options = Options::default().with_comments(&["check=skip=UndefinedVar".to_owned()]);
        assert!(!options.wants(Rule::UndefinedVar) && options.wants(Rule::FromAsCasing));
    }
}
