//! Packages of the distribution: dpkg's and apk's databases.

use super::{MOST_PACKAGES, Package};
use crate::attest::escaped;
use crate::context::Folder;

/// Whose packages they are.
#[derive(Debug, Default)]
pub(super) struct Distribution {
    /// `debian`, `alpine`
    id: String,
    version: String,
}

impl Distribution {
    /// As the tree says (os-release(5)).
    pub fn of(folder: &Folder) -> Distribution {
        let read = |path: &str| folder.read(path).ok().flatten();
        let text = read("etc/os-release").or_else(|| read("usr/lib/os-release")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let value = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            line.unwrap_or_default().trim().trim_matches(['"', '\'']).to_owned()
        };
        Distribution { id: value("ID"), version: value("VERSION_ID") }
    }

    /// `/var/lib/dpkg/status`: paragraphs (deb822(5)).
    pub fn dpkg(&self, text: &str, place: &str) -> Vec<Package> {
        let mut found = Vec::new();
        for paragraph in text.split("\n\n").take(MOST_PACKAGES) {
            let field = |name: &str| field(paragraph, name, ": ");
            let (Some(name), Some(version)) = (field("Package"), field("Version")) else { continue };
            // Removed, with its configuration left.
            if field("Status").is_some_and(|status| !status.ends_with(" installed")) {
                continue;
            }
            let id = if self.id.is_empty() { "debian" } else { &self.id };
            let url = self.url(("deb", id), (&name, &version), field("Architecture").as_deref());
            found.push(Package { kind: "deb", name, version, url, license: None, place: place.to_owned() });
        }
        found
    }

    /// `/lib/apk/db/installed`: lines of one letter each.
    pub fn apk(&self, text: &str, place: &str) -> Vec<Package> {
        let mut found = Vec::new();
        for paragraph in text.split("\n\n").take(MOST_PACKAGES) {
            let field = |name: &str| field(paragraph, name, ":");
            let (Some(name), Some(version)) = (field("P"), field("V")) else { continue };
            let id = if self.id.is_empty() { "alpine" } else { &self.id };
            let url = self.url(("apk", id), (&name, &version), field("A").as_deref());
            found.push(Package { kind: "apk", name, version, url, license: field("L"), place: place.to_owned() });
        }
        found
    }

    fn url(&self, (kind, id): (&str, &str), (name, version): (&str, &str), arch: Option<&str>) -> String {
        let mut qualifiers = Vec::new();
        if let Some(arch) = arch {
            qualifiers.push(format!("arch={}", escaped(arch, "")));
        }
        if !self.id.is_empty() {
            let dash = if self.version.is_empty() { "" } else { "-" };
            qualifiers.push(format!("distro={}", escaped(&format!("{}{dash}{}", self.id, self.version), "")));
        }
        let question = if qualifiers.is_empty() { "" } else { "?" };
        let (name, version) = (escaped(&name.to_lowercase(), ""), escaped(version, ":"));
        format!("pkg:{kind}/{id}/{name}@{version}{question}{}", qualifiers.join("&"))
    }
}

fn field(paragraph: &str, name: &str, between: &str) -> Option<String> {
    let value = paragraph.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(between))?;
    Some(value.trim().to_owned()).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_installed_counts() {
        let text = "Package: a\nStatus: deinstall ok config-files\nVersion: 1\n\nPackage: b\nStatus: install ok installed\nVersion: 1:2\n";
        let found = Distribution::default().dpkg(text, "x");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].url, "pkg:deb/debian/b@1:2");
    }

    #[test]
    fn apk_has_letters() {
        let alpine = Distribution { id: "alpine".to_owned(), version: "3.22.1".to_owned() };
        let found = alpine.apk("C:Q1=\nP:musl\nV:1.2.5-r0\nA:x86_64\nL:MIT\n\nP:half\n", "x");
        assert_eq!(found[0].url, "pkg:apk/alpine/musl@1.2.5-r0?arch=x86_64&distro=alpine-3.22.1");
        assert_eq!((found.len(), found[0].license.as_deref()), (1, Some("MIT")));
    }
}
