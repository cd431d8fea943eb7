//! Values as people write them: GVariant's text format, which annotations `org.systemd.property.*` use.
//!
//! `true`, `'text'`, `"text"`, `12`, `uint32 12`, `1.5`, `b'bytes'`, `[1, 2]`, `@as []`, `('a', 1)`, `{'key': 1}`, `<variant>`.
//! Numbers without a type are int32, or double when they have a point. `just` and `nothing` do not exist on D-Bus.

use super::value::{Value, signatures, split_signature};
use std::str::FromStr;

/// What the text is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unreadable(String);

type Result<T> = std::result::Result<T, Unreadable>;

/// Words that name the type of what follows.
const KEYWORDS: &[(&str, &str)] = &[
    ("boolean", "b"),
    ("byte", "y"),
    ("int16", "n"),
    ("uint16", "q"),
    ("int32", "i"),
    ("uint32", "u"),
    ("int64", "x"),
    ("uint64", "t"),
    ("double", "d"),
    ("string", "s"),
    ("objectpath", "o"),
    ("signature", "g"),
];

/// How deep values may lie in each other.
const MAX_DEPTH: u32 = 16;

/// Reads one value.
pub(super) fn parse(text: &str) -> Result<Value> {
    let mut parser = Parser { rest: text, depth: MAX_DEPTH };
    let value = parser.value(None)?;
    match parser.peek() {
        None => Ok(value),
        Some(_) => Err(Unreadable(format!("unexpected {:?} after the value", parser.rest))),
    }
}

struct Parser<'a> {
    rest: &'a str,
    depth: u32,
}

