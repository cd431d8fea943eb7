//! Definitions of builds (LLB): only those that clients write in ordinary use are understood, a source and its archive unpacked.

use crate::{Error, Result};
use bollard_buildkit_proto::pb::{self, Op, OpMetadata, SourceOp, file_action, op};
use prost::Message;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, HashMap};

/// The scheme of our own results.
const RESULT: &str = "dhow-result://";
/// Operations of a definition that are looked at.
const MOST_OPS: usize = 64;

/// What a definition says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Definition {
    /// Nothing at all.
    Nothing,
    /// What a build made, by its id.
    Result(String),
    /// A repository, as `https://host/x.git#ref:folder`; the commit that it must be; whether `.git` stays.
    Repository { address: String, checksum: Option<String>, keeps_git: bool },
    /// A file at an address, under a name.
    File { address: String, name: String },
    /// What is in the archive at an address.
    Archive { address: String },
}

/// A result as clients put it into their own definitions.
pub fn of_result(id: &str) -> pb::Definition {
    let source = SourceOp { identifier: format!("{RESULT}{id}"), attrs: BTreeMap::new() };
    let source = Op { op: Some(op::Op::Source(source)), ..Op::default() }.encode_to_vec();
    let digest = digest(&source);
    let end = Op { inputs: vec![pb::Input { digest: digest.clone(), index: 0 }], ..Op::default() }.encode_to_vec();
    let metadata = BTreeMap::from([(digest, OpMetadata::default()), (self::digest(&end), OpMetadata::default())]);
    pb::Definition { def: vec![source, end], metadata, source: None }
}

fn digest(bytes: &[u8]) -> String {
    let sum: [u8; 32] = Sha256::digest(bytes).into();
    base::Digest::from_bytes(sum).to_string()
}

fn unsupported() -> Error {
    Error::Unsupported(
        "this engine builds Dockerfiles: definitions of builds (LLB) are not supported but for sources".to_owned(),
    )
}

impl Definition {
    pub fn parse(definition: &pb::Definition) -> Result<Definition> {
        if definition.def.is_empty() {
            return Ok(Definition::Nothing);
        }
        if definition.def.len() > MOST_OPS {
            return Err(unsupported());
        }
        let mut ops = HashMap::new();
        let mut last = None;
        for bytes in &definition.def {
            let op = Op::decode(bytes.as_slice())
                .map_err(|error| Error::Invalid(format!("failed to parse llb proto op: {error}")))?;
            let name = digest(bytes);
            last = Some(name.clone());
            ops.insert(name, op);
        }
        let end = last.and_then(|name| ops.get(&name)).ok_or_else(unsupported)?;
        // Without inputs the last operation is itself the end, as of one that was cut off: refused below.
        let [input] = end.inputs.as_slice() else { return Err(unsupported()) };
        if input.index != 0 || end.op.is_some() {
            return Err(unsupported());
        }
        let head = ops.get(&input.digest).ok_or_else(|| Error::Invalid(format!("unknown op {}", input.digest)))?;
        head_of(head, &ops)
    }
}

fn head_of(head: &Op, ops: &HashMap<String, Op>) -> Result<Definition> {
    match &head.op {
        Some(op::Op::Source(source)) => of_source(source),
        Some(op::Op::File(file)) => unpacked(head, file, ops),
        _ => Err(unsupported()),
    }
}

fn of_source(source: &SourceOp) -> Result<Definition> {
    let attribute = |name: &str| source.attrs.get(name).map(String::as_str).filter(|text| !text.is_empty());
    let identifier = source.identifier.as_str();
    if let Some(id) = identifier.strip_prefix(RESULT) {
        return Ok(Definition::Result(id.to_owned()));
    }
    if let Some(rest) = identifier.strip_prefix("git://") {
        let fragment = rest.split_once('#').map(|(_, fragment)| format!("#{fragment}")).unwrap_or_default();
        let bare = rest.split('#').next().unwrap_or_default();
        let address = attribute("git.fullurl").map_or_else(|| format!("https://{bare}"), str::to_owned);
        return Ok(Definition::Repository {
            address: format!("{address}{fragment}"),
            checksum: attribute("git.checksum").map(str::to_owned),
            keeps_git: attribute("git.keepgitdir") == Some("true"),
        });
    }
    if identifier.starts_with("http://") || identifier.starts_with("https://") {
        if attribute("http.checksum").is_some() {
            return Err(Error::Unsupported(format!("the checksum of {identifier} cannot be checked by this engine")));
        }
        let name = attribute("http.filename").unwrap_or("index");
        if name.contains('/') || name == ".." || name == "." {
            return Err(Error::Invalid(format!("invalid file name {name:?}")));
        }
        return Ok(Definition::File { address: identifier.to_owned(), name: name.to_owned() });
    }
    Err(unsupported())
}

