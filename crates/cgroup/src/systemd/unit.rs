//! Names of units: from `linux.cgroupsPath`, to slices, to objects on the bus.

use super::bus::Owner;
use super::failure::Failure;
use super::properties::Property;
use super::value::Value;
use crate::{Error, Version};
use std::path::PathBuf;

/// A unit that is to be: what `linux.cgroupsPath` means with systemd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unit {
    /// `system.slice`, `machine-a.slice`; empty is the default of whoever's systemd it is.
    pub(crate) slice: String,
    /// `runc-ID.scope`, or a slice of its own.
    pub(crate) name: String,
    /// For the unit's description.
    container: String,
}

impl Unit {
    /// Reads `slice:prefix:name`; `None` is made of the container's id.
    pub(crate) fn read(cgroups_path: Option<&str>, id: &str) -> Result<Unit, Error> {
        let path = cgroups_path.filter(|path| !path.is_empty());
        let (slice, prefix, name) = match path.map(|path| path.split(':').collect::<Vec<_>>()).as_deref() {
            None => ("", "runc", id),
            Some(&[slice, prefix, name]) => (slice, prefix, name),
            Some(_) => return Err(Failure::Path(path.unwrap_or_default().to_owned()).into()),
        };
        if !slice.is_empty() {
            check_slice(slice)?;
        }
        let unit = if name.ends_with(".slice") { name.to_owned() } else { format!("{prefix}-{name}.scope") };
        if name.is_empty() || unit.contains(['/', '\0']) || unit.len() > 255 {
            return Err(Failure::Path(path.unwrap_or(id).to_owned()).into());
        }
        Ok(Unit { slice: slice.to_owned(), name: unit, container: name.to_owned() })
    }

    fn slice_of(&self, owner: Owner) -> &str {
        match (self.slice.as_str(), owner) {
            ("", Owner::System) => "system.slice",
            ("", Owner::User) => "user.slice",
            (slice, _) => slice,
        }
    }

    /// Where its group is, below that of `owner`'s systemd (systemd.slice(5): names of slices are their paths).
    pub(super) fn group(&self, owner: Owner) -> PathBuf {
        match self.name.ends_with(".slice") {
            true => expand(&self.name),
            false => expand(self.slice_of(owner)).join(&self.name),
        }
    }

    /// What the unit is, apart from limits.
    pub(super) fn properties(&self, owner: Owner, pid: i32, version: Version) -> Vec<Property> {
        let slice = self.slice_of(owner);
        let mut properties =
            vec![Property::new("Description", Value::text(format!("OCI container {}", self.container)))];
        if self.name.ends_with(".slice") {
            properties.push(Property::new("Wants", Value::texts([slice])));
        } else {
            properties.push(Property::new("Slice", Value::text(slice)));
            properties.push(Property::new("Delegate", Value::Bool(true)));
        }
        let pids = Value::Array("u".to_owned(), vec![Value::U32(pid.unsigned_abs())]);
        properties.push(Property::new("PIDs", pids));
        let io = if version == Version::V1 { "BlockIOAccounting" } else { "IOAccounting" };
        for name in ["MemoryAccounting", "CPUAccounting", io, "TasksAccounting"] {
            properties.push(Property::new(name, Value::Bool(true)));
        }
        properties.push(Property::new("DefaultDependencies", Value::Bool(false)));
        properties
    }
}

/// `a-b.slice` is `a.slice/a-b.slice`, `-.slice` nothing.
fn expand(slice: &str) -> PathBuf {
    let stem = slice.strip_suffix(".slice").unwrap_or(slice);
    let ends = stem.match_indices('-').map(|(end, _)| end).chain([stem.len()]);
    ends.filter(|_| stem != "-").map(|end| format!("{}.slice", &stem[..end])).collect()
}

