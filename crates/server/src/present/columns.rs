//! The columns of ps(1), and the tables it has names for.

use engine::Process;
use std::collections::HashMap;

/// One column.
#[derive(Debug)]
pub struct Column {
    pub title: String,
    pub show: fn(&Process, &Around) -> String,
}

/// What columns are told against.
#[derive(Debug, Clone)]
pub struct Around {
    /// Nanoseconds since the epoch.
    pub now: i64,
    /// Bytes of this machine's memory.
    pub memory: u64,
    /// What the container calls its users.
    pub names: HashMap<u32, String>,
}

pub const PLAIN: [&str; 4] = ["pid", "tty", "time", "ucmd"];
pub const FULL: [&str; 8] = ["full-user", "pid", "ppid", "c", "stime", "tty", "time", "cmd"];
pub const EXTRA_FULL: [&str; 11] = ["full-user", "pid", "ppid", "c", "sz", "rss", "psr", "stime", "tty", "time", "cmd"];
pub const LONG: [&str; 14] =
    ["f", "s", "uid", "pid", "ppid", "c", "long-pri", "ni", "addr", "sz", "wchan", "tty", "time", "ucmd"];
pub const JOBS: [&str; 6] = ["pid", "pgid", "sid", "tty", "time", "ucmd"];
pub const BSD: [&str; 5] = ["pid", "tty", "stat", "bsdtime", "args"];
pub const USER: [&str; 11] =
    ["user", "pid", "%cpu", "%mem", "vsz", "rss", "tty", "stat", "bsdstart", "bsdtime", "args"];
pub const BSD_JOBS: [&str; 10] = ["ppid", "pid", "pgid", "sid", "tty", "tpgid", "stat", "uid", "bsdtime", "args"];
pub const BSD_LONG: [&str; 13] =
    ["f", "uid", "pid", "ppid", "bsd-pri", "ni", "vsz", "rss", "wchan", "stat", "tty", "bsdtime", "args"];

/// A column by its name in a list: `pid`, or `pid=TITLE`.
pub fn of(name: &str) -> Option<Column> {
    let (key, title) = name.split_once('=').map_or((name, None), |(key, title)| (key, Some(title)));
    let (own, show) = known(key)?;
    Some(Column { title: title.unwrap_or(own).to_owned(), show })
}

