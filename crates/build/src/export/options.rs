//! What the attributes of an output mean: BuildKit's names, and what each of its exporters takes.

use super::annotations::Annotations;
use crate::attest;
use crate::output::{Output, OutputKind};
use crate::request::Attest;
use crate::solved::Solved;
use crate::{Error, Result};
use archive::Compression;
use image::Reference;
use image::outbound::{Force, Form};
use std::collections::BTreeMap;

/// How a result goes out.
#[derive(Debug, Clone)]
pub(super) struct Options {
    /// As they were given, to be told so again.
    pub image_name: String,
    pub names: Vec<Reference>,
    pub push: Push,
    pub store: bool,
    pub insecure: bool,
    pub form: Form,
    /// Whether documents have OCI's types or Docker's.
    pub types: Types,
    /// Attestations have an artifact's manifest instead of an image's.
    pub artifacts: bool,
    pub inline: Inline,
    pub annotations: Annotations,
    /// Seconds since 1970, of this output alone.
    pub epoch: Option<i64>,
    pub rewrite_timestamp: bool,
    /// One archive, not a folder.
    pub tar: bool,
    /// Folders for platforms; by default where there are several.
    pub platform_split: Option<bool>,
    pub attestation_prefix: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Push {
    No,
    ByTag,
    ByDigest,
}

/// Whether attestations go with it that are asked for with `inline-only`, as BuildKit's clients ask for a small provenance of
/// every build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inline {
    Always,
    /// Where there is an index anyway.
    BesideOthers,
    /// An image that stays here is one image: an index for each build would be of no use to anybody.
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Types {
    Oci,
    Docker,
}

/// What doors, drivers and newer clients may add without changing what is meant here: where the client writes, and how
/// containerd keeps names.
const OF_OTHERS: [&str; 9] = [
    "dest",
    "context",
    "unpack",
    "name-canonical",
    "dangling-name-prefix",
    "danglingNameEmptyOnly",
    "dangling-name-empty-only",
    "prefer-nondist-layers",
    "unsafe-internal-store-allow-incomplete",
];

impl Options {
    pub fn of(output: &Output) -> Result<Options> {
        let mut given = Given { kind: output.kind, rest: output.attributes.clone() };
        let annotations = Annotations::take(&mut given.rest)?;
        let push = given.flag("push", false)?;
        let by_digest = given.flag("push-by-digest", false)?;
        let image_name = given.text("name").unwrap_or_default();
        let names = image_name.split(',').filter(|name| !name.is_empty()).map(Reference::parse);
        let types = match given.flag("oci-mediatypes", true)? {
            true => Types::Oci,
            false => Types::Docker,
        };
        let options = Options {
            names: names.collect::<std::result::Result<_, _>>()?,
            image_name,
            push: match (push, by_digest) {
                (false, _) => Push::No,
                (true, false) => Push::ByTag,
                (true, true) => Push::ByDigest,
            },
            store: given.flag("store", true)?,
            insecure: given.flag("registry.insecure", false)?,
            form: given.form()?,
            types,
            artifacts: given.flag("oci-artifact", false)?,
            inline: match given.maybe("attestation-inline")? {
                Some(true) => Inline::Always,
                None if output.kind == OutputKind::Image && push => Inline::Always,
                None if output.kind == OutputKind::Image => Inline::Never,
                _ => Inline::BesideOthers,
            },
            annotations,
            epoch: given.seconds("source-date-epoch")?,
            rewrite_timestamp: given.flag("rewrite-timestamp", false)?,
            tar: given.flag("tar", true)?,
            platform_split: given.maybe("platform-split")?,
            attestation_prefix: given.text("attestation-prefix").unwrap_or_default(),
        };
        given.mode()?;
        given.nothing_left()?;
        options.agree()?;
        Ok(options)
    }

    /// What is to be said of results for so many platforms.
    pub fn attested<'a>(&self, solved: &'a Solved, platforms: usize) -> Result<Vec<&'a Attest>> {
        let explicit = attest::wanted(solved, attest::Which::Explicit)?;
        let all = match self.inline {
            Inline::Always => true,
            Inline::BesideOthers => platforms > 1 || !explicit.is_empty(),
            Inline::Never => false,
        };
        if all { attest::wanted(solved, attest::Which::All) } else { Ok(explicit) }
    }

    /// What cannot be together.
    fn agree(&self) -> Result<()> {
        if self.push == Push::ByDigest
            && let Some(tagged) = self.names.iter().find(|name| name.tag.is_some() || name.digest.is_some())
        {
            return Err(Error::Invalid(format!("can't push tagged ref {tagged} by digest")));
        }
        if self.types == Types::Oci {
            return Ok(());
        }
        let conflict = |what: &str| Err(Error::Invalid(format!("{what} conflicts with \"oci-mediatypes=false\"")));
        if self.form.compression == Compression::Zstd {
            return conflict("exporter option \"compression=zstd\"");
        }
        if self.artifacts {
            return conflict("exporter option \"oci-artifact=true\"");
        }
        if self.annotations.need_oci() {
            return Err(Error::Invalid("cannot export annotations with \"oci-mediatypes=false\"".to_owned()));
        }
        Ok(())
    }
}

