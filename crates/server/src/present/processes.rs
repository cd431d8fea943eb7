//! `GET /containers/{id}/top`: what the arguments of ps(1) ask for, from what the engine reads in /proc.

use super::columns::{self, Around, Column};
use crate::status::Refusal;
use api::types::TopResponse;
use engine::Processes;

/// The table for `ps_args`; empty is `-ef`. Which processes are asked for does not matter: all of the container's are shown.
pub fn table(processes: &Processes, arguments: &str, around: &Around) -> Result<TopResponse, Refusal> {
    check_titles(arguments)?;
    let columns = Asked::parse(arguments)?.columns()?;
    if !columns.iter().any(|column| column.title == "PID") {
        return Err(Refusal::internal("Couldn't find PID field in ps output"));
    }
    Ok(TopResponse {
        processes: processes
            .rows
            .iter()
            .map(|process| columns.iter().map(|column| (column.show)(process, around)).collect())
            .collect(),
        titles: columns.into_iter().map(|column| column.title).collect(),
    })
}

/// A column that is called PID and shows something else would have dockerd take it for the number of a process.
fn check_titles(arguments: &str) -> Result<(), Refusal> {
    let lists = arguments.split_whitespace().skip(1);
    let named = lists.filter_map(|word| word.split_once('='));
    match named.filter(|(_, title)| title.starts_with("PID")).find(|(key, _)| *key != "pid") {
        Some((key, title)) => Err(Refusal::internal(format!("specifying \"{key}={title}\" is not allowed"))),
        None => Ok(()),
    }
}

/// The form of the table.
#[derive(Debug, Default)]
struct Asked {
    /// Letters of BSD options, without a dash.
    bsd: String,
    /// Letters of UNIX options.
    unix: String,
    /// The columns after `-o` or `o`.
    list: Vec<String>,
}

impl Asked {
    fn parse(arguments: &str) -> Result<Asked, Refusal> {
        let mut asked = Asked::default();
        let mut words = arguments.split_ascii_whitespace();
        while let Some(word) = words.next() {
            let (letters, is_bsd) = match word.strip_prefix('-') {
                None => (word, true),
                Some("-forest" | "-no-headers") => continue,
                Some(long) if long.starts_with('-') => return Err(fault("unknown gnu long option")),
                // ps takes this one as everybody means it.
                Some("aux" | "auxw" | "auxww") => ("aux", true),
                Some(letters) => (letters, false),
            };
            let (before, list) = letters.split_once('o').map_or((letters, None), |(b, list)| (b, Some(list)));
            let known = if is_bsd { "aAxujlfwegrTmH" } else { "eAadfFljwHyLNMTcm" };
            if !before.chars().all(|letter| known.contains(letter)) {
                return Err(fault(if is_bsd { "unsupported SysV option" } else { "unsupported option (BSD syntax)" }));
            }
            if is_bsd { &mut asked.bsd } else { &mut asked.unix }.push_str(before);
            if let Some(list) = list {
                // All that follows belongs to the list, but for further options.
                let list = if list.is_empty() { words.next().unwrap_or_default() } else { list };
                asked.list.extend(list.split(',').map(str::to_owned));
                let more = words.clone().take_while(|word| !word.starts_with('-'));
                asked.list.extend(more.flat_map(|word| word.split(',')).map(str::to_owned));
                words = skip_plain(words);
            }
        }
        Ok(asked)
    }

    fn columns(&self) -> Result<Vec<Column>, Refusal> {
        let list: Vec<&str> = self.list.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
        if !list.is_empty() {
            let unknown = |name: &str| fault(&format!("unknown user-defined format specifier {name:?}"));
            return list.into_iter().map(|name| columns::of(name).ok_or_else(|| unknown(name))).collect();
        }
        let (bsd, unix) = (|letter| self.bsd.contains(letter), |letter| self.unix.contains(letter));
        let names: &[&str] = match () {
            () if bsd('u') => &columns::USER,
            () if bsd('j') => &columns::BSD_JOBS,
            () if bsd('l') => &columns::BSD_LONG,
            () if unix('F') => &columns::EXTRA_FULL,
            () if unix('l') => &columns::LONG,
            () if unix('f') || (self.bsd.is_empty() && self.unix.is_empty()) => &columns::FULL,
            () if unix('j') => &columns::JOBS,
            () if !self.bsd.is_empty() => &columns::BSD,
            () => &columns::PLAIN,
        };
        Ok(names.iter().filter_map(|name| columns::of(name)).collect())
    }
}

