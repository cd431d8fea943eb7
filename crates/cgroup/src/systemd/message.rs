//! Messages of D-Bus: a header with fields, then a body (D-Bus specification, "Message Format").

use super::value::{Malformed, Reader, Value, pad, signatures, split_signature};

const LITTLE_ENDIAN: u8 = b'l';
const PROTOCOL: u8 = 1;
/// The part of the header whose length is always the same.
pub(super) const FIXED: usize = 16;
/// The specification allows 128 MiB; what comes here is small.
const MAX_LENGTH: usize = 1 << 24;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Call = 1,
    Return = 2,
    Error = 3,
    Signal = 4,
}

/// Header fields by their codes.
const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const REPLY_SERIAL: u8 = 5;
const DESTINATION: u8 = 6;
const SIGNATURE: u8 = 8;

/// A call of a method.
#[derive(Debug)]
pub(super) struct Call<'a> {
    /// `None` where no bus stands between.
    pub(super) destination: Option<&'a str>,
    pub(super) path: &'a str,
    pub(super) interface: &'a str,
    pub(super) member: &'a str,
    pub(super) arguments: &'a [Value],
}

impl Call<'_> {
    pub(super) fn bytes(&self, serial: u32) -> Vec<u8> {
        let mut fields = vec![
            field(PATH, Value::ObjectPath(self.path.to_owned())),
            field(INTERFACE, Value::text(self.interface)),
            field(MEMBER, Value::text(self.member)),
        ];
        fields.extend(self.destination.map(|name| field(DESTINATION, Value::text(name))));
        encode(Sort::Call, serial, fields, self.arguments)
    }
}

/// Any message that came.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Message {
    /// The number of the sort: those that are unknown are to be passed over.
    pub(super) sort: u8,
    pub(super) reply_to: u32,
    pub(super) member: String,
    pub(super) error: String,
    pub(super) body: Vec<Value>,
}

impl Message {
    pub(super) fn is(&self, sort: Sort) -> bool {
        self.sort == sort as u8
    }

    /// How long the whole message is whose fixed part this is.
    pub(super) fn length(fixed: &[u8; FIXED]) -> Result<usize, Malformed> {
        if fixed[0] != LITTLE_ENDIAN || fixed[3] != PROTOCOL {
            return Err(Malformed("another byte order or protocol"));
        }
        let number = |at: usize| u32::from_le_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]) as usize;
        let header = (FIXED + number(12).min(MAX_LENGTH)).next_multiple_of(8);
        Some(header + number(4)).filter(|length| *length <= MAX_LENGTH).ok_or(Malformed("a huge length"))
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Message, Malformed> {
        let mut reader = Reader::new(bytes);
        let header = reader.values("yyyyuua(yv)")?;
        reader.align(8)?;
        let Some(Value::Byte(sort)) = header.get(1) else { return Err(Malformed("no type")) };
        let mut message =
            Message { sort: *sort, reply_to: 0, member: String::new(), error: String::new(), body: Vec::new() };
        let mut signature = String::new();
        let Some(Value::Array(_, fields)) = header.into_iter().nth(6) else { return Err(Malformed("no fields")) };
        for field in fields {
            match known(field) {
                Some((MEMBER, Value::Text(name))) => message.member = name,
                Some((ERROR_NAME, Value::Text(name))) => message.error = name,
                Some((REPLY_SERIAL, Value::U32(serial))) => message.reply_to = serial,
                Some((SIGNATURE, Value::Signature(text))) => signature = text,
                _ => {}
            }
        }
        message.body = reader.values(&signature)?;
        Ok(message)
    }
}

/// Code and value of a header field.
fn known(field: Value) -> Option<(u8, Value)> {
    let Value::Struct(pair) = field else { return None };
    match <[Value; 2]>::try_from(pair) {
        Ok([Value::Byte(code), Value::Variant(value)]) => Some((code, *value)),
        _ => None,
    }
}

fn field(code: u8, value: Value) -> Value {
    Value::Struct(vec![Value::Byte(code), Value::Variant(Box::new(value))])
}

fn encode(sort: Sort, serial: u32, mut fields: Vec<Value>, arguments: &[Value]) -> Vec<u8> {
    let mut body = Vec::new();
    arguments.iter().for_each(|argument| argument.write(&mut body));
    if !arguments.is_empty() {
        fields.push(field(SIGNATURE, Value::Signature(signatures(arguments))));
    }
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let mut out = vec![LITTLE_ENDIAN, sort as u8, 0, PROTOCOL];
    out.extend(length.to_le_bytes());
    out.extend(serial.to_le_bytes());
    Value::Array("(yv)".to_owned(), fields).write(&mut out);
    pad(&mut out, 8);
    out.extend(body);
    out
}

/// Whether arguments can be sent at all: a signature has 255 bytes at most and is made of whole types.
pub(super) fn sendable(value: &Value) -> bool {
    let signature = value.signature();
    signature.len() <= 255 && matches!(split_signature(&signature), Ok((_, "")))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What the other end says, for tests of the connection.
    pub(in super::super) fn answer(sort: Sort, reply_to: u32, error: &str, arguments: &[Value]) -> Vec<u8> {
        let mut fields = vec![field(REPLY_SERIAL, Value::U32(reply_to))];
        if !error.is_empty() {
            fields.push(field(ERROR_NAME, Value::text(error)));
        }
        encode(sort, 1, fields, arguments)
    }

    pub(in super::super) fn signal(member: &str, arguments: &[Value]) -> Vec<u8> {
        let fields = vec![
            field(PATH, Value::ObjectPath("/org/freedesktop/systemd1".to_owned())),
            field(INTERFACE, Value::text("org.freedesktop.systemd1.Manager")),
            field(MEMBER, Value::text(member)),
        ];
        encode(Sort::Signal, 1, fields, arguments)
    }

    #[test]
    fn a_call_is_parsed_as_it_was_made() {
        let arguments = [Value::text("a"), Value::Array("(sv)".to_owned(), Vec::new())];
        let call =
            Call { destination: Some("x.y"), path: "/", interface: "x.y.Z", member: "Do", arguments: &arguments };
        let bytes = call.bytes(7);
        assert_eq!(Message::length(bytes[..FIXED].try_into().unwrap()), Ok(bytes.len()));
        let message = Message::parse(&bytes).unwrap();
        assert!(message.is(Sort::Call));
        assert_eq!((message.member.as_str(), message.body.as_slice()), ("Do", &arguments[..]));
    }

    #[test]
    fn lengths_of_strangers_are_bounded() {
        let mut fixed = [0; FIXED];
        fixed[0] = b'l';
        fixed[3] = 1;
        assert_eq!(Message::length(&fixed), Ok(16));
        fixed[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(Message::length(&fixed).is_err());
        fixed[0] = b'B';
        assert!(Message::length(&fixed).is_err());
    }
}