/// One copy of an archive that is unpacked.
fn unpacked(head: &Op, file: &pb::FileOp, ops: &HashMap<String, Op>) -> Result<Definition> {
    let [action] = file.actions.as_slice() else { return Err(unsupported()) };
    let Some(file_action::Action::Copy(copy)) = &action.action else { return Err(unsupported()) };
    let [input] = head.inputs.as_slice() else { return Err(unsupported()) };
    let source = ops.get(&input.digest).ok_or_else(|| Error::Invalid(format!("unknown op {}", input.digest)))?;
    let Some(op::Op::Source(source)) = &source.op else { return Err(unsupported()) };
    match of_source(source)? {
        Definition::File { address, .. } if copy.attempt_unpack_docker_compatibility => {
            Ok(Definition::Archive { address })
        }
        _ => Err(unsupported()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(identifier: &str, attributes: &[(&str, &str)]) -> pb::Definition {
        let attrs = attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let source = SourceOp { identifier: identifier.to_owned(), attrs };
        let op = Op { op: Some(op::Op::Source(source)), ..Op::default() }.encode_to_vec();
        let end = Op { inputs: vec![pb::Input { digest: digest(&op), index: 0 }], ..Op::default() }.encode_to_vec();
        pb::Definition { def: vec![op, end], ..pb::Definition::default() }
    }

    #[test]
    fn a_result_comes_back_as_it_was_given() {
        assert_eq!(Definition::parse(&of_result("x")).expect("parsed"), Definition::Result("x".to_owned()));
        assert_eq!(Definition::parse(&pb::Definition::default()).expect("parsed"), Definition::Nothing);
    }

    #[test]
    fn sources_of_clients_are_understood() {
        let full = ("git.fullurl", "https://example.com/x.git");
        let git = source("git://example.com/x.git#main:a", &[full]);
        let address = "https://example.com/x.git#main:a".to_owned();
        let expected = Definition::Repository { address: address.clone(), checksum: None, keeps_git: false };
        assert_eq!(Definition::parse(&git).expect("parsed"), expected);
        let more = [full, ("git.checksum", "0123abc"), ("git.keepgitdir", "true")];
        let expected = Definition::Repository { address, checksum: Some("0123abc".to_owned()), keeps_git: true };
        assert_eq!(Definition::parse(&source("git://example.com/x.git#main:a", &more)).expect("parsed"), expected);
        let file = source("https://example.com/f", &[("http.filename", "Dockerfile")]);
        let (address, name) = ("https://example.com/f".to_owned(), "Dockerfile".to_owned());
        assert_eq!(Definition::parse(&file).expect("parsed"), Definition::File { address, name });
    }

    proptest::proptest! {
        #[test]
        fn no_definition_whatever_its_bytes_panics(ops in proptest::collection::vec(proptest::collection::vec(proptest::num::u8::ANY, 0..64), 0..6)) {
            let _ = Definition::parse(&pb::Definition { def: ops, ..pb::Definition::default() });
        }

        #[test]
        fn no_cut_off_or_changed_definition_panics(at in 0usize..200, byte in proptest::num::u8::ANY, cut in 0usize..200) {
            let mut definition = source("git://example.com/x.git#main:a", &[("git.fullurl", "https://example.com/x.git")]);
            for op in &mut definition.def {
                if let Some(place) = op.get_mut(at) {
                    *place = byte;
                }
                op.truncate(cut);
            }
            let _ = Definition::parse(&definition);
        }
    }

    #[test]
    fn strange_definitions_are_refused_and_none_panics() {
        let input = |digest: &str, index| pb::Input { digest: digest.to_owned(), index };
        let ops = [
            vec![vec![0xff; 8]],
            vec![Op::default().encode_to_vec()],
            vec![Op { inputs: vec![input("sha256:0", 0)], ..Op::default() }.encode_to_vec()],
            vec![Op { inputs: vec![input("", -1)], ..Op::default() }.encode_to_vec()],
            vec![Op { inputs: vec![input("", i64::MIN); 3], ..Op::default() }.encode_to_vec()],
            vec![Vec::new(); MOST_OPS + 1],
        ];
        for def in ops {
            let definition = pb::Definition { def, ..pb::Definition::default() };
            assert!(Definition::parse(&definition).is_err(), "{definition:?}");
        }
        for strange in ["docker-image://x", "local://x", "", "git", "oci-layout://x", "blob://x"] {
            assert!(Definition::parse(&source(strange, &[])).is_err(), "{strange}");
        }
        assert!(Definition::parse(&source("http://x", &[("http.filename", "../x")])).is_err());
        assert!(Definition::parse(&source("http://x", &[("http.checksum", "sha256:0")])).is_err());
    }

    /// CVE-2024-23653, and the values that BuildKit took for harmless until 2026: nothing is run, whatever rights it asks for.
    #[test]
    fn no_program_of_a_definition_is_run_whatever_its_modes_are() {
        let base = SourceOp { identifier: "docker-image://busybox".to_owned(), attrs: BTreeMap::new() };
        let base = Op { op: Some(op::Op::Source(base)), ..Op::default() }.encode_to_vec();
        for mode in [0, 1, 2, 3, -1, i32::MIN, i32::MAX] {
            for (network, security) in [(mode, 0), (0, mode), (mode, mode)] {
                let meta = pb::Meta { args: vec!["/bin/true".to_owned()], ..pb::Meta::default() };
                let run = pb::ExecOp { meta: Some(meta), network, security, ..pb::ExecOp::default() };
                let input = pb::Input { digest: digest(&base), index: 0 };
                let run = Op { inputs: vec![input], op: Some(op::Op::Exec(run)), ..Op::default() }.encode_to_vec();
                let input = pb::Input { digest: digest(&run), index: 0 };
                let end = Op { inputs: vec![input], ..Op::default() }.encode_to_vec();
                let definition = pb::Definition { def: vec![base.clone(), run, end], ..pb::Definition::default() };
                let refused = Definition::parse(&definition).expect_err("a program");
                assert!(matches!(refused, Error::Unsupported(_)), "{network} {security}: {refused}");
            }
        }
    }
}
