//! What is built, in the words that the engine reads, and the files that it cannot read itself.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;

use api::types::{BuildOption, DebugShell, LocalBuild};

use super::call::Call;
use super::files::{self, Context, Origin};
use super::send::{Reach, Sent};
use super::{Build, options};
use crate::failure::Failure;

/// The name that the engine knows the main context by.
const MAIN: &str = "context";

impl Build {
    /// What is built, and the files that are sent.
    pub(super) fn local(
        &self,
        reach: Reach,
        (outputs, call): (Vec<BuildOption>, Option<&Call>),
    ) -> Result<(LocalBuild, Vec<Sent>), Failure> {
        let origin = Origin::of(&self.operands[0], self.file.as_deref())?;
        let mut local = LocalBuild {
            id: base::Id::random().to_string(),
            dockerfile: origin.dockerfile,
            name: origin.name,
            secrets: self.secret.iter().map(|typed| options::secret(typed)).collect::<Result<_, _>>()?,
            ssh: self.agents(reach)?,
            no_cache_filter: listed(&self.no_cache_filter),
            allow: listed(&self.allow),
            outputs,
            attests: self.attests()?,
            cache_from: caches(&self.cache_from, reach)?,
            cache_to: caches(&self.cache_to, reach)?,
            call: call.map(|call| call.name.clone()),
            debug: self.shell()?,
            why: self.why,
            ..LocalBuild::default()
        };
        let mut sent = Vec::new();
        match origin.context {
            Context::None => {}
            Context::Address(address) => local.context = Some(address),
            Context::Folder(path) if reach == Reach::Here => {
                local.seen = std::fs::metadata(&path).ok().map(|there| (there.dev(), there.ino()));
                local.context = Some(path.display().to_string());
            }
            Context::Folder(path) => {
                local.sent.push(MAIN.to_owned());
                sent.push(Sent::folder(path, origin.ignore.as_deref())?);
            }
            Context::Archive(archive) => {
                local.sent.push(MAIN.to_owned());
                sent.push(Sent::Archive(archive));
            }
        }
        local.ignore = origin.ignore;
        self.contexts(reach, (&mut local, &mut sent))?;
        Ok((local, sent))
    }

    fn contexts(&self, reach: Reach, (local, sent): (&mut LocalBuild, &mut Vec<Sent>)) -> Result<(), Failure> {
        for typed in &self.build_context {
            let (name, value) = typed
                .split_once('=')
                .ok_or_else(|| Failure::said(format!("invalid context value: {typed}, expected key=value")))?;
            let value = match value.strip_prefix("oci-layout://") {
                Some(_) if reach != Reach::Here => {
                    return Err(Failure::said(format!(
                        "the engine is on another machine and cannot read the layout {value}: push it to a registry, or 'dhow load' it"
                    )));
                }
                Some(layout) => {
                    let end = layout.find(['@', ':']).unwrap_or(layout.len());
                    format!("oci-layout://{}{}", files::absolute(&layout[..end])?.display(), &layout[end..])
                }
                None if value.contains("://") || value.starts_with("target:") || files::is_address(value) => {
                    value.to_owned()
                }
                None => {
                    let path = files::absolute(value)?;
                    if reach != Reach::Here {
                        let ignore = std::fs::read_to_string(path.join(".dockerignore")).ok();
                        local.sent.push(name.to_owned());
                        sent.push(Sent::folder(path, ignore.as_deref())?);
                        continue;
                    }
                    path.display().to_string()
                }
            };
            local.contexts.insert(name.to_owned(), value);
        }
        Ok(())
    }

    fn agents(&self, reach: Reach) -> Result<BTreeMap<String, String>, Failure> {
        if !self.ssh.is_empty() && reach != Reach::Here {
            return Err(Failure::said(
                "the engine is on another machine and cannot reach an agent here: use docker buildx build, or log in there with 'ssh -A'",
            ));
        }
        self.ssh.iter().map(|typed| options::agent(typed)).collect()
    }

    fn attests(&self) -> Result<Vec<BuildOption>, Failure> {
        let short = |kind, typed: &Option<String>| typed.as_deref().map(|text| options::short_attest(kind, text));
        let all = self.attest.iter().cloned();
        let all = all.chain(short("provenance", &self.provenance)).chain(short("sbom", &self.sbom));
        let mut wanted: BTreeMap<String, Option<BuildOption>> = BTreeMap::new();
        for text in all {
            let kind = if text.contains("type=sbom") { "sbom" } else { "provenance" };
            wanted.insert(kind.to_owned(), options::attest(&text)?);
        }
        Ok(wanted.into_values().flatten().collect())
    }

    pub(super) fn shell(&self) -> Result<Option<DebugShell>, Failure> {
        if !self.wants_shell()? {
            return Ok(None);
        }
        let stdin_is_taken = self.operands[0] == "-" || self.file.as_deref() == Some("-");
        if stdin_is_taken {
            return Err(Failure::said("a shell in a failed step needs stdin, which the build reads: give it a path"));
        }
        let terminal = crate::stream::terminal::stdin_is_terminal() && rustix::termios::isatty(rustix::stdio::stdout());
        Ok(Some(if terminal { DebugShell::Terminal } else { DebugShell::Streams }))
    }
}

/// A folder of a cache is the engine's to read and to write.
fn caches(typed: &[String], reach: Reach) -> Result<Vec<BuildOption>, Failure> {
    let mut caches = typed.iter().map(|text| options::cache(text)).collect::<Result<Vec<_>, _>>()?.concat();
    for cache in caches.iter_mut().filter(|cache| cache.kind == "local") {
        if reach != Reach::Here {
            return Err(Failure::said(
                "the engine is on another machine and cannot use a folder here as a cache: use type=registry",
            ));
        }
        for key in ["src", "dest"] {
            if let Some(path) = cache.attributes.get_mut(key) {
                *path = std::path::absolute(&*path)?.display().to_string();
            }
        }
    }
    Ok(caches)
}

/// Words that were given apart or with commas.
fn listed(typed: &[String]) -> Vec<String> {
    typed.iter().flat_map(|text| text.split(',')).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}
