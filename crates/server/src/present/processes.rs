//! `GET /containers/{id}/top`: the columns of ps(1), from what the engine reads in /proc.

use crate::status::Refusal;
use api::types::TopResponse;
use engine::{Process, Processes};

/// One column: its title and how a process fills it.
type Column = (&'static str, fn(&Process, &Around) -> String);

/// What columns are told against.
#[derive(Debug, Clone)]
pub struct Around {
    /// Nanoseconds since the epoch.
    pub now: i64,
    /// The text of /etc/passwd.
    pub passwd: String,
}

/// The table for `ps_args`: empty and `-ef`, `aux`, or a list of columns after `-o`.
pub fn table(processes: &Processes, arguments: &str, around: &Around) -> Result<TopResponse, Refusal> {
    let columns = columns(arguments)?;
    if !columns.iter().any(|(title, _)| *title == "PID") {
        return Err(Refusal::invalid("Couldn't find PID field in ps output"));
    }
    let row = |process: &Process| columns.iter().map(|(_, show)| show(process, around)).collect();
    Ok(TopResponse {
        processes: processes.rows.iter().map(row).collect(),
        titles: columns.iter().map(|(title, _)| (*title).to_owned()).collect(),
    })
}

fn columns(arguments: &str) -> Result<Vec<Column>, Refusal> {
    let unknown = || {
        Refusal::unsupported(format!("ps: this engine shows processes as -ef, aux or -o LIST, not as {arguments:?}"))
    };
    let words: Vec<&str> = arguments.split_ascii_whitespace().collect();
    let list = words.iter().position(|word| word.trim_start_matches('-').ends_with('o'));
    if let Some(at) = list {
        let names = words.get(at + 1..).unwrap_or_default().join(",");
        return names.split(',').filter(|n| !n.is_empty()).map(|n| column(n).ok_or_else(unknown)).collect();
    }
    match words.as_slice() {
        [] => Ok(full()),
        [one] if one.trim_start_matches('-').chars().all(|c| "efAlw".contains(c)) => Ok(full()),
        [one] if one.trim_start_matches('-').chars().all(|c| "auxw".contains(c)) => Ok(user()),
        _ => Err(unknown()),
    }
}

/// `ps -ef`
fn full() -> Vec<Column> {
    vec![
        ("UID", |p, a| user_name(&a.passwd, p.uid)),
        ("PID", |p, _| p.pid.to_string()),
        ("PPID", |p, _| p.ppid.to_string()),
        ("C", |p, a| share(p, a).to_string()),
        ("STIME", start),
        ("TTY", |p, _| p.tty.clone()),
        ("TIME", |p, _| long_time(p.cpu_seconds)),
        ("CMD", |p, _| p.command.clone()),
    ]
}

/// `ps aux`; memory is not read per process.
fn user() -> Vec<Column> {
    vec![
        ("USER", |p, a| user_name(&a.passwd, p.uid)),
        ("PID", |p, _| p.pid.to_string()),
        ("%CPU", |p, a| format!("{}.0", share(p, a))),
        ("%MEM", |_, _| "-".to_owned()),
        ("VSZ", |_, _| "-".to_owned()),
        ("RSS", |_, _| "-".to_owned()),
        ("TTY", |p, _| p.tty.clone()),
        ("STAT", |_, _| "-".to_owned()),
        ("START", start),
        ("TIME", |p, _| format!("{}:{:02}", p.cpu_seconds / 60, p.cpu_seconds % 60)),
        ("COMMAND", |p, _| p.command.clone()),
    ]
}

fn column(name: &str) -> Option<Column> {
    Some(match name {
        "pid" => ("PID", |p, _| p.pid.to_string()),
        "ppid" => ("PPID", |p, _| p.ppid.to_string()),
        "uid" | "euid" => ("UID", |p, _| p.uid.to_string()),
        "user" | "euser" | "uname" => ("USER", |p, a| user_name(&a.passwd, p.uid)),
        "tty" | "tt" | "tname" => ("TT", |p, _| p.tty.clone()),
        "time" | "cputime" => ("TIME", |p, _| long_time(p.cpu_seconds)),
        "stime" => ("STIME", start),
        "start" => ("STARTED", start),
        "etimes" => ("ELAPSED", |p, a| ((a.now - p.started_at).max(0) / 1_000_000_000).to_string()),
        "args" | "command" => ("COMMAND", |p, _| p.command.clone()),
        "cmd" => ("CMD", |p, _| p.command.clone()),
        "comm" | "ucmd" | "ucomm" => ("COMMAND", |p, _| program(&p.command).to_owned()),
        "c" => ("C", |p, a| share(p, a).to_string()),
        _ => return None,
    })
}

/// The program's name without its folder and arguments.
fn program(command: &str) -> &str {
    let first = command.split(' ').next().unwrap_or_default();
    first.rsplit('/').next().unwrap_or(first)
}

/// Processor time by time lived, in percent.
fn share(process: &Process, around: &Around) -> u64 {
    let lived = u64::try_from((around.now - process.started_at) / 1_000_000_000).unwrap_or(0);
    (process.cpu_seconds * 100).checked_div(lived).unwrap_or(0).min(99)
}

/// `10:47` on the same day, else `Nov21`.
fn start(process: &Process, around: &Around) -> String {
    let zone = jiff::tz::TimeZone::system();
    let at = |time: i64| jiff::Timestamp::from_nanosecond(i128::from(time)).unwrap_or_default().to_zoned(zone.clone());
    let (started, now) = (at(process.started_at), at(around.now));
    let pattern = if started.date() == now.date() { "%H:%M" } else { "%b%d" };
    started.strftime(pattern).to_string()
}

/// `00:01:02`
fn long_time(seconds: u64) -> String {
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// The name of a user in a text like /etc/passwd (passwd(5)), or its number.
fn user_name(passwd: &str, uid: u32) -> String {
    let number = uid.to_string();
    let found = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then(|| name.to_owned())
    });
    found.unwrap_or(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(arguments: &str) -> Result<TopResponse, Refusal> {
        let process = Process {
            uid: 0,
            pid: 42,
            ppid: 1,
            cpu_seconds: 62,
            started_at: 0,
            tty: "pts/0".into(),
            command: "/bin/sleep 5".into(),
        };
        let around = Around { now: 100_000_000_000, passwd: "root:x:0:0::/root:/bin/sh\n".into() };
        table(&Processes { rows: vec![process] }, arguments, &around)
    }

    #[test]
    fn tables_look_like_those_of_ps() {
        let full = shown("").expect("a table");
        assert_eq!(full.titles, ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]);
        assert_eq!(full.processes[0][..4], ["root", "42", "1", "62"]);
        assert_eq!(full.processes[0][5..], ["pts/0", "00:01:02", "/bin/sleep 5"]);
        assert_eq!(shown("aux").expect("a table").titles[0], "USER");
        let asked = shown("-eo pid,comm").expect("a table");
        assert_eq!(
            (asked.titles, asked.processes),
            (vec!["PID".to_owned(), "COMMAND".to_owned()], vec![vec!["42".to_owned(), "sleep".to_owned()]])
        );
    }

    #[test]
    fn other_arguments_are_refused() {
        for arguments in ["-o nope", "--forest", "-p 1 -x"] {
            assert!(shown(arguments).is_err(), "{arguments}");
        }
    }
}