fn skip_plain(mut words: std::str::SplitAsciiWhitespace<'_>) -> std::str::SplitAsciiWhitespace<'_> {
    while words.clone().next().is_some_and(|word| !word.starts_with('-')) {
        words.next();
    }
    words
}

/// What ps says, as dockerd passes it on.
fn fault(words: &str) -> Refusal {
    Refusal::internal(format!("ps: error: {words}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::Process;

    fn shown(arguments: &str) -> Result<TopResponse, Refusal> {
        let process = Process {
            pid: 42,
            ppid: 1,
            pgid: 42,
            sid: 42,
            state: "S".into(),
            flags: 0x40_0100,
            cpu_ticks: 6200,
            priority: 20,
            threads: 1,
            virtual_bytes: 4096 * 567,
            resident_pages: 344,
            tty: "pts/0".into(),
            command: "/bin/sleep 5".into(),
            name: "sleep".into(),
            ..Process::default()
        };
        let names = [(0, "root".to_owned())].into();
        let around = Around { now: 100_000_000_000, memory: 1 << 30, names };
        table(&Processes { rows: vec![process], ..Processes::default() }, arguments, &around)
    }

    fn titles(arguments: &str) -> String {
        shown(arguments).expect("a table").titles.join(" ")
    }

    #[test]
    fn tables_look_like_those_of_ps() {
        let full = shown("").expect("a table");
        assert_eq!(full.titles, ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]);
        assert_eq!(full.processes[0][..4], ["root", "42", "1", "62"]);
        assert_eq!(full.processes[0][5..], ["pts/0", "00:01:02", "/bin/sleep 5"]);
        let user = shown("aux").expect("a table");
        assert_eq!(user.titles.join(" "), "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND");
        assert_eq!(user.processes[0][2..8], ["62.0", "0.1", "2268", "1376", "pts/0", "Ss"]);
        assert_eq!(titles("waux"), titles("-aux"));
        let long = shown("-el").expect("a table");
        assert_eq!(long.titles.join(" "), "F S UID PID PPID C PRI NI ADDR SZ WCHAN TTY TIME CMD");
        assert_eq!(long.processes[0][..3], ["4", "S", "0"]);
        assert_eq!(long.processes[0][6..10], ["80", "0", "-", "567"]);
        assert_eq!(titles("-e"), "PID TTY TIME CMD");
        assert_eq!(titles("ax"), "PID TTY STAT TIME COMMAND");
        assert_eq!(titles("axj"), "PPID PID PGID SID TTY TPGID STAT UID TIME COMMAND");
        assert_eq!(titles("-eF"), "UID PID PPID C SZ RSS PSR STIME TTY TIME CMD");
    }

    #[test]
    fn columns_may_be_listed_and_named() {
        let asked = shown("-eo pid,comm=NAME -o etime").expect("a table");
        assert_eq!(asked.titles, ["PID", "NAME", "ELAPSED"]);
        assert_eq!(asked.processes, [["42", "sleep", "01:40"]]);
        assert_eq!(titles("axo pid,pcpu args"), "PID %CPU COMMAND");
    }

    #[test]
    fn what_ps_does_not_know_is_told_in_its_words() {
        for (arguments, words) in [
            ("-o nope", "ps: error: unknown user-defined format specifier \"nope\""),
            ("--bogus", "ps: error: unknown gnu long option"),
            ("-o args", "Couldn't find PID field in ps output"),
            ("-eo x=PID", "specifying \"x=PID\" is not allowed"),
        ] {
            assert_eq!(shown(arguments), Err(Refusal::internal(words)), "{arguments}");
        }
    }
}
