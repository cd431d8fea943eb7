//! Values of D-Bus and their bytes (D-Bus specification, "Type System" and "Marshaling"), little-endian.

use std::fmt::Write as _;

/// A value of a type.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Byte(u8),
    Bool(bool),
    I16(i16),
    U16(u16),
    I32(i32),
    U32(u32),
    I64(i64),
    U64(u64),
    Double(f64),
    Text(String),
    ObjectPath(String),
    Signature(String),
    /// The signature of one element, and the elements.
    Array(String, Vec<Value>),
    Struct(Vec<Value>),
    Entry(Box<(Value, Value)>),
    Variant(Box<Value>),
}

/// What came is not what D-Bus allows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} in a D-Bus message")]
pub(crate) struct Malformed(pub(super) &'static str);

/// How deep values may lie in each other (the specification's own bound is 64).
const MAX_DEPTH: u32 = 64;

impl Value {
    pub(super) fn text(text: impl Into<String>) -> Value {
        Value::Text(text.into())
    }

    pub(super) fn texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> Value {
        Value::Array("s".to_owned(), texts.into_iter().map(Value::text).collect())
    }

    pub(super) fn bytes(bytes: &[u8]) -> Value {
        Value::Array("y".to_owned(), bytes.iter().map(|byte| Value::Byte(*byte)).collect())
    }

    pub(super) fn signature(&self) -> String {
        match self {
            Value::Array(of, _) => format!("a{of}"),
            Value::Struct(fields) => format!("({})", signatures(fields)),
            Value::Entry(entry) => format!("{{{}{}}}", entry.0.signature(), entry.1.signature()),
            simple => simple.letter().to_string(),
        }
    }

    /// The letter of a type that has just one.
    fn letter(&self) -> char {
        match self {
            Value::Byte(_) => 'y',
            Value::Bool(_) => 'b',
            Value::I16(_) => 'n',
            Value::U16(_) => 'q',
            Value::I32(_) => 'i',
            Value::U32(_) => 'u',
            Value::I64(_) => 'x',
            Value::U64(_) => 't',
            Value::Double(_) => 'd',
            Value::Text(_) => 's',
            Value::ObjectPath(_) => 'o',
            Value::Signature(_) => 'g',
            Value::Variant(_) => 'v',
            Value::Array(..) => 'a',
            Value::Struct(_) => '(',
            Value::Entry(_) => '{',
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        pad(out, alignment(self.letter() as u8));
        match self {
            Value::Byte(byte) => out.push(*byte),
            Value::Bool(yes) => out.extend(u32::from(*yes).to_le_bytes()),
            Value::I16(number) => out.extend(number.to_le_bytes()),
            Value::U16(number) => out.extend(number.to_le_bytes()),
            Value::I32(number) => out.extend(number.to_le_bytes()),
            Value::U32(number) => out.extend(number.to_le_bytes()),
            Value::I64(number) => out.extend(number.to_le_bytes()),
            Value::U64(number) => out.extend(number.to_le_bytes()),
            Value::Double(number) => out.extend(number.to_le_bytes()),
            Value::Text(text) | Value::ObjectPath(text) => {
                out.extend(length(text.len()));
                out.extend(text.as_bytes());
                out.push(0);
            }
            Value::Signature(text) => write_signature(text, out),
            Value::Array(of, items) => write_array(of, items, out),
            Value::Struct(fields) => fields.iter().for_each(|field| field.write(out)),
            Value::Entry(entry) => {
                entry.0.write(out);
                entry.1.write(out);
            }
            Value::Variant(inner) => {
                write_signature(&inner.signature(), out);
                inner.write(out);
            }
        }
    }
}

/// As the texts of errors show it.
impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::Byte(number) => write!(f, "{number}"),
            Value::Bool(yes) => write!(f, "{yes}"),
            Value::I16(number) => write!(f, "{number}"),
            Value::U16(number) => write!(f, "{number}"),
            Value::I32(number) => write!(f, "{number}"),
            Value::U32(number) => write!(f, "{number}"),
            Value::I64(number) => write!(f, "{number}"),
            Value::U64(number) => write!(f, "{number}"),
            Value::Double(number) => write!(f, "{number}"),
            Value::Text(text) | Value::ObjectPath(text) | Value::Signature(text) => write!(f, "{text:?}"),
            Value::Array(_, items) => listed(f, '[', items, ']'),
            Value::Struct(fields) => listed(f, '(', fields, ')'),
            Value::Entry(entry) => write!(f, "{}: {}", entry.0, entry.1),
            Value::Variant(inner) => write!(f, "<{inner}>"),
        }
    }
}

