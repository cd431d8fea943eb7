//! Which records are meant: `type==exec.cachemount,id~=^ab`, as BuildKit's clients write it (containerd's filters).

use super::{Kept, Record};
use crate::{Error, Result};
use regex_lite::Regex;
use std::str::FromStr;

/// All of its terms must fit.
#[derive(Debug, Clone)]
pub struct Filter {
    text: String,
    terms: Vec<Term>,
}

#[derive(Debug, Clone)]
struct Term {
    field: Field,
    test: Test,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Id,
    Parents,
    Description,
    InUse,
    Mutable,
    Immutable,
    Type,
    Shared,
    Private,
}

#[derive(Debug, Clone)]
enum Test {
    /// There is something.
    Present,
    Is(String),
    IsNot(String),
    Like(Regex),
}

impl PartialEq for Filter {
    fn eq(&self, other: &Filter) -> bool {
        self.text == other.text
    }
}

impl Eq for Filter {}

impl FromStr for Filter {
    type Err = Error;

    fn from_str(text: &str) -> Result<Filter> {
        let terms = split(text).into_iter().map(|term| term.parse()).collect::<Result<_>>()?;
        Ok(Filter { text: text.to_owned(), terms })
    }
}

/// At commas, but for those between quotes.
fn split(text: &str) -> Vec<String> {
    let (mut terms, mut quoted) = (vec![String::new()], false);
    for letter in text.chars() {
        quoted ^= letter == '"';
        match terms.last_mut() {
            Some(last) if letter != ',' || quoted => last.push(letter),
            _ => terms.push(String::new()),
        }
    }
    terms.retain(|term| !term.trim().is_empty());
    terms
}

impl FromStr for Term {
    type Err = Error;

    fn from_str(text: &str) -> Result<Term> {
        let found = ["~=", "==", "!="].iter().filter_map(|sign| Some((text.find(sign)?, *sign))).min();
        // `name=value` is what people write.
        let found = found.or_else(|| text.find('=').map(|at| (at, "=")));
        let Some((at, sign)) = found else { return Ok(Term { field: text.trim().parse()?, test: Test::Present }) };
        let value = text[at + sign.len()..].trim().trim_matches('"').to_owned();
        let field = text[..at].trim().parse()?;
        let wrong = |error| Error::Invalid(format!("invalid filter {text:?}: {error}"));
        let test = match sign {
            "~=" => Test::Like(Regex::new(&value).map_err(wrong)?),
            "!=" => Test::IsNot(value),
            _ => Test::Is(value),
        };
        Ok(Term { field, test })
    }
}

impl FromStr for Field {
    type Err = Error;

    fn from_str(text: &str) -> Result<Field> {
        Ok(match text {
            "id" => Field::Id,
            "parents" | "parent" => Field::Parents,
            "description" => Field::Description,
            "inuse" => Field::InUse,
            "mutable" => Field::Mutable,
            "immutable" => Field::Immutable,
            "type" => Field::Type,
            "shared" => Field::Shared,
            "private" => Field::Private,
            other => return Err(Error::Invalid(format!("invalid filter '{other}'"))),
        })
    }
}

/// What a record has in a field.
enum Value {
    Text(String),
    Truth(bool),
}

impl Filter {
    pub fn fits(&self, record: &Record) -> bool {
        self.terms.iter().all(|term| term.fits(record))
    }
}

impl Term {
    fn fits(&self, record: &Record) -> bool {
        let value = match self.field {
            Field::Id => Value::Text(record.id.clone()),
            Field::Parents => Value::Text(record.parents.join(";")),
            Field::Description => Value::Text(record.description.clone()),
            Field::Type => Value::Text(record.kind.name().to_owned()),
            Field::InUse => Value::Truth(record.in_use == Kept::Yes),
            Field::Mutable => Value::Truth(record.is_mutable()),
            Field::Immutable => Value::Truth(!record.is_mutable()),
            Field::Shared => Value::Truth(record.shared == Kept::Yes),
            Field::Private => Value::Truth(record.shared == Kept::No),
        };
        match (&self.test, value) {
            (Test::Present, Value::Text(text)) => !text.is_empty(),
            (Test::Present, Value::Truth(is)) => is,
            (Test::Is(wanted), Value::Text(text)) => text == *wanted,
            (Test::IsNot(wanted), Value::Text(text)) => text != *wanted,
            (Test::Like(wanted), Value::Text(text)) => wanted.is_match(&text),
            (Test::Is(wanted), Value::Truth(is)) => is == is_true(wanted),
            (Test::IsNot(wanted), Value::Truth(is)) => is != is_true(wanted),
            (Test::Like(wanted), Value::Truth(is)) => wanted.is_match(if is { "true" } else { "false" }),
        }
    }
}

fn is_true(text: &str) -> bool {
    matches!(text, "" | "1" | "t" | "true" | "True" | "TRUE")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::RecordKind;

    #[test]
    fn records_are_told_apart_by_all_their_fields() {
        let record = Record {
            id: "abc".into(),
            kind: RecordKind::Mount,
            description: "cached mount /root/.cache".into(),
            size: 1,
            made_at: 0,
            used_at: 0,
            uses: 1,
            shared: Kept::No,
            in_use: Kept::Yes,
            parents: vec!["p1".into(), "p2".into()],
        };
        for yes in [
            "id~=^a",
            "id==abc",
            "id=abc",
            "type==exec.cachemount,inuse",
            "mutable",
            "private",
            "shared==false",
            "inuse==true",
            "immutable!=true",
            "parents~=p2",
            "description==\"cached mount /root/.cache\"",
            "",
        ] {
            assert!(yes.parse::<Filter>().unwrap().fits(&record), "{yes}");
        }
        for no in
            ["id~=^b", "type==regular", "immutable", "shared", "type!=exec.cachemount", "mutable,shared", "parents==p1"]
        {
            assert!(!no.parse::<Filter>().unwrap().fits(&record), "{no}");
        }
        for wrong in ["nope==1", "id~=(", "=x"] {
            assert!(wrong.parse::<Filter>().is_err(), "{wrong}");
        }
    }
}
