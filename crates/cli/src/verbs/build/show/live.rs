//! A terminal: what is done stays, what goes on is drawn over. Rows never wrap, and a frame is one write.

use std::time::{Duration, Instant};

use api::types::BuildEvent;

use super::plain::{is_base, is_naming};
use super::steps::{Stand, Step, Steps};
use crate::show::human;

/// Lines that a step under way shows at most of what it says.
const LATEST: usize = 6;
/// Things that it moves.
const MOVED: usize = 4;
/// How often the terminal is drawn at most.
const FRAME: Duration = Duration::from_millis(50);

/// The part of the terminal that is drawn over.
#[derive(Debug)]
pub struct Live {
    /// Columns of each row that is there.
    drawn: Vec<usize>,
    last: Option<Instant>,
    colours: Colours,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Colours {
    Yes,
    No,
}

const BLUE: &str = "34";
const RED: &str = "31";

/// Rows and columns.
pub fn size() -> (usize, usize) {
    match rustix::termios::tcgetwinsize(rustix::stdio::stderr()) {
        Ok(size) if size.ws_row > 0 && size.ws_col > 0 => (size.ws_row.into(), size.ws_col.into()),
        _ => (24, 80),
    }
}

/// The lines that an event leaves above what is drawn over.
pub fn above(steps: &Steps, event: &BuildEvent, columns: usize) -> String {
    let (step, text) = match event {
        BuildEvent::Done { step, cached } => (step, if *cached { " => CACHED " } else { " => " }),
        BuildEvent::Failed { step, cancelled: true, .. } => (step, " => CANCELED "),
        BuildEvent::Failed { step, .. } => (step, " => ERROR "),
        BuildEvent::Why { step, reason } => {
            let Some(found) = steps.all.get(step).filter(|step| step.counts()) else { return String::new() };
            return format!("{}\n", cut(&format!(" => {}: not cached: {reason}", found.name()), columns));
        }
        BuildEvent::Task { name, done: true } if !is_naming(name) => {
            let Some((name, took)) = &steps.ended else { return String::new() };
            return format!("{}\n", timed(&format!(" => {name}"), *took, columns));
        }
        _ => return String::new(),
    };
    match steps.all.get(step).filter(|step| step.counts()) {
        Some(step) => format!("{}\n", timed(&format!("{text}{}", step.name()), step.time(), columns)),
        None => String::new(),
    }
}

impl Live {
    pub fn new() -> Live {
        let colours = match std::env::var_os("NO_COLOR") {
            Some(_) => Colours::No,
            None => Colours::Yes,
        };
        Live { drawn: Vec::new(), last: None, colours }
    }

    /// What is to be written so that `above` stays and the rest is as it is now. Nothing, where it would be too often.
    pub fn frame(&mut self, above: &str, steps: &Steps, begun: Instant) -> String {
        let is_early = self.last.is_some_and(|last| last.elapsed() < FRAME);
        if above.is_empty() && is_early {
            return String::new();
        }
        self.last = Some(Instant::now());
        let (rows, columns) = size();
        let painted: String = above.lines().map(|line| format!("{}\u{1b}[K\n", self.painted(line))).collect();
        self.drawing(&painted, running(steps, begun, (rows, columns)), columns)
    }

    /// The same while files are sent.
    pub fn sending(&mut self, sent: u64, begun: Instant) -> String {
        let (_, columns) = size();
        let line = timed(&format!(" => [context] sending {}", bytes(sent)), begun.elapsed(), columns);
        self.drawing("", vec![line], columns)
    }

    /// Takes away what is drawn over.
    pub fn cleared(&mut self) -> String {
        let up = self.up(size().1);
        self.drawn.clear();
        if up == 0 { String::new() } else { format!("\u{1b}[{up}A\r\u{1b}[J") }
    }

    /// The last line.
    pub fn finished(&self, steps: &Steps, begun: Instant) -> String {
        let (done, all) = steps.count();
        self.painted(&format!("[+] Building {:.1}s ({done}/{all}) FINISHED", begun.elapsed().as_secs_f64())) + "\n"
    }

    fn drawing(&mut self, above: &str, lines: Vec<String>, columns: usize) -> String {
        let up = self.up(columns);
        // The terminal shows all of it at once, where it knows how.
        let mut text = String::from("\u{1b}[?2026h");
        if up > 0 {
            text.push_str(&format!("\u{1b}[{up}A\r"));
        }
        text.push_str(above);
        self.drawn.clear();
        for line in lines {
            text.push_str(&format!("{line}\u{1b}[K\n"));
            self.drawn.push(width(&line));
        }
        text.push_str("\u{1b}[J\u{1b}[?2026l");
        text
    }

    /// How many rows what was drawn takes up: more than lines, where the terminal has become narrower.
    fn up(&self, columns: usize) -> usize {
        self.drawn.iter().map(|wide| wide.div_ceil(columns.max(1)).max(1)).sum()
    }