fn listed(f: &mut std::fmt::Formatter<'_>, open: char, items: &[Value], close: char) -> std::fmt::Result {
    f.write_char(open)?;
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        write!(f, "{item}")?;
    }
    f.write_char(close)
}

pub(super) fn signatures(values: &[Value]) -> String {
    values.iter().map(Value::signature).collect()
}

fn write_array(of: &str, items: &[Value], out: &mut Vec<u8>) {
    let at = out.len();
    out.extend([0; 4]);
    // The padding before the first element does not count, and is there without elements, too.
    pad(out, alignment(of.as_bytes().first().copied().unwrap_or(b'y')));
    let start = out.len();
    items.iter().for_each(|item| item.write(out));
    let count = length(out.len() - start);
    out[at..at + 4].copy_from_slice(&count);
}

fn write_signature(text: &str, out: &mut Vec<u8>) {
    out.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
    out.extend(text.as_bytes());
    out.push(0);
}

/// Messages of more than 4 GiB are never made here.
fn length(count: usize) -> [u8; 4] {
    u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes()
}

pub(super) fn pad(out: &mut Vec<u8>, alignment: usize) {
    out.resize(out.len().next_multiple_of(alignment), 0);
}

/// By the first letter of a signature.
fn alignment(letter: u8) -> usize {
    match letter {
        b'n' | b'q' => 2,
        b'b' | b'i' | b'u' | b's' | b'o' | b'a' => 4,
        b'x' | b't' | b'd' | b'(' | b'{' => 8,
        _ => 1,
    }
}

/// Takes values out of bytes that somebody else wrote.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// `bytes` begin where alignment counts from.
    pub(super) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0 }
    }

    pub(super) fn values(&mut self, signature: &str) -> Result<Vec<Value>, Malformed> {
        self.sequence(signature, MAX_DEPTH)
    }

    fn sequence(&mut self, mut signature: &str, depth: u32) -> Result<Vec<Value>, Malformed> {
        let mut values = Vec::new();
        while !signature.is_empty() {
            let (one, rest) = split_signature(signature)?;
            values.push(self.value(one, depth)?);
            signature = rest;
        }
        Ok(values)
    }

    fn value(&mut self, signature: &str, depth: u32) -> Result<Value, Malformed> {
        let depth = depth.checked_sub(1).ok_or(Malformed("too deep a value"))?;
        let letter = signature.as_bytes().first().copied().unwrap_or_default();
        self.align(alignment(letter))?;
        Ok(match letter {
            b'y' => Value::Byte(self.number::<1>()?[0]),
            b'b' => Value::Bool(u32::from_le_bytes(self.number()?) != 0),
            b'n' => Value::I16(i16::from_le_bytes(self.number()?)),
            b'q' => Value::U16(u16::from_le_bytes(self.number()?)),
            b'i' => Value::I32(i32::from_le_bytes(self.number()?)),
            b'u' | b'h' => Value::U32(u32::from_le_bytes(self.number()?)),
            b'x' => Value::I64(i64::from_le_bytes(self.number()?)),
            b't' => Value::U64(u64::from_le_bytes(self.number()?)),
            b'd' => Value::Double(f64::from_le_bytes(self.number()?)),
            b's' => Value::Text(self.string()?),
            b'o' => Value::ObjectPath(self.string()?),
            b'g' => Value::Signature(self.signature()?),
            b'v' => {
                let inner = self.signature()?;
                Value::Variant(Box::new(self.value(&inner, depth)?))
            }
            b'a' => self.array(&signature[1..], depth)?,
            b'(' => Value::Struct(self.sequence(&signature[1..signature.len() - 1], depth)?),
            b'{' => self.entry(&signature[1..signature.len() - 1], depth)?,
            _ => return Err(Malformed("an unknown type")),
        })
    }

    fn array(&mut self, of: &str, depth: u32) -> Result<Value, Malformed> {
        let count = u32::from_le_bytes(self.number()?) as usize;
        self.align(alignment(of.as_bytes().first().copied().unwrap_or_default()))?;
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len()).ok_or(Malformed("a cut array"))?;
        let mut items = Vec::new();
        while self.at < end {
            items.push(self.value(of, depth)?);
        }
        Ok(Value::Array(of.to_owned(), items))
    }

    fn entry(&mut self, of: &str, depth: u32) -> Result<Value, Malformed> {
        let mut pair = self.sequence(of, depth)?.into_iter();
        match (pair.next(), pair.next(), pair.next()) {
            (Some(key), Some(value), None) => Ok(Value::Entry(Box::new((key, value)))),
            _ => Err(Malformed("a dictionary without key and value")),
        }
    }

    fn string(&mut self) -> Result<String, Malformed> {
        let count = u32::from_le_bytes(self.number()?) as usize;
        self.terminated(count)
    }

    fn signature(&mut self) -> Result<String, Malformed> {
        let count = usize::from(self.number::<1>()?[0]);
        self.terminated(count)
    }

    fn terminated(&mut self, count: usize) -> Result<String, Malformed> {
        let bytes = self.take(count)?.to_vec();
        self.take(1)?;
        String::from_utf8(bytes).map_err(|_| Malformed("a text that is not UTF-8"))
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed("a cut number"))
    }

    pub(super) fn align(&mut self, alignment: usize) -> Result<(), Malformed> {
        self.take(self.at.next_multiple_of(alignment) - self.at).map(drop)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let end = self.at.checked_add(count).ok_or(Malformed("a huge length"))?;
        let bytes = self.bytes.get(self.at..end).ok_or(Malformed("a cut value"))?;
        self.at = end;
        Ok(bytes)
    }
}

