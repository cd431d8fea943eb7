//! `RUN` and the commands of `CMD`, `ENTRYPOINT`: flags in, what to execute out.

use crate::flags::{Flags, Takes};
use crate::mount::{MountFlag, boolean};
use crate::suggest::{Case, nearest};
use crate::words::json_array;
use crate::{Command, Device, Error, Fault, Heredoc, InlineFile, Network, Run, Security, csv};

const FLAGS: &[(&str, Takes)] =
    &[("mount", Takes::Values), ("network", Takes::Value), ("security", Takes::Value), ("device", Takes::Values)];

/// What to execute for a `RUN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    pub argv: Vec<String>,
    /// A script that must lie at `/dev/pipes/NAME`, mode 0755, while it runs.
    pub file: Option<InlineFile>,
}

impl Command {
    /// An array, or a line for the shell.
    pub(crate) fn parse(rest: &str) -> Result<Command, Error> {
        Ok(json_array(rest)?.map_or_else(|| Command::Shell(rest.to_owned()), Command::Exec))
    }

    /// The words to execute; `shell` comes first if one is needed.
    pub fn argv(&self, shell: &[String]) -> Vec<String> {
        match self {
            Command::Exec(argv) => argv.clone(),
            Command::Shell(line) => shell.iter().cloned().chain([line.clone()]).collect(),
        }
    }
}

impl Run {
    pub(crate) fn parse(flags: &[String], rest: &str, heredocs: Vec<Heredoc>) -> Result<Run, Error> {
        let flags = Flags::parse(flags, FLAGS)?;
        let command = Command::parse(rest)?;
        Ok(Run {
            command,
            heredocs,
            devices: flags.all("device").map(device).collect::<Result<_, _>>()?,
            mounts: flags.all("mount").map(MountFlag::parse).collect::<Result<_, _>>()?,
            network: network(flags.text("network"))?,
            security: security(flags.text("security"))?,
        })
    }

    /// What to execute, heredocs included. `RUN <<NAME` alone is a script: for the shell, or, when it begins with `#!`, a file to
    /// execute. In all other cases the shell reads the heredocs.
    pub fn invocation(&self, shell: &[String]) -> Invocation {
        let Command::Shell(line) = &self.command else {
            return Invocation { argv: self.command.argv(shell), file: None };
        };
        let through_shell = |script: String| Invocation { argv: Command::Shell(script).argv(shell), file: None };
        let Some(first) = self.heredocs.first() else { return through_shell(line.clone()) };
        if !matches!(Heredoc::announced(line), Ok(Some(_))) {
            return through_shell(self.whole(line));
        }
        let script = first.text();
        if !script.starts_with("#!") {
            return through_shell(script);
        }
        let file = InlineFile { name: first.name.clone(), content: script, expand: false };
        let path = format!("/dev/pipes/{}", file.name);
        Invocation { argv: Command::Shell(path).argv(shell), file: Some(file) }
    }

    fn whole(&self, line: &str) -> String {
        let mut whole = line.to_owned();
        for heredoc in &self.heredocs {
            whole.push('\n');
            whole.push_str(&heredoc.content);
            whole.push_str(&heredoc.name);
        }
        whole
    }

    /// The first line of a script that is a heredoc, for people: ` (apt-get update...)`.
    pub(crate) fn summary(&self) -> Option<String> {
        let Command::Shell(line) = &self.command else { return None };
        let heredoc = self.heredocs.first().filter(|_| matches!(Heredoc::announced(line), Ok(Some(_))))?;
        let text = heredoc.content.trim();
        let (first, more) =
            text.split_once('\n').map_or((text, ""), |(first, _)| (first.trim_end_matches('\r'), "..."));
        Some(format!("{first}{more}"))
    }
}

fn network(value: Option<&str>) -> Result<Network, Error> {
    match value {
        None | Some("default") => Ok(Network::Default),
        Some("none") => Ok(Network::None),
        Some("host") => Ok(Network::Host),
        Some(other) => Err(Fault::Network(other.to_owned()).into()),
    }
}

fn security(value: Option<&str>) -> Result<Security, Error> {
    match value {
        None | Some("sandbox") => Ok(Security::Sandbox),
        Some("insecure") => Ok(Security::Insecure),
        Some(other) => Err(Fault::Security(other.to_owned()).into()),
    }
}

/// `vendor.com/class=name,required`, or `name=...,required=false`.
fn device(text: &str) -> Result<Device, Error> {
    let fields = csv::fields(text).map_err(|why| Fault::Csv { what: "devices", why })?;
    let mut device = Device { name: String::new(), required: false };
    for field in fields {
        let (key, value) = field.split_once('=').map_or((field.as_str(), None), |(key, value)| (key, Some(value)));
        match (key.to_lowercase().as_str(), value) {
            ("required", None) => device.required = true,
            ("required", Some(value)) => device.required = boolean("required", value)?,
            ("name", Some(_)) if !device.name.is_empty() => return Err(Fault::DeviceNamedTwice(device.name).into()),
            ("name", Some(value)) => device.name = value.to_owned(),
            _ if device.name.is_empty() => device.name = field,
            (_, None) => return Err(Fault::NotPair(field).into()),
            (key, Some(_)) => {
                let hint = nearest(key, ["name", "required"], Case::Matters);
                return Err(Error::from(Fault::UnexpectedKey { key: key.to_owned(), field }).meaning(hint));
            }
        }
    }
    Ok(device)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(line: &str, heredocs: Vec<Heredoc>) -> Run {
        Run::parse(&[], line, heredocs).unwrap()
    }

    fn heredoc(word: &str, content: &str) -> Heredoc {
        Heredoc { content: content.to_owned(), ..Heredoc::announced(word).unwrap().unwrap() }
    }

    fn shell() -> Vec<String> {
        vec!["/bin/sh".to_owned(), "-c".to_owned()]
    }

    #[test]
    fn a_heredoc_alone_is_a_script() {
        let invocation = run("<<EOF", vec![heredoc("<<EOF", "a\nb\n")]).invocation(&shell());
        assert_eq!(invocation.argv, ["/bin/sh", "-c", "a\nb\n"]);
        assert_eq!(invocation.file, None);
    }

    #[test]
    fn a_heredoc_with_an_interpreter_is_a_file() {
        let invocation = run("<<-EOF", vec![heredoc("<<-EOF", "\t#!/bin/x\n\ty\n")]).invocation(&shell());
        assert_eq!(invocation.argv, ["/bin/sh", "-c", "/dev/pipes/EOF"]);
        assert_eq!(invocation.file.unwrap().content, "#!/bin/x\ny\n");
    }

    #[test]
    fn other_heredocs_are_for_the_shell() {
        let run = run("cat <<A 3<<-B", vec![heredoc("<<A", "a\n"), heredoc("3<<-B", "\tb\n")]);
        assert_eq!(run.invocation(&shell()).argv[2], "cat <<A 3<<-B\na\nA\n\tb\nB");
    }

    #[test]
    fn reads_devices() {
        let device = |text| device(text).map(|device| (device.name, device.required)).map_err(|error| error.message());
        assert_eq!(device("v.com/c=n,required"), Ok(("v.com/c=n".into(), true)));
        assert_eq!(device("name=x,required=0"), Ok(("x".into(), false)));
        assert_eq!(device("x,name=y"), Err("device name already set to x".into()));
        assert_eq!(
            device("x,requird=1"),
            Err("unexpected key 'requird' in 'requird=1' (did you mean required?)".into())
        );
    }
}