    fn painted(&self, line: &str) -> String {
        let colour = if line.starts_with(" => ERROR") { RED } else { BLUE };
        match self.colours {
            Colours::Yes => format!("\u{1b}[{colour}m{line}\u{1b}[0m"),
            Colours::No => line.to_owned(),
        }
    }
}

/// What goes on, in no more rows than there are: names first, then what they say.
fn running(steps: &Steps, begun: Instant, (rows, columns): (usize, usize)) -> Vec<String> {
    let going: Vec<&Step> =
        steps.all.values().filter(|step| step.stand == Stand::Running && (step.counts() || is_base(step))).collect();
    let (done, all) = steps.count();
    let mut lines = Vec::new();
    let room = rows.saturating_sub(2).max(1);
    let names = going.len().min(room);
    let each = (room - names).checked_div(names).unwrap_or(0).min(LATEST);
    for step in &going[..names] {
        lines.push(timed(&format!(" => {}", step.name()), step.time(), columns));
        lines.extend(latest(step, each, columns));
    }
    if going.len() > names {
        lines.pop();
        lines.push(cut(&format!(" => {} more steps", going.len() - names + 1), columns));
    }
    let tasks = steps.tasks.iter().take(room.saturating_sub(lines.len()));
    lines.extend(tasks.map(|(name, begun)| timed(&format!(" => {name}"), begun.elapsed(), columns)));
    let head = format!("[+] Building {:.1}s ({done}/{all})", begun.elapsed().as_secs_f64());
    lines.push(cut(&head, columns));
    lines
}

/// What a step says and moves.
fn latest(step: &Step, most: usize, columns: usize) -> Vec<String> {
    let moved = step.moved.iter().take(MOVED.min(most)).map(|(what, (done, total))| match total {
        Some(total) => format!(" => => {what} {} / {}", bytes(*done), bytes(*total)),
        None => format!(" => => {what} {}", bytes(*done)),
    });
    let mut lines: Vec<String> = moved.map(|line| cut(&line, columns)).collect();
    let from = step.said.len().saturating_sub(most - lines.len());
    lines.extend(step.said[from..].iter().map(|(_, line)| cut(&format!(" => => # {line}"), columns)));
    lines
}

fn bytes(count: u64) -> String {
    human::size(i64::try_from(count).unwrap_or(i64::MAX), 4)
}

/// A line with its time at the right end.
fn timed(line: &str, time: Duration, columns: usize) -> String {
    let time = format!(" {:.1}s", time.as_secs_f64());
    let room = columns.saturating_sub(1 + time.len());
    let mut line = cut(line, room + 1);
    line.push_str(&" ".repeat(room.saturating_sub(width(&line))));
    line + &time
}

/// So much of a line as a terminal's row takes, without what would move its cursor.
fn cut(line: &str, columns: usize) -> String {
    let mut room = columns.saturating_sub(1);
    let mut text = String::new();
    for letter in line.chars() {
        let letter = if letter == '\t' { ' ' } else { letter };
        if letter.is_control() {
            continue;
        }
        let Some(left) = room.checked_sub(wide(letter)) else { break };
        room = left;
        text.push(letter);
    }
    text
}

fn width(line: &str) -> usize {
    line.chars().map(wide).sum()
}

/// Columns of a letter; where terminals differ, more rather than less.
fn wide(letter: char) -> usize {
    match u32::from(letter) {
        0..0x300 => 1,
        // Marks on the letter before.
        0x300..0x370 | 0x200b..0x2010 | 0xfe00..0xfe10 => 0,
        0x370..0x1100 | 0x2010..0x2300 | 0x2500..0x2600 => 1,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::super::steps::tests::planned;
    use super::*;

    #[test]
    fn a_row_has_no_more_than_it_has_room_for() {
        assert_eq!(cut("abcdef", 4), "abc");
        assert_eq!(cut("a\u{1b}[31mb", 80), "a[31mb");
        assert_eq!(cut("日本語", 6), "日本");
    }

    #[test]
    fn times_stand_at_the_right() {
        let line = timed(" => x", Duration::from_millis(1500), 20);
        assert_eq!(line, " => x          1.5s");
        assert_eq!(timed(" => a name that is longer", Duration::ZERO, 20), " => a name tha 0.0s");
    }

    #[test]
    fn what_goes_on_fits_the_terminal() {
        let mut steps = planned(&["RUN a", "RUN b", "RUN c", "RUN d"]);
        for step in 0..4 {
            steps.take(&BuildEvent::Started(step));
            let text = "line\n".repeat(20);
            steps.take(&BuildEvent::Output { step, error: false, text });
        }
        for rows in [3, 5, 10, 24, 60] {
            let lines = running(&steps, Instant::now(), (rows, 40));
            assert!(lines.len() < rows, "{rows} {lines:?}");
            assert!(lines.iter().all(|line| width(line) < 40), "{lines:?}");
        }
        let lines = running(&steps, Instant::now(), (60, 40));
        assert_eq!(lines.iter().filter(|line| line.as_str() == " => => # line").count(), 4 * LATEST);
        assert!(lines.last().is_some_and(|line| line.ends_with("s (0/4)")), "{lines:?}");
    }

    #[test]
    fn a_narrower_terminal_has_more_rows_to_go_up() {
        let mut live = Live::new();
        live.drawing("", vec!["x".repeat(70), "y".repeat(10)], 80);
        assert_eq!((live.up(80), live.up(40), live.up(20)), (2, 3, 5));
    }
}
