//! `build`: an image from a Dockerfile and the folder around it, which the engine reads where it lies.

mod answer;
mod call;
mod description;
mod files;
mod options;
mod outcome;
mod parameters;
mod receive;
mod send;
mod show;

use std::collections::BTreeMap;

use api::types::BuildOption;
use clap::Args;

use crate::failure::Failure;
use crate::grammar::values::{Ulimit, bytes, bytes_or_unlimited, integer, ulimit};
use crate::grammar::{About, Needs};
use crate::names::Named;
use crate::session::Session;
use crate::words::{Outcome, Verb};
use answer::Following;
use call::Call;
use receive::Receiver;
use send::Reach;
use show::Manner;

/// Builds an image.
#[derive(Debug, Args)]
pub struct Build {
    /// Add a custom host-to-IP mapping (format: "host:ip")
    #[arg(long, value_name = "strings")]
    add_host: Vec<String>,
    /// Allow extra privileged entitlement (e.g., "network.host", "security.insecure")
    #[arg(long, value_name = "stringArray")]
    allow: Vec<String>,
    /// Add annotation to the image
    #[arg(long, value_name = "stringArray")]
    annotation: Vec<String>,
    /// Attestation parameters (format: "type=sbom,generator=image")
    #[arg(long, value_name = "stringArray")]
    attest: Vec<String>,
    /// Set build-time variables
    #[arg(long, value_name = "stringArray")]
    build_arg: Vec<String>,
    /// Additional build contexts (e.g., name=path)
    #[arg(long, value_name = "stringArray")]
    build_context: Vec<String>,
    // The engine is the builder.
    #[arg(long, hide = true)]
    builder: Option<String>,
    /// External cache sources (e.g., "user/app:cache", "type=local,src=path/to/dir")
    #[arg(long, value_name = "stringArray")]
    cache_from: Vec<String>,
    /// Cache export destinations (e.g., "user/app:cache", "type=local,dest=path/to/dir")
    #[arg(long, value_name = "stringArray")]
    cache_to: Vec<String>,
    /// Set method for evaluating build ("check", "outline", "targets")
    #[arg(long, value_name = "string")]
    call: Option<String>,
    /// Set the parent cgroup for the "RUN" instructions during build
    #[arg(long, value_name = "string")]
    cgroup_parent: Option<String>,
    /// Shorthand for "--call=check"
    #[arg(long)]
    check: bool,
    // Files that are sent are compressed where that is faster.
    #[arg(long, hide = true)]
    compress: bool,
    /// CPU quota period in microseconds of the "RUN" instructions
    #[arg(long, value_name = "int", value_parser = integer)]
    cpu_period: Option<i64>,
    /// CPU quota in microseconds per period of the "RUN" instructions
    #[arg(long, value_name = "int", value_parser = integer)]
    cpu_quota: Option<i64>,
    /// CPU shares (relative weight) of the "RUN" instructions
    #[arg(short, long, value_name = "int", value_parser = integer)]
    cpu_shares: Option<i64>,
    /// CPUs that "RUN" instructions may use (0-3, 0,1)
    #[arg(long, value_name = "string")]
    cpuset_cpus: Option<String>,
    /// Memory nodes that "RUN" instructions may use (0-3, 0,1)
    #[arg(long, value_name = "string")]
    cpuset_mems: Option<String>,
    /// Keep a "RUN" instruction that fails, for a shell where it stood, and tell all of the warnings
    #[arg(short = 'D', long)]
    debug: bool,
    #[arg(long, hide = true)]
    disable_content_trust: bool,
    /// Name of the Dockerfile (default: "PATH/Dockerfile")
    #[arg(short, long, value_name = "string")]
    file: Option<String>,
    #[arg(long, hide = true)]
    force_rm: bool,
    /// Write the image ID to a file
    #[arg(long, value_name = "string")]
    iidfile: Option<String>,
    #[arg(long, hide = true)]
    isolation: Option<String>,
    /// Set metadata for an image
    #[arg(long, value_name = "stringArray")]
    label: Vec<String>,
    /// Shorthand for "--output=type=docker": into the engine's store, where images are anyway
    #[arg(long)]
    load: bool,
    /// Memory limit of the "RUN" instructions
    #[arg(short, long, value_name = "bytes", value_parser = bytes)]
    memory: Option<i64>,
    /// Memory and swap together: '-1' for no limit of swap
    #[arg(long, value_name = "bytes", value_parser = bytes_or_unlimited)]
    memory_swap: Option<i64>,
    /// Write build result metadata to a file
    #[arg(long, value_name = "string")]
    metadata_file: Option<String>,
    /// Set the networking mode for the "RUN" instructions during build
    #[arg(long, value_name = "string")]
    network: Option<String>,
    /// Do not use cache when building the image
    #[arg(long)]
    no_cache: bool,
    /// Do not cache specified stages
    #[arg(long, value_name = "stringArray")]
    no_cache_filter: Vec<String>,
    /// What a "RUN" that fails leads to: "stop", "shell" (as --debug)
    #[arg(long, value_name = "string")]
    on_error: Option<String>,
    /// Output destination (format: "type=local,dest=path")
    #[arg(short, long, value_name = "stringArray")]
    output: Vec<String>,
    /// Set target platform for build
    #[arg(long, value_name = "stringArray")]
    platform: Vec<String>,
    /// Set type of progress output ("auto", "none", "plain", "quiet", "rawjson", "tty"). Use plain to show container output
    #[arg(long, value_name = "string")]
    progress: Option<String>,
    /// Shorthand for "--attest=type=provenance"
    #[arg(long, value_name = "string")]
    provenance: Option<String>,
    /// Always attempt to pull all referenced images
    #[arg(long)]
    pull: bool,
    /// Shorthand for "--output=type=registry"
    #[arg(long)]
    push: bool,
    /// Suppress the build output and print image ID on success
    #[arg(short, long)]
    quiet: bool,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    rm: Option<String>,
    /// Shorthand for "--attest=type=sbom"
    #[arg(long, value_name = "string")]
    sbom: Option<String>,
    /// Secret to expose to the build (format: "id=mysecret[,src=/local/secret]")
    #[arg(long, value_name = "stringArray")]
    secret: Vec<String>,
    /// Security options of the "RUN" instructions
    #[arg(long, value_name = "list")]
    security_opt: Vec<String>,
    /// Shared memory size for build containers
    #[arg(long, value_name = "bytes", value_parser = bytes)]
    shm_size: Option<i64>,
    /// Make one layer of all that the build adds
    #[arg(long)]
    squash: bool,
    /// SSH agent socket to expose to the build (format: "default|<id>[=<socket>]")
    #[arg(long, value_name = "stringArray")]
    ssh: Vec<String>,
    /// Image identifier (format: "[registry/]repository[:tag]")
    #[arg(short, long, value_name = "stringArray")]
    tag: Vec<String>,
    /// Set the target build stage to build
    #[arg(long, value_name = "string")]
    target: Option<String>,
    /// Ulimit options
    #[arg(long, value_name = "ulimit", value_parser = ulimit)]
    ulimit: Vec<Ulimit>,
    /// Tell why steps are not taken from the cache
    #[arg(long)]
    why: bool,
    #[arg(hide = true)]
    operands: Vec<String>,
}