type Shown = (&'static str, fn(&Process, &Around) -> String);

fn known(name: &str) -> Option<Shown> {
    who(name).or_else(|| when(name)).or_else(|| what(name)).or_else(|| how_much(name))
}

fn who(name: &str) -> Option<Shown> {
    Some(match name {
        "pid" | "tgid" => ("PID", |p, _| p.pid.to_string()),
        "ppid" => ("PPID", |p, _| p.ppid.to_string()),
        "pgid" | "pgrp" => ("PGID", |p, _| p.pgid.to_string()),
        "sid" | "sess" | "session" => ("SID", |p, _| p.sid.to_string()),
        "tpgid" => ("TPGID", |p, _| p.tpgid.to_string()),
        "uid" | "euid" => ("UID", |p, _| p.uid.to_string()),
        "user" | "euser" | "uname" => ("USER", |p, a| user_name(&a.names, p.uid)),
        "ruser" => ("RUSER", |p, a| user_name(&a.names, p.uid)),
        "full-user" => ("UID", |p, a| user_name(&a.names, p.uid)),
        "tty" | "tt" | "tname" => ("TTY", |p, _| p.tty.clone()),
        _ => return None,
    })
}

fn when(name: &str) -> Option<Shown> {
    Some(match name {
        "time" | "cputime" => ("TIME", |p, _| long_time(p.cpu_ticks / 100)),
        "bsdtime" => ("TIME", |p, _| format!("{}:{:02}", p.cpu_ticks / 6000, p.cpu_ticks / 100 % 60)),
        "stime" => ("STIME", start),
        "bsdstart" => ("START", start),
        "start" | "start_time" => ("STARTED", start),
        "lstart" => ("STARTED", |p, _| zoned(p.started_at).strftime("%a %b %e %H:%M:%S %Y").to_string()),
        "etimes" => ("ELAPSED", |p, a| age(p, a).to_string()),
        "etime" => ("ELAPSED", |p, a| elapsed(age(p, a))),
        _ => return None,
    })
}

fn what(name: &str) -> Option<Shown> {
    Some(match name {
        "args" | "command" => ("COMMAND", |p, _| p.command.clone()),
        "cmd" => ("CMD", |p, _| p.command.clone()),
        "comm" | "ucomm" => ("COMMAND", |p, _| p.name.clone()),
        "ucmd" => ("CMD", |p, _| p.name.clone()),
        "s" | "state" => ("S", |p, _| p.state.clone()),
        "stat" => ("STAT", stat),
        "f" | "flag" | "flags" => ("F", |p, _| (p.flags >> 6 & 7).to_string()),
        "wchan" => ("WCHAN", |p, _| match p.waits_in.get(..6) {
            Some(name) => name.to_owned(),
            None if p.waits_in.is_empty() => "-".to_owned(),
            None => p.waits_in.clone(),
        }),
        "addr" => ("ADDR", |_, _| "-".to_owned()),
        _ => return None,
    })
}

fn how_much(name: &str) -> Option<Shown> {
    Some(match name {
        "c" => ("C", |p, a| (share(p, a) / 10).min(99).to_string()),
        "%cpu" | "pcpu" => ("%CPU", |p, a| tenths(share(p, a))),
        "%mem" | "pmem" => ("%MEM", |p, a| tenths((p.resident_pages * 4096 * 1000).checked_div(a.memory).unwrap_or(0))),
        "vsz" | "vsize" => ("VSZ", |p, _| (p.virtual_bytes / 1024).to_string()),
        "rss" | "rssize" | "rsz" => ("RSS", |p, _| (p.resident_pages * 4).to_string()),
        "sz" => ("SZ", |p, _| (p.virtual_bytes / 4096).to_string()),
        "psr" => ("PSR", |p, _| p.processor.to_string()),
        "nlwp" | "thcount" => ("NLWP", |p, _| p.threads.to_string()),
        "ni" | "nice" => ("NI", |p, _| p.nice.to_string()),
        "pri" => ("PRI", |p, _| (39 - p.priority).to_string()),
        "long-pri" => ("PRI", |p, _| (60 + p.priority).to_string()),
        "bsd-pri" | "priority" => ("PRI", |p, _| p.priority.to_string()),
        _ => return None,
    })
}

/// `Ss+`: the state; `<` and `N` by its nice value, `s` leads a session, `l` has threads, `+` is in the foreground.
fn stat(process: &Process, _: &Around) -> String {
    let mut text = process.state.clone();
    let notes = [
        ('<', process.nice < 0),
        ('N', process.nice > 0),
        ('s', process.sid == process.pid),
        ('l', process.threads > 1),
        ('+', process.tty != "?" && process.tpgid == process.pgid),
    ];
    text.extend(notes.into_iter().filter_map(|(letter, holds)| holds.then_some(letter)));
    text
}

/// Seconds since its start.
fn age(process: &Process, around: &Around) -> u64 {
    u64::try_from((around.now - process.started_at) / 1_000_000_000).unwrap_or(0)
}

/// Processor time by time lived, in tenths of a percent.
fn share(process: &Process, around: &Around) -> u64 {
    (process.cpu_ticks * 10).checked_div(age(process, around)).unwrap_or(0)
}

fn tenths(number: u64) -> String {
    format!("{}.{}", number / 10, number % 10)
}

fn zoned(time: i64) -> jiff::Zoned {
    let zone = jiff::tz::TimeZone::system();
    jiff::Timestamp::from_nanosecond(i128::from(time)).unwrap_or_default().to_zoned(zone)
}

/// `10:47` on the same day, else `Nov21`.
fn start(process: &Process, around: &Around) -> String {
    let (started, now) = (zoned(process.started_at), zoned(around.now));
    let pattern = if started.date() == now.date() { "%H:%M" } else { "%b%d" };
    started.strftime(pattern).to_string()
}

/// `00:01:02`
fn long_time(seconds: u64) -> String {
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// `[[days-]hours:]minutes:seconds`
fn elapsed(seconds: u64) -> String {
    match (seconds / 86_400, seconds / 3600 % 24) {
        (0, 0) => format!("{:02}:{:02}", seconds / 60, seconds % 60),
        (0, _) => long_time(seconds),
        (days, _) => format!("{days}-{}", long_time(seconds % 86_400)),
    }
}

/// The name of a user, or its number.
fn user_name(names: &HashMap<u32, String>, uid: u32) -> String {
    names.get(&uid).cloned().unwrap_or_else(|| uid.to_string())
}
