//! The names of all fields of requests, told by the request types themselves.
//!
//! A [`Tracer`] stands for a body in which everything is: each type is read from it once, and says by that what it looks for.

use api::types::{
    AuthConfig, ContainerConfig, ExecCreateRequest, ExecStartRequest, HostConfig, NetworkConnect, NetworkCreate,
    NetworkDisconnect, NetworkingConfig, UpdateRequest, VolumeCreate,
};
use serde::de::value::{Error, StrDeserializer};
use serde::de::{DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, forward_to_deserialize_any};
use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// What is below a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Below {
    /// Other fields, or a plain value.
    Fields,
    /// Keys of the client's choice.
    Free,
}

/// All names, by their length and then by their letters in any case.
#[derive(Debug)]
pub(super) struct Names(Vec<(&'static str, Below)>);

/// The two halves of what creates a container stand beside its configuration, see [`api::types::CreateRequest`].
const HALVES: [&str; 2] = ["HostConfig", "NetworkingConfig"];

impl Names {
    pub(super) fn get() -> &'static Names {
        static NAMES: OnceLock<Names> = OnceLock::new();
        NAMES.get_or_init(Names::trace)
    }

    fn trace() -> Names {
        let found = RefCell::default();
        for half in HALVES {
            Tracer { found: &found, field: half }.note(Below::Fields);
        }
        look::<ContainerConfig>(&found);
        look::<HostConfig>(&found);
        look::<NetworkingConfig>(&found);
        look::<UpdateRequest>(&found);
        look::<ExecCreateRequest>(&found);
        look::<ExecStartRequest>(&found);
        look::<NetworkCreate>(&found);
        look::<NetworkConnect>(&found);
        look::<NetworkDisconnect>(&found);
        look::<VolumeCreate>(&found);
        look::<AuthConfig>(&found);
        let mut names: Vec<_> = found.into_inner().into_iter().collect();
        names.sort_by(|a, b| order(a.0.as_bytes(), b.0.as_bytes()));
        Names(names)
    }

    /// The name that is written so, but for the case of its letters.
    pub(super) fn find(&self, written: &[u8]) -> Option<(&'static str, Below)> {
        let place = self.0.binary_search_by(|(name, _)| order(name.as_bytes(), written)).ok()?;
        self.0.get(place).copied()
    }
}

fn order(a: &[u8], b: &[u8]) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.iter().map(u8::to_ascii_lowercase).cmp(b.iter().map(u8::to_ascii_lowercase)))
}

type Found = RefCell<BTreeMap<&'static str, Below>>;

/// A type that cannot be read has told its names by then.
fn look<T: for<'de> Deserialize<'de>>(found: &Found) {
    let _ = T::deserialize(Tracer { found, field: "" });
}

/// A value that is whatever is looked for.
#[derive(Clone, Copy)]
struct Tracer<'a> {
    found: &'a Found,
    /// Whose value it is.
    field: &'static str,
}

impl Tracer<'_> {
    fn note(self, below: Below) {
        if self.field.is_empty() {
            return;
        }
        let mut found = self.found.borrow_mut();
        let known = found.entry(self.field).or_insert(below);
        // `Config` is a list of subnets in one place and a log driver's options in another.
        if below == Below::Free {
            *known = below;
        }
    }
}

/// Numbers are 0 and texts empty.
impl<'de> Deserializer<'de> for Tracer<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str("")
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bool(false)
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_u8(0)
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_u8(0)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_u8(0)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_u8(0)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_u8(0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(Elements { of: self, left: 1 })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(Elements { of: self, left: length })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.note(Below::Free);
        visitor.visit_map(Fields { found: self.found, fields: &[""], current: "" })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_map(Fields { found: self.found, fields, current: "" })
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct tuple_struct enum identifier ignored_any
    }
}

/// Some elements of a list.
struct Elements<'a> {
    of: Tracer<'a>,
    left: usize,
}

impl<'de> SeqAccess<'de> for Elements<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        seed.deserialize(self.of).map(Some)
    }
}

/// Each field once.
struct Fields<'a> {
    found: &'a Found,
    fields: &'static [&'static str],
    current: &'static str,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some((first, rest)) = self.fields.split_first() else { return Ok(None) };
        (self.fields, self.current) = (rest, first);
        Tracer { found: self.found, field: first }.note(Below::Fields);
        let name: StrDeserializer<'_, Error> = first.into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(Tracer { found: self.found, field: self.current })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_told_all_of_its_fields() {
        let names = Names::get();
        let written = [
            serde_json::to_value(ContainerConfig::default()),
            serde_json::to_value(HostConfig::default()),
            serde_json::to_value(UpdateRequest::default()),
            serde_json::to_value(ExecCreateRequest::default()),
            serde_json::to_value(NetworkCreate::default()),
            serde_json::to_value(api::types::EndpointSettings::default()),
            serde_json::to_value(api::types::Mount { kind: "x".to_owned(), ..Default::default() }),
        ];
        for value in written {
            let value = value.expect("a value");
            for name in value.as_object().expect("fields").keys() {
                assert_eq!(names.find(name.to_lowercase().as_bytes()).map(|found| found.0), Some(name.as_str()));
            }
        }
        for (name, below) in [("labels", Below::Free), ("portbindings", Below::Free), ("hostconfig", Below::Fields)] {
            assert_eq!(names.find(name.as_bytes()).map(|found| found.1), Some(below), "{name}");
        }
        assert_eq!(names.find(b"nosuch"), None);
    }

    #[test]
    fn no_two_fields_differ_in_case_alone() {
        let names = &Names::get().0;
        for pair in names.windows(2) {
            assert!(!pair[0].0.eq_ignore_ascii_case(pair[1].0), "{pair:?}");
        }
    }
}