/// Attributes that were not looked at yet.
struct Given {
    kind: OutputKind,
    rest: BTreeMap<String, String>,
}

impl Given {
    fn text(&mut self, key: &str) -> Option<String> {
        self.rest.remove(key)
    }

    /// Without a value it is meant.
    fn maybe(&mut self, key: &str) -> Result<Option<bool>> {
        let Some(text) = self.rest.remove(key) else { return Ok(None) };
        match text.as_str() {
            "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Some(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Some(false)),
            other => Err(Error::Invalid(format!("non-bool value specified for {key}: {other:?}"))),
        }
    }

    fn flag(&mut self, key: &str, default: bool) -> Result<bool> {
        Ok(self.maybe(key)?.unwrap_or(default))
    }

    fn seconds(&mut self, key: &str) -> Result<Option<i64>> {
        let text = self.rest.remove(key).filter(|text| !text.is_empty());
        text.map(|text| text.parse().map_err(|_| Error::Invalid(format!("invalid {key}: {text}")))).transpose()
    }

    fn form(&mut self) -> Result<Form> {
        let compression = match self.rest.remove("compression").as_deref() {
            None | Some("" | "gzip") => Compression::Gzip,
            Some("uncompressed") => Compression::Plain,
            Some("zstd") => Compression::Zstd,
            Some("estargz") => {
                let why = "compression estargz is not supported: use gzip, zstd or uncompressed";
                return Err(Error::Invalid(why.to_owned()));
            }
            Some(other) => return Err(Error::Invalid(format!("unsupported compression type {other}"))),
        };
        let level = self.rest.remove("compression-level");
        let wrong = |text: &String| Error::Invalid(format!("non-integer value {text} specified for compression-level"));
        let level: Option<i32> = level.map(|text| text.parse().map_err(|_| wrong(&text))).transpose()?;
        // To zlib and zstd's makers a negative one of gzip is the default.
        let level = level.filter(|level| *level >= 0 || compression != Compression::Gzip);
        let force = if self.flag("force-compression", false)? { Force::Yes } else { Force::No };
        Ok(Form { compression, level, force })
    }

    /// Whether what is in a client's folder besides is to go is the client's end of it.
    fn mode(&mut self) -> Result<()> {
        if self.kind != OutputKind::Local {
            return Ok(());
        }
        match self.rest.remove("mode").as_deref() {
            None | Some("" | "copy" | "delete") => Ok(()),
            Some(other) => Err(Error::Invalid(format!("invalid local exporter mode {other:?}: use copy or delete"))),
        }
    }

    fn nothing_left(self) -> Result<()> {
        let known = |key: &str| OF_OTHERS.contains(&key) || key.starts_with("containerimage.");
        match self.rest.keys().find(|key| !known(key)) {
            None => Ok(()),
            Some(key) => {
                Err(Error::Invalid(format!("unknown attribute {key:?} of an output of the kind {:?}", self.kind)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: OutputKind, pairs: &[(&str, &str)]) -> Result<Options> {
        let attributes = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Options::of(&Output { kind, attributes })
    }

    #[test]
    fn an_image_is_named_and_kept_unless_more_is_said() {
        let options = of(OutputKind::Image, &[("name", "a:1,r.example/b"), ("push", "")]).unwrap();
        assert_eq!(options.names.len(), 2);
        assert_eq!((options.push, options.store), (Push::ByTag, true));
        assert_eq!(options.form, Form { compression: Compression::Gzip, level: None, force: Force::No });
        assert_eq!(options.inline, Inline::Always);
        assert_eq!(of(OutputKind::Image, &[]).unwrap().inline, Inline::Never);
        assert_eq!(of(OutputKind::Oci, &[]).unwrap().inline, Inline::BesideOthers);
    }

    #[test]
    fn what_contradicts_or_is_unknown_is_refused_in_words() {
        let why = |pairs: &[(&str, &str)]| of(OutputKind::Image, pairs).unwrap_err().to_string();
        assert!(why(&[("compression", "estargz")]).contains("use gzip, zstd or uncompressed"));
        assert!(why(&[("compression", "zstd"), ("oci-mediatypes", "false")]).contains("conflicts"));
        assert!(why(&[("annotation-index.a", "b"), ("oci-mediatypes", "false")]).contains("annotations"));
        assert!(why(&[("push", "maybe")]).contains("non-bool value specified for push"));
        let tagged = [("name", "r.example/a:1"), ("push", "true"), ("push-by-digest", "true")];
        assert!(why(&tagged).contains("can't push tagged ref r.example/a:1 by digest"));
        assert!(why(&[("compresion", "gzip")]).contains("unknown attribute \"compresion\""));
        assert!(of(OutputKind::Local, &[("mode", "move")]).unwrap_err().to_string().contains("copy or delete"));
    }
}