/// The first complete type, and the rest.
pub(super) fn split_signature(signature: &str) -> Result<(&str, &str), Malformed> {
    const CUT: Malformed = Malformed("a cut signature");
    let bytes = signature.as_bytes();
    let start = bytes.iter().position(|letter| *letter != b'a').ok_or(CUT)?;
    let mut open = 0_i32;
    for (index, letter) in bytes.iter().enumerate().skip(start) {
        match letter {
            b'(' | b'{' => open += 1,
            b')' | b'}' => open -= 1,
            letter if !letter.is_ascii_alphabetic() => return Err(Malformed("an unknown type")),
            _ => {}
        }
        match open {
            0 => return Ok(signature.split_at(index + 1)),
            1.. => {}
            _ => return Err(CUT),
        }
    }
    Err(CUT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: &Value) -> Vec<u8> {
        let mut out = Vec::new();
        value.write(&mut out);
        out
    }

    #[test]
    fn what_is_written_is_read_again() {
        let property =
            |name: &str, value: Value| Value::Struct(vec![Value::text(name), Value::Variant(Box::new(value))]);
        let all = Value::Struct(vec![
            Value::Byte(7),
            Value::Array(
                "(sv)".to_owned(),
                vec![
                    property("PIDs", Value::Array("u".to_owned(), vec![Value::U32(5)])),
                    property("Delegate", Value::Bool(true)),
                    property("DeviceAllow", Value::Array("(ss)".to_owned(), Vec::new())),
                ],
            ),
            Value::I16(-3),
            Value::U16(3),
            Value::I32(-9),
            Value::Double(1.5),
            Value::ObjectPath("/a".to_owned()),
            Value::Signature("a{sv}".to_owned()),
            Value::Array("{sx}".to_owned(), vec![Value::Entry(Box::new((Value::text("k"), Value::I64(-1))))]),
            Value::U64(u64::MAX),
            Value::bytes(b"\x00\xff"),
        ]);
        let bytes = written(&all);
        assert_eq!(Reader::new(&bytes).values(&all.signature()).unwrap(), [all]);
    }

    #[test]
    fn alignment_and_lengths_are_those_of_the_specification() {
        assert_eq!(written(&Value::text("foo")), b"\x03\0\0\0foo\0");
        let array = Value::Array("x".to_owned(), vec![Value::I64(5)]);
        assert_eq!(written(&array), b"\x08\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0");
        assert_eq!(written(&Value::Array("x".to_owned(), Vec::new())), b"\0\0\0\0\0\0\0\0");
        assert_eq!(written(&Value::Variant(Box::new(Value::U32(1)))), b"\x01u\0\0\x01\0\0\0");
    }

    #[test]
    fn broken_bytes_are_an_error() {
        let bytes = written(&Value::Array("s".to_owned(), vec![Value::text("abc"), Value::text("def")]));
        for cut in 0..bytes.len() {
            assert!(Reader::new(&bytes[..cut]).values("as").is_err(), "{cut}");
        }
        for signature in ["a", "(s", "s)", "{s}", "?", "a("] {
            assert!(Reader::new(&bytes).values(signature).is_err(), "{signature}");
        }
        assert!(Reader::new(&[b'v', 0].repeat(300)).values(&"v".repeat(2)).is_err());
        assert!(Reader::new(b"\x01v\0".repeat(100).as_slice()).values("v").is_err());
    }

    #[test]
    fn a_signature_is_split_into_complete_types() {
        assert_eq!(split_signature("a(sv)u").unwrap(), ("a(sv)", "u"));
        assert_eq!(split_signature("aas").unwrap(), ("aas", ""));
        assert_eq!(split_signature("ss").unwrap(), ("s", "s"));
    }
}