impl Verb for Build {
    const ABOUT: About = About {
        name: "build",
        usage: "[OPTIONS] PATH | URL | -",
        does: "Build an image from a Dockerfile",
        needs: Needs::Exactly(1),
    };

    async fn run(self, session: &Session) -> Outcome {
        let manner = self.manner()?;
        let call = self.call()?;
        self.check()?;
        let reach = Reach::of(session.client().endpoint());
        let outputs = if call.is_some() { Vec::new() } else { self.outputs()? };
        let mut receivers = outputs.iter().map(Receiver::of).collect::<Result<Vec<_>, _>>()?;
        if receivers.iter().filter(|receiver| receiver.is_stdout()).count() > 1 {
            return Err(Failure::said("only one output can go to stdout"));
        }
        let (local, sent) = self.local(reach, (outputs, call.as_ref()))?;
        let path = self.path()?;
        outcome::forget(self.iidfile.as_deref())?;
        let following = Following { session, path: &path, id: &local.id, details: self.debug };
        let request = send::request(&local, sent, reach)?;
        let last = following.to_end(request, (manner, call.is_some()), &mut receivers).await?;
        match (last, call) {
            (answer::Last::Answer(findings), Some(call)) => call.print(&findings),
            (answer::Last::Built(built), None) => {
                outcome::keep(&built, (self.iidfile.as_deref(), self.metadata_file.as_deref()))?;
                let stdout_is_free = !receivers.iter().any(Receiver::is_stdout);
                if manner == Manner::Quiet && self.is_quiet() && stdout_is_free && !built.image.is_empty() {
                    crate::show::print(format!("{}\n", built.image))?;
                }
                Ok(0)
            }
            _ => Err(Failure::said("the engine ended the build without a result")),
        }
    }
}