impl<'a> Parser<'a> {
    fn peek(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start();
        self.rest.chars().next()
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.rest = &self.rest[wanted.len_utf8()..];
        }
        found
    }

    fn expect(&mut self, wanted: char) -> Result<()> {
        if self.eat(wanted) { Ok(()) } else { Err(Unreadable(format!("expected {wanted:?} at {:?}", self.rest))) }
    }

    /// The longest run of characters that a bare word or a number has.
    fn word(&mut self) -> &'a str {
        let end = self.rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+' | '_')));
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        word
    }

    /// `wanted`: the signature that the place demands.
    fn value(&mut self, wanted: Option<&str>) -> Result<Value> {
        self.depth = self.depth.checked_sub(1).ok_or_else(|| Unreadable("too many values in each other".to_owned()))?;
        let value = match self.peek() {
            None => return Err(Unreadable("a value is missing".to_owned())),
            Some('\'' | '"') => self.quoted().and_then(|text| texts(text, wanted)),
            Some('[') => self.array(wanted),
            Some('(') => self.tuple(wanted),
            Some('{') => self.dictionary(wanted),
            Some('<') => self.variant(),
            Some('@') => self.typed(),
            Some('b') if self.rest[1..].starts_with(['\'', '"']) => self.byte_string(),
            Some(_) => self.bare(wanted),
        }?;
        self.depth += 1;
        match wanted {
            Some(wanted) if value.signature() != wanted => {
                Err(Unreadable(format!("{value} is of type {:?}, not {wanted:?}", value.signature())))
            }
            _ => Ok(value),
        }
    }

    fn bare(&mut self, wanted: Option<&str>) -> Result<Value> {
        let before = self.rest;
        let word = self.word();
        if let Some((_, signature)) = KEYWORDS.iter().find(|(keyword, _)| *keyword == word) {
            return self.value(Some(signature));
        }
        match word {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            "just" | "nothing" => Err(Unreadable(format!("{word:?} does not exist on D-Bus"))),
            "" => Err(Unreadable(format!("unexpected {before:?}"))),
            number => numbers(number, wanted),
        }
    }

    fn typed(&mut self) -> Result<Value> {
        self.expect('@')?;
        let end = self.rest.find(char::is_whitespace).unwrap_or(self.rest.len());
        let (signature, rest) = self.rest.split_at(end);
        self.rest = rest;
        match split_signature(signature) {
            Ok((whole, "")) => self.value(Some(whole)),
            _ => Err(Unreadable(format!("{signature:?} is no type"))),
        }
    }

    fn array(&mut self, wanted: Option<&str>) -> Result<Value> {
        self.expect('[')?;
        let mut of = wanted.and_then(|wanted| wanted.strip_prefix('a')).map(str::to_owned);
        let mut items = Vec::new();
        while !self.eat(']') {
            if !items.is_empty() {
                self.expect(',')?;
            }
            let item = self.value(of.as_deref())?;
            of.get_or_insert_with(|| item.signature());
            items.push(item);
        }
        let of = of.ok_or_else(|| Unreadable("an empty array needs a type: @as []".to_owned()))?;
        Ok(Value::Array(of, items))
    }

    fn tuple(&mut self, wanted: Option<&str>) -> Result<Value> {
        self.expect('(')?;
        let mut left = wanted.and_then(|wanted| wanted.strip_prefix('(')?.strip_suffix(')')).unwrap_or_default();
        let mut fields = Vec::new();
        while !self.eat(')') {
            if !fields.is_empty() {
                self.expect(',')?;
                if self.eat(')') {
                    break;
                }
            }
            let (one, rest) = split_signature(left).map_or((None, ""), |(one, rest)| (Some(one), rest));
            fields.push(self.value(one)?);
            left = rest;
        }
        if fields.is_empty() { Err(Unreadable("an empty tuple".to_owned())) } else { Ok(Value::Struct(fields)) }
    }

    fn dictionary(&mut self, wanted: Option<&str>) -> Result<Value> {
        self.expect('{')?;
        let mut of = wanted.and_then(|wanted| wanted.strip_prefix("a{")?.strip_suffix('}')).map(str::to_owned);
        let mut items = Vec::new();
        while !self.eat('}') {
            if !items.is_empty() {
                self.expect(',')?;
            }
            let both = of.as_deref().and_then(|of| split_signature(of).ok());
            let key = self.value(both.map(|both| both.0))?;
            self.expect(':')?;
            let value = self.value(both.map(|both| both.1))?;
            let pair = [key, value];
            of.get_or_insert_with(|| signatures(&pair));
            let [key, value] = pair;
            items.push(Value::Entry(Box::new((key, value))));
        }
        let of = of.ok_or_else(|| Unreadable("an empty dictionary needs a type: @a{sv} {}".to_owned()))?;
        Ok(Value::Array(format!("{{{of}}}"), items))
    }

    fn variant(&mut self) -> Result<Value> {
        self.expect('<')?;
        let inner = self.value(None)?;
        self.expect('>')?;
        Ok(Value::Variant(Box::new(inner)))
    }

    /// `b'...'` is an array of bytes that ends in NUL.
    fn byte_string(&mut self) -> Result<Value> {
        self.expect('b')?;
        let mut bytes = self.quoted()?.into_bytes();
        bytes.push(0);
        Ok(Value::bytes(&bytes))
    }

    fn quoted(&mut self) -> Result<String> {
        let mut chars = self.rest.chars();
        let quote = chars.next();
        let mut text = String::new();
        loop {
            match chars.next() {
                None => return Err(Unreadable("a text without its closing quote".to_owned())),
                Some('\\') => text.push(escaped(&mut chars)?),
                found if found == quote => break,
                Some(other) => text.push(other),
            }
        }
        self.rest = chars.as_str();
        Ok(text)
    }
}

fn escaped(chars: &mut std::str::Chars<'_>) -> Result<char> {
    let digits = match chars.next() {
        None => return Err(Unreadable("a text without its closing quote".to_owned())),
        Some('n') => return Ok('\n'),
        Some('t') => return Ok('\t'),
        Some('r') => return Ok('\r'),
        Some('a') => return Ok('\u{7}'),
        Some('b') => return Ok('\u{8}'),
        Some('f') => return Ok('\u{c}'),
        Some('v') => return Ok('\u{b}'),
        Some('u') => 4,
        Some('U') => 8,
        Some(other) => return Ok(other),
    };
    let code: String = chars.by_ref().take(digits).collect();
    let code = u32::from_str_radix(&code, 16).ok().and_then(char::from_u32);
    code.ok_or_else(|| Unreadable("a wrong \\u".to_owned()))
}

fn texts(text: String, wanted: Option<&str>) -> Result<Value> {
    Ok(match wanted {
        Some("o") => Value::ObjectPath(text),
        Some("g") => Value::Signature(text),
        _ => Value::Text(text),
    })
}

