//! `ps`: the processes of a container, as ps(1) shows them, or their numbers.

use crate::error::{Error, Result};
use crate::shown::line;
use crate::words::options::{Format, Ps};
use crate::words::{Global, say};
use std::ffi::OsString;
use std::process::{Command, Output};

pub fn run(global: &Global, options: &Ps) -> Result<()> {
    let container = global.store().open(&options.id)?;
    let pids = container.cgroup()?.pids().map_err(|e| {
        super::pause::hint(global, "ps", &e);
        Error::because("unable to get all container pids", &e)
    })?;
    match options.format {
        Format::Json => say(&line(&pids)?),
        Format::Table => say(&only(&table(&options.options)?, &pids)?),
    }
}

/// What ps(1) prints of the whole machine: its options decide what a line holds, and there are many.
fn table(options: &[OsString]) -> Result<String> {
    let mut command = Command::new("ps");
    match options {
        [] => command.arg("-ef"),
        options => command.args(options),
    };
    let Output { status, stdout, stderr } = command.output().map_err(|e| Error::because("cannot execute ps(1)", &e))?;
    if status.success() {
        return Ok(String::from_utf8_lossy(&stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&stdout) + String::from_utf8_lossy(&stderr);
    Err(Error::new(format!("{status}: {said}")))
}

/// The heading, and the lines of these processes.
fn only(table: &str, pids: &[i32]) -> Result<String> {
    let mut lines = table.lines();
    let heading = lines.next().unwrap_or_default();
    let column = heading.split_whitespace().position(|title| title == "PID");
    let column = column.ok_or_else(|| Error::new("couldn't find PID field in ps output"))?;
    let mut out = format!("{heading}\n");
    for line in lines.filter(|line| !line.trim().is_empty()) {
        let pid = line.split_whitespace().nth(column).and_then(|pid| pid.parse::<i32>().ok());
        let pid = pid.ok_or_else(|| Error::new(format!("unable to parse pid in {line:?}")))?;
        if pids.contains(&pid) {
            out.push_str(line);
            out.push('\n');
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_of_the_container_are_left() {
        let table = "UID          PID    PPID CMD\nroot           1       0 init\nroot          12       1 sh -c 1\n\n";
        assert_eq!(only(table, &[12]).unwrap(), "UID          PID    PPID CMD\nroot          12       1 sh -c 1\n");
        assert_eq!(only(table, &[]).unwrap(), "UID          PID    PPID CMD\n");
        assert!(only("USER CMD\nroot sh\n", &[1]).is_err());
    }
}
