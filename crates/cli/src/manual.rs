//! The pages of the manual, as man(7) wants them: made from the same grammar that reads the words.

use std::ffi::OsString;
use std::fmt::Write;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::builder::ArgAction;
use clap::{Arg, Command};

use crate::show::complain;
use crate::verbs;
use crate::words::Entry;

/// A setting of `daemon.json`: its name, how it is written, and what it does.
pub type Setting = (&'static str, &'static str, &'static str);

/// Writes all pages into a folder.
pub fn main(args: &[OsString], engine: fn() -> Command, settings: &[Setting]) -> ExitCode {
    let [folder] = args else {
        complain("Usage:  dhow manual DIR\n\nWrites the pages of the manual into a folder.");
        return ExitCode::from(1);
    };
    match write(Path::new(folder), engine, settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            complain(&format!("cannot write the manual into {}: {cause}", Path::new(folder).display()));
            ExitCode::from(1)
        }
    }
}

fn write(folder: &Path, engine: fn() -> Command, settings: &[Setting]) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let page = |name: &str, section: u8, text: String| std::fs::write(folder.join(format!("{name}.{section}")), text);
    page("dhow", 1, overview())?;
    for entry in told() {
        page(&format!("dhow-{}", dashed(entry.about.name)), 1, of_verb(entry))?;
    }
    page("dhow-engine", 8, of_engine(&engine()))?;
    page("dhow-daemon.json", 5, of_settings(settings))
}

/// The verbs of which there is something to be said.
fn told() -> impl Iterator<Item = &'static Entry> {
    verbs::all().iter().filter(|entry| !entry.about.does.is_empty())
}

fn dashed(name: &str) -> String {
    name.replace(' ', "-")
}

/// A text in which nothing is taken for a request of roff.
fn plain(text: &str) -> String {
    let escaped = text.replace('\\', "\\e").replace('-', "\\-");
    let line = |line: &str| if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line.to_owned() };
    escaped.lines().map(line).collect::<Vec<_>>().join("\n.br\n")
}

fn title(name: &str, section: u8) -> String {
    format!(".TH {} {section} \"\" \"Dhow {}\" \"Dhow\"\n", plain(&name.to_uppercase()), env!("CARGO_PKG_VERSION"))
}

fn overview() -> String {
    let mut text = title("dhow", 1);
    text.push_str(".SH NAME\ndhow \\- a small and fast container engine with docker's words\n");
    text.push_str(".SH SYNOPSIS\n.B dhow\n[OPTIONS] COMMAND [ARG...]\n.SH COMMANDS\n");
    for entry in told() {
        let _ = writeln!(text, ".TP\n.B {}\n{}", plain(entry.about.name), plain(entry.about.summary()));
    }
    text.push_str(".SH SEE ALSO\n.BR dhow\\-engine (8),\n.BR dhow\\-daemon.json (5)\n");
    text
}

fn of_verb(entry: &Entry) -> String {
    let about = &entry.about;
    let name = format!("dhow-{}", dashed(about.name));
    let mut text = title(&name, 1);
    let _ = writeln!(text, ".SH NAME\n{} \\- {}", plain(&name), plain(about.summary()));
    let _ = writeln!(text, ".SH SYNOPSIS\n.B dhow {}\n{}", plain(about.name), plain(about.usage));
    let _ = writeln!(text, ".SH DESCRIPTION\n{}", plain(about.does));
    if entry.words.len() > 1 {
        let others = entry.words.iter().map(|words| format!("dhow {words}")).collect::<Vec<_>>().join(", ");
        let _ = writeln!(text, ".SH ALIASES\n{}", plain(&others));
    }
    options(&mut text, &(entry.command)());
    text.push_str(".SH SEE ALSO\n.BR dhow (1)\n");
    text
}

fn of_engine(command: &Command) -> String {
    let mut text = title("dhow-engine", 8);
    text.push_str(".SH NAME\ndhow\\-engine \\- the container engine: serves the Docker API\n");
    text.push_str(".SH SYNOPSIS\n.B dhow engine\n[OPTIONS]\n");
    text.push_str(
        ".SH DESCRIPTION\nThe flags of dockerd are understood; those that are not listed here are accepted and change nothing,\n\
         or are refused with the reason.\n",
    );
    options(&mut text, command);
    text.push_str(
        ".SH SIGNALS\n.TP\n.B SIGTERM, SIGINT, SIGQUIT\nEnd. Containers go on, unless live\\-restore is false.\n\
         .TP\n.B SIGHUP\nRead the settings again.\n.TP\n.B SIGUSR1\nSay in the log what the engine is doing.\n",
    );
    text.push_str(".SH SEE ALSO\n.BR dhow (1),\n.BR dhow\\-daemon.json (5)\n");
    text
}

fn of_settings(settings: &[Setting]) -> String {
    let mut text = title("dhow-daemon.json", 5);
    text.push_str(".SH NAME\ndhow\\-daemon.json \\- the engine's settings\n.SH SYNOPSIS\n.I /etc/dhow/daemon.json\n");
    text.push_str(
        ".SH DESCRIPTION\nA JSON object with dockerd's names. A setting that stands here and is given as a flag, too, is an error.\n\
         .SH SETTINGS\n",
    );
    for (name, shape, does) in settings {
        let _ = writeln!(text, ".TP\n.B {}\n({})\n{}", plain(name), plain(shape), plain(does));
    }
    text.push_str(".SH SEE ALSO\n.BR dhow\\-engine (8)\n");
    text
}

fn options(text: &mut String, command: &Command) {
    let mut shown: Vec<&Arg> = command
        .get_arguments()
        .filter(|arg| !arg.is_hide_set() && !arg.is_positional() && !matches!(arg.get_action(), ArgAction::Help))
        .collect();
    shown.sort_by_key(|arg| arg.get_long().unwrap_or_default());
    if shown.is_empty() {
        return;
    }
    text.push_str(".SH OPTIONS\n");
    for arg in shown {
        let short = arg.get_short().map(|letter| format!("-{letter}, ")).unwrap_or_default();
        let value = arg.get_value_names().and_then(<[_]>::first).map(|name| format!(" {name}")).unwrap_or_default();
        let flag = format!("{short}--{}{value}", arg.get_long().unwrap_or_default());
        let does = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let _ = writeln!(text, ".TP\n.B {}\n{}", plain(flag.trim_end()), plain(&does));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_and_setting_has_its_page() {
        let folder = tempfile::tempdir().expect("a folder");
        let engine =
            || Command::new("engine").arg(Arg::new("bip").long("bip").short('b').value_name("CIDR").help("The bridge"));
        write(folder.path(), engine, &[("mtu", "number", "The MTU")]).expect("written");
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("a page");
        assert!(read("dhow-run.1").contains(".B \\-m, \\-\\-memory bytes\n"));
        assert!(read("dhow-engine.8").contains(".B \\-b, \\-\\-bip CIDR\nThe bridge\n"));
        assert!(read("dhow-daemon.json.5").contains(".B mtu\n(number)\nThe MTU\n"));
        for entry in told() {
            assert!(read("dhow.1").contains(&plain(entry.about.name)), "{}", entry.about.name);
        }
    }

    #[test]
    fn texts_are_no_requests() {
        assert_eq!(plain(".a\n'b-\\"), "\\&.a\n.br\n\\&'b\\-\\e");
    }
}