fn numbers(word: &str, wanted: Option<&str>) -> Result<Value> {
    let point = word.contains('.') || (!word.starts_with("0x") && word.contains(['e', 'E']));
    match wanted.unwrap_or(if point { "d" } else { "i" }) {
        "y" => integer(word).map(Value::Byte),
        "n" => integer(word).map(Value::I16),
        "q" => integer(word).map(Value::U16),
        "i" => integer(word).map(Value::I32),
        "u" => integer(word).map(Value::U32),
        "x" => integer(word).map(Value::I64),
        "t" => integer(word).map(Value::U64),
        "d" => word.parse().map(Value::Double).map_err(|_| unread(word)),
        _ => Err(unread(word)),
    }
}

fn integer<T: FromStr + TryFrom<i128>>(word: &str) -> Result<T> {
    let (negative, digits) = match word.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, word.strip_prefix('+').unwrap_or(word)),
    };
    let (digits, base) = match digits.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None if digits.len() > 1 && digits.starts_with('0') => (&digits[1..], 8),
        None => (digits, 10),
    };
    let number = Some(digits).filter(|digits| !digits.starts_with(['+', '-']));
    let number = number.and_then(|digits| i128::from_str_radix(digits, base).ok());
    let number = number.map(|number| if negative { -number } else { number });
    number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| unread(word))
}

fn unread(word: &str) -> Unreadable {
    Unreadable(format!("{word:?} is no value of the type that it should have (texts stand in quotes)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers_of(signature: &str, numbers: &[Value]) -> Value {
        Value::Array(signature.to_owned(), numbers.to_vec())
    }

    #[test]
    fn simple_values_have_the_types_of_gvariant() {
        for (text, value) in [
            ("true", Value::Bool(true)),
            ("boolean false", Value::Bool(false)),
            ("'a \\'b\\' \\u0041'", Value::text("a 'b' A")),
            ("\"it's\"", Value::text("it's")),
            ("-12", Value::I32(-12)),
            ("uint64 0x10", Value::U64(16)),
            ("int64 -5", Value::I64(-5)),
            ("byte 255", Value::Byte(255)),
            ("uint32 010", Value::U32(8)),
            ("1.5", Value::Double(1.5)),
            ("double 3", Value::Double(3.0)),
            ("objectpath '/a'", Value::ObjectPath("/a".to_owned())),
            (" @t 7 ", Value::U64(7)),
            ("<uint16 1>", Value::Variant(Box::new(Value::U16(1)))),
        ] {
            assert_eq!(parse(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn compound_values_take_the_type_of_their_first_element() {
        assert_eq!(parse("[uint32 1, 2]"), Ok(numbers_of("u", &[Value::U32(1), Value::U32(2)])));
        assert_eq!(parse("@at [1]"), Ok(numbers_of("t", &[Value::U64(1)])));
        assert_eq!(parse("@as []"), Ok(Value::texts([])));
        assert_eq!(parse("['a', \"b\"]"), Ok(Value::texts(["a", "b"])));
        assert_eq!(parse("b'ab'"), Ok(Value::bytes(b"ab\0")));
        assert_eq!(parse("('a', 1)").unwrap().signature(), "(si)");
        assert_eq!(parse("[('/dev/null', 'rw')]").unwrap().signature(), "a(ss)");
        assert_eq!(parse("{'a': <1>, 'b': <'x'>}").unwrap().signature(), "a{sv}");
        assert_eq!(parse("@(tas) (1, [])").unwrap().signature(), "(tas)");
    }

    #[test]
    fn what_is_no_value_is_an_error() {
        for text in [
            "",
            "yes",
            "'open",
            "[1, 'a']",
            "[]",
            "uint32 -1",
            "byte 256",
            "1 2",
            "@q 'x'",
            "@",
            "@aa 1",
            "[1",
            "(",
            "()",
            "<1",
            "just 1",
            "{'a' 1}",
            "{1: 2",
            "--1",
            "0x",
            "é",
            "[1,,2]",
            "boolean 1",
        ] {
            assert!(parse(text).is_err(), "{text:?}: {:?}", parse(text));
        }
        assert!(parse(&"[".repeat(1000)).is_err());
    }
}