/// `a-b.slice` lies in `a.slice`; no part may be empty (systemd.slice(5)). `-.slice` is the root.
fn check_slice(slice: &str) -> Result<(), Failure> {
    let fine = |stem: &str| stem == "-" || (!stem.contains('/') && stem.split('-').all(|part| !part.is_empty()));
    match slice.strip_suffix(".slice") {
        Some(stem) if fine(stem) => Ok(()),
        _ => Err(Failure::Slice(slice.to_owned())),
    }
}

/// The object of a unit: what is neither letter nor digit stands as `_` and two hexadecimal digits, and so does a digit in
/// front.
pub(super) fn object_path(unit: &str) -> String {
    let escape = |(index, byte): (usize, u8)| match byte {
        b'0'..=b'9' if index > 0 => char::from(byte).to_string(),
        b'a'..=b'z' | b'A'..=b'Z' => char::from(byte).to_string(),
        other => format!("_{other:02x}"),
    };
    let escaped: String = unit.bytes().enumerate().map(escape).collect();
    format!("/org/freedesktop/systemd1/unit/{escaped}")
}

/// `252.38-1~deb12u1`, `v245.4-1.fc32`.
pub(super) fn release(text: &str) -> u32 {
    let digits = text.trim_start_matches(['"', 'v']);
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().unwrap_or(0)
}

/// Whether /proc/self/uid_map is that of the machine's first user namespace.
pub(super) fn is_initial(map: &str) -> bool {
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str) -> Result<(String, String), String> {
        Unit::read(Some(path), "id").map(|unit| (unit.slice, unit.name)).map_err(|e| e.to_string())
    }

    #[test]
    fn a_path_names_slice_prefix_and_name() {
        let both = |slice: &str, name: &str| Ok((slice.to_owned(), name.to_owned()));
        assert_eq!(read("machine-a.slice:libpod:x1"), both("machine-a.slice", "libpod-x1.scope"));
        assert_eq!(read(":pre:n"), both("", "pre-n.scope"));
        assert_eq!(read("-.slice:p:n"), both("-.slice", "p-n.scope"));
        assert_eq!(read("system.slice::pod.slice"), both("system.slice", "pod.slice"));
        let default = Unit::read(None, "c1").unwrap();
        assert_eq!((default.slice.as_str(), default.name.as_str()), ("", "runc-c1.scope"));
    }

    #[test]
    fn a_group_lies_where_its_slices_say() {
        let group = |path: &str| Unit::read(Some(path), "id").unwrap().group(Owner::System).display().to_string();
        assert_eq!(group(":p:n"), "system.slice/p-n.scope");
        assert_eq!(group("machine-a-b.slice:p:n"), "machine.slice/machine-a.slice/machine-a-b.slice/p-n.scope");
        assert_eq!(group("-.slice:p:n"), "p-n.scope");
        assert_eq!(group("system.slice::pod-x.slice"), "pod.slice/pod-x.slice");
    }

    #[test]
    fn other_paths_are_refused() {
        let text =
            "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got \"/a/b\" instead";
        assert_eq!(read("/a/b").unwrap_err(), text);
        for path in ["a:b", "a.slice:b:c:d", "a.slice:b:", "a.slice:b:c/d"] {
            assert!(read(path).is_err(), "{path}");
        }
        for slice in ["x", "a--b.slice", "-a.slice", "a/b.slice", ".slice"] {
            assert_eq!(read(&format!("{slice}:p:n")).unwrap_err(), format!("invalid slice name: {slice}"));
        }
    }

    #[test]
    fn units_are_objects() {
        assert_eq!(object_path("runc-1.scope"), "/org/freedesktop/systemd1/unit/runc_2d1_2escope");
        assert_eq!(object_path("1.slice"), "/org/freedesktop/systemd1/unit/_31_2eslice");
    }

    #[test]
    fn releases_are_numbers() {
        for (text, number) in [("252.38-1~deb12u1", 252), ("v245.4-1.fc32", 245), ("245", 245), ("", 0), ("~", 0)] {
            assert_eq!(release(text), number);
        }
    }
}
