//! Device rules as systemd wants them: a list of what is allowed (systemd.resource-control(5), DeviceAllow=).

use super::properties::{Property, Systemd};
use super::value::Value;
use crate::devices::policy::{Exception, MKNOD, Policy, READ, Sort, WRITE};
use crate::{Error, Version};
use oci::runtime::DeviceRule;

/// The properties; our own rules are written as well and decide.
pub(super) fn properties(rules: &[DeviceRule], systemd: Systemd) -> Result<Vec<Property>, Error> {
    let policy = Policy::read(rules)?;
    let list = policy.exceptions.iter().map(|exception| allow(exception, systemd.release)).collect::<Option<Vec<_>>>();
    Ok(match list {
        _ if policy.allow && policy.exceptions.is_empty() => open(),
        Some(list) if !policy.allow => strict(list),
        // systemd knows no list of what is denied, and no number with any major. On v2 its program and ours must both allow,
        // so it gets none; on v1 there is one list, which ours replaces: what it writes first allows too little.
        _ if systemd.version == Version::V2 => open(),
        list => strict(list.filter(|_| !policy.allow).unwrap_or_default()),
    })
}

fn open() -> Vec<Property> {
    vec![Property::new("DeviceAllow", entries(Vec::new())), Property::new("DevicePolicy", Value::text("auto"))]
}

/// An empty list first: lists add up.
fn strict(list: Vec<Value>) -> Vec<Property> {
    vec![
        Property::new("DeviceAllow", entries(Vec::new())),
        Property::new("DevicePolicy", Value::text("strict")),
        Property::new("DeviceAllow", entries(list)),
    ]
}

fn entries(list: Vec<Value>) -> Value {
    Value::Array("(ss)".to_owned(), list)
}

/// `None`: systemd has no words for it. Before 240 it looked paths up, and had no numbers of majors.
fn allow(exception: &Exception, release: u32) -> Option<Value> {
    let sort = if exception.sort == Sort::Block { "block" } else { "char" };
    let name = match (exception.major, exception.minor) {
        (Some(major), Some(minor)) => format!("/dev/{sort}/{major}:{minor}"),
        (Some(major), None) if release >= 240 => format!("{sort}-{major}"),
        (None, None) => format!("{sort}-*"),
        _ => return None,
    };
    let letters = [(READ, 'r'), (WRITE, 'w'), (MKNOD, 'm')];
    let access: String =
        letters.iter().filter(|(bit, _)| exception.access & bit != 0).map(|(_, letter)| letter).collect();
    Some(Value::Struct(vec![Value::text(name), Value::text(access)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: Systemd = Systemd { release: 252, version: Version::V2 };

    fn rule(allow: bool, kind: &str, numbers: (Option<i64>, Option<i64>), access: &str) -> DeviceRule {
        let (kind, access) = (Some(kind.to_owned()), Some(access.to_owned()));
        DeviceRule { allow, kind, major: numbers.0, minor: numbers.1, access }
    }

    fn shown(rules: &[DeviceRule], systemd: Systemd) -> String {
        properties(rules, systemd).unwrap().iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn allowed_devices_become_a_list() {
        let rules = [
            rule(false, "a", (None, None), "rwm"),
            rule(true, "c", (Some(1), Some(3)), "rwm"),
            rule(true, "b", (Some(8), None), "r"),
            rule(true, "c", (None, None), "m"),
        ];
        let wanted = "DeviceAllow=[] DevicePolicy=\"strict\" \
            DeviceAllow=[(\"/dev/char/1:3\", \"rwm\"), (\"block-8\", \"r\"), (\"char-*\", \"m\")]";
        assert_eq!(shown(&rules, NEW), wanted);
    }

    #[test]
    fn what_systemd_cannot_say_is_left_to_us() {
        let open = "DeviceAllow=[] DevicePolicy=\"auto\"";
        let all = rule(true, "a", (None, None), "rwm");
        assert_eq!(shown(std::slice::from_ref(&all), NEW), open);
        let but_one = [all, rule(false, "c", (Some(1), Some(3)), "rwm")];
        assert_eq!(shown(&but_one, NEW), open);
        let any_major = [rule(true, "c", (None, Some(3)), "rwm")];
        assert_eq!(shown(&any_major, NEW), open);
        let v1 = Systemd { version: Version::V1, ..NEW };
        let closed = "DeviceAllow=[] DevicePolicy=\"strict\" DeviceAllow=[]";
        assert_eq!(shown(&but_one, v1), closed);
        assert_eq!(shown(&any_major, v1), closed);
    }
}
