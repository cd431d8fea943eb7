//! The page of `--help`, laid out as docker's flag library lays it out.

use clap::builder::ArgAction;
use clap::{Arg, Command};
use rustix::stdio::stdin;
use rustix::termios::tcgetwinsize;

use super::About;
use crate::verbs;

/// What `--format` says about itself where a list is shown.
pub const FORMAT: &str = "\
Format output using a custom template:
'table':            Print output in table format with column headers (default)
'table TEMPLATE':   Print output in table format using the given Go template
'json':             Print in JSON format
'TEMPLATE':         Print output using the given Go template.
Refer to https://docs.docker.com/go/formatting/ for more information about formatting output with templates";

/// What `--format` says about itself where there is no table.
pub const FORMAT_ONE: &str = "\
Format output using a custom template:
'json':             Print in JSON format
'TEMPLATE':         Print output using the given Go template.
Refer to https://docs.docker.com/go/formatting/ for more information about formatting output with templates";

/// The page of a verb, as wide as the terminal.
pub fn page(about: &About, command: &Command) -> String {
    let width = tcgetwinsize(stdin()).map_or(0, |size| usize::from(size.ws_col));
    page_of_width(about, command, if width == 0 { 80 } else { width })
}

fn page_of_width(about: &About, command: &Command, width: usize) -> String {
    let mut text = format!("{}\n\n{}\n", about.usage_line(), about.does);
    let names = aliases(about.name);
    if !names.is_empty() {
        text.push_str(&format!("\nAliases:\n  {}\n", names.join(", ")));
    }
    let flags = flags(command);
    if !flags.is_empty() {
        text.push_str("\nOptions:\n");
        text.push_str(&layout(&flags, width.saturating_sub(1)));
    }
    text
}

/// All spellings of a verb that has several: those in groups first.
fn aliases(name: &str) -> Vec<String> {
    let Some(entry) = verbs::all().iter().find(|entry| entry.words.contains(&name)) else { return Vec::new() };
    match entry.words {
        [] | [_] => Vec::new(),
        [first, others @ ..] => others.iter().chain([first]).map(|words| format!("dhow {words}")).collect(),
    }
}

/// Each flag as it is typed, and what it does; by name.
fn flags(command: &Command) -> Vec<(String, String)> {
    let mut shown: Vec<&Arg> =
        command.get_arguments().filter(|arg| !arg.is_hide_set() && !arg.is_positional()).collect();
    shown.sort_by_key(|arg| arg.get_long().unwrap_or_default());
    shown.into_iter().filter(|arg| !matches!(arg.get_action(), ArgAction::Help)).map(flag).collect()
}

fn flag(arg: &Arg) -> (String, String) {
    let long = arg.get_long().unwrap_or_default();
    let value = arg.get_value_names().and_then(<[_]>::first).map(|name| name.to_string()).unwrap_or_default();
    let start = arg.get_short().map_or_else(|| "      ".to_owned(), |short| format!("  -{short}, "));
    let typed = format!("{start}--{long} {value}");
    let does = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let default = match arg.get_default_values() {
        [default] if !arg.is_hide_default_value_set() => format!(" (default {:?})", default.to_string_lossy()),
        _ => String::new(),
    };
    (typed.trim_end().to_owned(), does + &default)
}

fn layout(flags: &[(String, String)], width: usize) -> String {
    const GAP: usize = 3;
    let widest = flags.iter().map(|(typed, _)| typed.len()).max().unwrap_or(0);
    let line = |(typed, does): &(String, String)| {
        format!("{typed:<0$}{1}\n", widest + GAP, wrapped(does, widest + GAP, width))
    };
    flags.iter().map(line).collect()
}

/// Breaks a text that begins in column `indent`.
fn wrapped(text: &str, indent: usize, width: usize) -> String {
    const NARROWEST: usize = 24;
    const NARROW_INDENT: usize = 16;
    // A last line may be a little longer before one word alone gets a line.
    const SLOP: usize = 5;
    let mut out = String::new();
    let (mut indent, mut room) = (indent, width.saturating_sub(indent));
    if room < NARROWEST {
        (indent, room) = (NARROW_INDENT, width.saturating_sub(NARROW_INDENT));
        out = format!("\n{}", " ".repeat(indent));
    }
    if room < NARROWEST {
        return text.replace('\n', &out);
    }
    let new_line = format!("\n{}", " ".repeat(indent));
    let mut rest = text;
    loop {
        let (line, more) = first_line(rest, room - SLOP, SLOP);
        out.push_str(&line.replace('\n', &new_line));
        rest = more;
        if rest.is_empty() {
            return out;
        }
        out.push_str(&new_line);
    }
}

fn first_line(text: &str, room: usize, slop: usize) -> (&str, &str) {
    if room + slop > text.len() {
        return (text, "");
    }
    let head = text.get(..room).unwrap_or(text);
    let Some(space) = head.rfind([' ', '\t', '\n']).filter(|at| *at > 0) else { return (text, "") };
    let at = head.rfind('\n').filter(|at| *at > 0 && *at < space).unwrap_or(space);
    (&text[..at], &text[at + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Failure;
    use crate::words::Global;

    #[test]
    fn a_page_is_laid_out_as_docker_lays_it_out() {
        let entry = verbs::all().iter().find(|entry| entry.about.name == "history").expect("history");
        let page = match (entry.go)(&entry.about, &["--help".into()], &Global::default()) {
            Err(Failure::Shown(page)) => page,
            other => panic!("{other:?}"),
        };
        assert!(page.starts_with("Usage:  dhow history [OPTIONS] IMAGE\n\nShow the history of an image\n\nAliases:\n  dhow image history, dhow history\n\nOptions:\n"), "{page}");
    }

    #[test]
    fn long_texts_are_broken_between_words() {
        let flags = vec![
            ("      --format string".to_owned(), FORMAT.to_owned()),
            ("  -q, --quiet".to_owned(), "Only show image IDs".to_owned()),
        ];
        assert_eq!(
            layout(&flags, 79),
            "      --format string   Format output using a custom template:
                        'table':            Print output in table format
                        with column headers (default)
                        'table TEMPLATE':   Print output in table format
                        using the given Go template
                        'json':             Print in JSON format
                        'TEMPLATE':         Print output using the given
                        Go template.
                        Refer to https://docs.docker.com/go/formatting/
                        for more information about formatting output with
                        templates
  -q, --quiet           Only show image IDs
"
        );
    }
}
