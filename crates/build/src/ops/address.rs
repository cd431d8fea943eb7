//! Addresses of repositories: `https://host/repo.git#ref:folder`, or with the same in a query, as in
//! `https://host/repo.git?branch=main&subdir=folder&checksum=0123abc`.

use crate::{Error, Result};
use std::collections::BTreeSet;

/// An address taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub url: String,
    /// A branch, a tag, or a commit; empty for what the repository says.
    pub reference: String,
    pub folder: String,
    /// The commit that it must be.
    pub checksum: Option<String>,
    /// `.git` stays.
    pub keeps_git: bool,
    pub submodules: bool,
}

/// Whether an address is that of a repository.
pub fn is_repository(text: &str) -> bool {
    let plain = text.split(['#', '?']).next().unwrap_or_default();
    let by_scheme = ["git://", "ssh://", "git@"].iter().any(|scheme| plain.starts_with(scheme));
    let over_http = plain.starts_with("http://") || plain.starts_with("https://");
    by_scheme || (over_http && plain.ends_with(".git")) || plain.starts_with("github.com/")
}

pub(super) fn parse(text: &str) -> Result<Address> {
    let (plain, fragment) = text.split_once('#').unwrap_or((text, ""));
    let (url, query) = plain.split_once('?').unwrap_or((plain, ""));
    let (reference, folder) = fragment.split_once(':').unwrap_or((fragment, ""));
    let url = if url.starts_with("github.com/") { format!("https://{url}") } else { url.to_owned() };
    let mut address = Address {
        url,
        reference: reference.to_owned(),
        folder: folder.to_owned(),
        checksum: None,
        keeps_git: false,
        submodules: true,
    };
    address.ask(query)?;
    if address.is_odd() {
        return Err(Error::Invalid(format!("invalid repository address {text:?}")));
    }
    Ok(address)
}

impl Address {
    /// Reads a query, in BuildKit's words.
    fn ask(&mut self, query: &str) -> Result<()> {
        let (mut seen, mut tag, mut branch) = (BTreeSet::new(), None, None);
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            if !seen.insert(key.to_string()) {
                return Err(Error::Invalid(format!("query {key:?} has multiple values")));
            }
            let is_switch = matches!(&*key, "keep-git-dir" | "submodules");
            if value.is_empty() && !is_switch {
                return Err(Error::Invalid(format!("query {key:?} has no value")));
            }
            match &*key {
                "ref" => say("ref", &mut self.reference, value.into_owned())?,
                "subdir" => say("subdir", &mut self.folder, value.into_owned())?,
                "tag" => tag = Some(below("refs/tags/", &value)),
                "branch" => branch = Some(below("refs/heads/", &value)),
                "checksum" | "commit" => self.checksum = Some(value.into_owned()),
                "keep-git-dir" => self.keeps_git = switch(&key, &value)?,
                "submodules" => self.submodules = switch(&key, &value)?,
                _ => return Err(Error::Invalid(format!("unexpected query {key:?}"))),
            }
        }
        if tag.is_some() && branch.is_some() {
            return Err(Error::Invalid("branch conflicts with tag".to_owned()));
        }
        tag.or(branch).map_or(Ok(()), |name| say("ref", &mut self.reference, name))
    }

    /// Nothing of it may be taken for an option, or for more than a name (CVE-2019-13139).
    fn is_odd(&self) -> bool {
        let odd = |text: &str| text.starts_with('-') || text.chars().any(char::is_control);
        odd(&self.url)
            || odd(&self.reference)
            || odd(&self.folder)
            || self.reference.contains(['~', '^', ':', '?', '*', '[', '\\', ' '])
            || self.checksum.as_ref().is_some_and(|sum| !sum.bytes().all(|byte| byte.is_ascii_hexdigit()))
    }
}

/// Nothing may be said in two ways.
fn say(what: &str, place: &mut String, value: String) -> Result<()> {
    if !place.is_empty() && *place != value {
        return Err(Error::Invalid(format!("{what} conflicts: {place:?} vs {value:?}")));
    }
    *place = value;
    Ok(())
}

fn below(prefix: &str, name: &str) -> String {
    if name.starts_with(prefix) { name.to_owned() } else { format!("{prefix}{name}") }
}

/// As Go's `strconv.ParseBool`; without a value it is on.
fn switch(key: &str, value: &str) -> Result<bool> {
    match value {
        "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(Error::Invalid(format!("invalid {key} value: {value:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_told_from_files() {
        for yes in [
            "git://h/r",
            "git@h:r.git",
            "ssh://h/r",
            "https://h/r.git",
            "https://h/r.git#main:dir",
            "https://h/r.git?ref=main",
            "github.com/a/b",
        ] {
            assert!(is_repository(yes), "{yes}");
        }
        for no in ["https://h/r.tar.gz", "./r.git", "r", "https://h/r.git.tar", "https://h/r?x=.git"] {
            assert!(!is_repository(no), "{no}");
        }
    }

    #[test]
    fn nothing_of_an_address_is_an_option() {
        for hostile in [
            "--upload-pack=x",
            "https://h/r.git#--upload-pack=x",
            "https://h/r.git#main:-x",
            "https://h/r.git#a\nb",
            "https://h/r.git?ref=--upload-pack%3Dx",
            "https://h/r.git?ref=%2D-upload-pack=x",
            "https://h/r.git?subdir=-x",
            "https://h/r.git?ref=a%0Ab",
            "https://h/r.git?checksum=--x",
        ] {
            assert!(parse(hostile).is_err(), "{hostile}");
        }
        let address = parse("https://h/r.git#v1:sub/dir").unwrap();
        let parts = (address.url.as_str(), address.reference.as_str(), address.folder.as_str());
        assert_eq!(parts, ("https://h/r.git", "v1", "sub/dir"));
    }

    #[test]
    fn a_query_says_what_a_fragment_can_say_and_more() {
        let address =
            parse("https://h/r.git?branch=main&subdir=a%2Fb&commit=0123abc&keep-git-dir&submodules=0").unwrap();
        let expected = Address {
            url: "https://h/r.git".to_owned(),
            reference: "refs/heads/main".to_owned(),
            folder: "a/b".to_owned(),
            checksum: Some("0123abc".to_owned()),
            keeps_git: true,
            submodules: false,
        };
        assert_eq!(address, expected);
        assert_eq!(parse("git@h:r.git?tag=v1#refs/tags/v1:x").unwrap().reference, "refs/tags/v1");
        for wrong in ["ref=a&ref=b", "ref", "tag=a&branch=b", "other=1", "keep-git-dir=x", "ref=a#b", "subdir=a#b:c"] {
            assert!(parse(&format!("https://h/r.git?{wrong}")).is_err(), "{wrong}");
        }
    }
}