impl Build {
    fn is_quiet(&self) -> bool {
        self.quiet || self.progress.as_deref() == Some("quiet")
    }

    fn manner(&self) -> Result<Manner, Failure> {
        let typed = self.progress.clone().or_else(|| std::env::var("BUILDKIT_PROGRESS").ok());
        let typed = typed.as_deref().filter(|typed| !typed.is_empty()).unwrap_or("auto");
        let terminal = rustix::termios::isatty(rustix::stdio::stderr());
        match (self.quiet, typed) {
            (true, "auto" | "quiet" | "none") | (false, "quiet" | "none") => Ok(Manner::Quiet),
            // A variable of the environment is for those who say nothing else.
            (true, _) if self.progress.is_none() => Ok(Manner::Quiet),
            (true, other) => Err(Failure::said(format!("progress={other} and quiet cannot be used together"))),
            (_, "rawjson") => Ok(Manner::Json),
            (_, "plain") => Ok(Manner::Plain),
            (_, "tty") => Ok(Manner::Live),
            (_, "auto") => Ok(if terminal { Manner::Live } else { Manner::Plain }),
            (_, other) => Err(Failure::said(format!(
                "invalid progress mode {other:?}: use auto, plain, tty, quiet, rawjson or none"
            ))),
        }
    }

    fn call(&self) -> Result<Option<Call>, Failure> {
        match (&self.call, self.check) {
            (Some(text), false) => Call::parse(text),
            (None, true) => Call::parse("check"),
            (None, false) => Ok(None),
            (Some(text), true) if matches!(text.as_str(), "check" | "lint") => Call::parse(text),
            (Some(_), true) => Err(Failure::said("--check and --call cannot be used together")),
        }
    }

    /// What cannot be meant.
    fn check(&self) -> Result<(), Failure> {
        for tag in &self.tag {
            let named = Named::parse(tag).map_err(|why| Failure::said(format!("invalid tag {tag:?}: {why}")))?;
            if named.digest.is_some() {
                return Err(Failure::said(format!("invalid tag {tag:?}: build tag cannot contain a digest")));
            }
        }
        match self.isolation.as_deref() {
            None | Some("" | "default") => Ok(()),
            Some(other) => Err(Failure::said(format!("isolation {other:?} is not for Linux: leave --isolation out"))),
        }
    }

    fn wants_shell(&self) -> Result<bool, Failure> {
        match self.on_error.as_deref() {
            None => Ok(self.debug),
            Some("shell") => Ok(true),
            Some("stop") => Ok(false),
            Some(other) => Err(Failure::said(format!("invalid --on-error {other:?}: use stop or shell"))),
        }
    }

    /// Where the result goes: an image in the store unless something else is said.
    fn outputs(&self) -> Result<Vec<BuildOption>, Failure> {
        let mut outputs = self.output.iter().filter(|text| !text.is_empty()).map(|text| options::output(text));
        let mut outputs = outputs.by_ref().collect::<Result<Vec<_>, _>>()?;
        let of = |kind: &str| BuildOption { kind: kind.to_owned(), attributes: BTreeMap::new() };
        if self.push && !outputs.iter().any(|output| output.kind == "registry") {
            match outputs.iter_mut().find(|output| output.kind == "image") {
                Some(image) => drop(image.attributes.insert("push".to_owned(), "true".to_owned())),
                None => outputs.push(of("registry")),
            }
        }
        let is_in_store = |output: &BuildOption| output.kind == "docker" && !output.attributes.contains_key("dest");
        if self.load && !outputs.iter().any(|output| is_in_store(output) || output.kind == "image") {
            outputs.push(of("docker"));
        }
        if outputs.is_empty() {
            outputs.push(of("image"));
        }
        if self.iidfile.is_some() && outputs.iter().any(|output| matches!(output.kind.as_str(), "local" | "tar")) {
            return Err(Failure::said("local and tar exporters are incompatible with image ID file"));
        }
        let annotations =
            self.annotation.iter().map(|text| options::annotation(text)).collect::<Result<Vec<_>, _>>()?;
        for output in &mut outputs {
            if matches!(output.kind.as_str(), "image" | "registry" | "oci" | "docker") {
                output.attributes.extend(annotations.iter().cloned());
                self.name(output)?;
            }
        }
        Ok(outputs)
    }

    fn name(&self, output: &mut BuildOption) -> Result<(), Failure> {
        if !self.tag.is_empty() {
            output.attributes.insert("name".to_owned(), self.tag.join(","));
        }
        let pushes = output.kind == "registry" || output.attributes.get("push").is_some_and(|text| text == "true");
        let name = output.attributes.get("name").map_or("", String::as_str);
        if pushes && name.is_empty() {
            return Err(Failure::said("tag is needed when pushing to registry"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Build {
        let words: Vec<std::ffi::OsString> = words.iter().map(std::ffi::OsString::from).collect();
        crate::grammar::parse(&Build::ABOUT, &words).expect("good flags")
    }

    #[test]
    fn a_result_goes_into_the_store_unless_something_else_is_said() {
        let kinds = |words: &[&str]| {
            let words: Vec<&str> = words.iter().chain(&["."]).copied().collect();
            let outputs = read(&words).outputs().expect("outputs");
            outputs.into_iter().map(|output| output.kind).collect::<Vec<_>>()
        };
        assert_eq!(kinds(&[]), ["image"]);
        assert_eq!(kinds(&["--load"]), ["docker"]);
        assert_eq!(kinds(&["--push", "-t", "r/a"]), ["registry"]);
        assert_eq!(kinds(&["-o", "out"]), ["local"]);
        assert_eq!(kinds(&["-o", "out", "--load"]), ["local", "docker"]);
        assert_eq!(kinds(&["-o", "type=image", "--push", "-t", "r/a"]), ["image"]);
        for wrong in [&["--push", "."][..], &["-o", "out", "--iidfile", "x", "."], &["-o", "x,y", "."]] {
            assert!(read(wrong).outputs().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn images_get_the_names_and_annotations_that_were_typed() {
        let outputs = read(&["-t", "a", "-t", "b:1", "--annotation", "k=v", "-o", "type=oci,dest=x", "."]).outputs();
        let attributes = outputs.expect("outputs").remove(0).attributes;
        assert_eq!((attributes["name"].as_str(), attributes["annotation.k"].as_str()), ("a,b:1", "v"));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for wrong in [&["-t", "A", "."][..], &["-t", "a@sha256:1", "."], &["--isolation", "hyperv", "."]] {
            assert!(read(wrong).check().is_err(), "{wrong:?}");
        }
        assert!(read(&["--progress", "wrong", "."]).manner().is_err());
        assert!(read(&["-q", "--progress", "plain", "."]).manner().is_err());
        assert!(read(&["--on-error", "wrong", "."]).wants_shell().is_err());
        assert!(read(&["--debug", "-"]).shell().is_err());
        assert!(read(&["--check", "--call", "outline", "."]).call().is_err());
    }
}
