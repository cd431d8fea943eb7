//! `monitor`: what all containers use, drawn anew each second: one request to the engine, however many there are.

mod sample;
mod table;

use std::io::Read;
use std::time::{Duration, Instant};

use api::client::Payload;
use clap::{Args, ValueEnum};
use http::Method;
use rustix::stdio::stdout;
use rustix::termios::isatty;
use tokio::sync::mpsc;

use crate::failure::Failure;
use crate::grammar::{About, Needs};
use crate::session::Session;
use crate::show::print;
use crate::stream::terminal::{self, Raw};
use crate::words::{Outcome, Verb};
use sample::{Container, Look};
use table::View;

/// Between two looks.
const BETWEEN: Duration = Duration::from_secs(1);
/// The other screen of the terminal, without a cursor; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// The size when the terminal tells none.
const USUAL_SIZE: (u16, u16) = (24, 80);

/// Shows what all containers use.
#[derive(Debug, Default, Args)]
pub struct Monitor {
    /// Sort by cpu, memory, io, net, pids, uptime, restarts or name
    #[arg(long, value_name = "string", value_parser = sort)]
    sort: Option<Sort>,
    /// Show the table once, and end
    #[arg(long)]
    once: bool,
    /// Show all containers (default shows just running)
    #[arg(short, long)]
    all: bool,
}

/// What the table is sorted by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Sort {
    #[default]
    Cpu,
    Memory,
    Io,
    Net,
    Pids,
    Uptime,
    Restarts,
    Name,
}

fn sort(text: &str) -> Result<Sort, String> {
    Sort::from_str(text, true).map_err(|_| "use cpu, memory, io, net, pids, uptime, restarts or name".to_owned())
}

/// What a key asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Quit,
    SortBy(Sort),
    Reverse,
    All,
}

/// Keys, as the last line of the screen tells them.
fn asked(key: u8) -> Option<Asked> {
    Some(match key.to_ascii_lowercase() {
        // Ctrl-C and Ctrl-D come as bytes in raw mode.
        b'q' | 3 | 4 => Asked::Quit,
        b'c' => Asked::SortBy(Sort::Cpu),
        b'm' => Asked::SortBy(Sort::Memory),
        b'i' => Asked::SortBy(Sort::Io),
        b'n' => Asked::SortBy(Sort::Net),
        b'p' => Asked::SortBy(Sort::Pids),
        b'u' => Asked::SortBy(Sort::Uptime),
        b'r' => Asked::SortBy(Sort::Restarts),
        b'a' => Asked::SortBy(Sort::Name),
        b'v' => Asked::Reverse,
        b's' => Asked::All,
        _ => return None,
    })
}

impl Verb for Monitor {
    const ABOUT: About = About {
        name: "monitor",
        usage: "[OPTIONS]",
        does: "Show what all containers use, again and again\nKeys: c cpu, m memory, i io, n net, p pids, u uptime, r restarts, a name, v reverse, s stopped ones, too, q quit",
        needs: Needs::None,
    };

    async fn run(self, session: &Session) -> Outcome {
        let mut view = View { sort: self.sort.unwrap_or_default(), is_reversed: false, shows_all: self.all };
        let first = look(session).await?;
        if self.once || !isatty(stdout()) {
            tokio::time::sleep(BETWEEN).await;
            let second = look(session).await?;
            print(view.table(&second.since(&first), usize::MAX))?;
            return Ok(0);
        }
        let raw = Raw::enter()?;
        print(ENTER)?;
        let ended = live(session, &mut view, first).await;
        print(LEAVE)?;
        drop(raw);
        ended.map(|()| 0)
    }
}

async fn live(session: &Session, view: &mut View, mut before: Look) -> Result<(), Failure> {
    let mut keys = keys();
    let mut now = before.clone();
    let mut due = Instant::now() + BETWEEN / 4;
    loop {
        draw(view, &now.since(&before))?;
        tokio::select! {
            key = keys.recv() => match key.and_then(asked) {
                Some(Asked::Quit) => return Ok(()),
                Some(asked) => view.take(asked),
                None => {}
            },
            () = tokio::time::sleep_until(due.into()) => {
                let fresh = look(session).await?;
                // The engine may give the same look to two who ask at the same time.
                if fresh.numbers != now.numbers {
                    before = std::mem::replace(&mut now, fresh);
                }
                due = Instant::now() + BETWEEN;
            }
        }
    }
}

impl View {
    fn take(&mut self, asked: Asked) {
        match asked {
            Asked::SortBy(sort) => self.sort = sort,
            Asked::Reverse => self.is_reversed = !self.is_reversed,
            Asked::All => self.shows_all = !self.shows_all,
            Asked::Quit => {}
        }
    }
}

/// One frame, line by line over the one before: nothing flickers.
fn draw(view: &View, containers: &[Container]) -> Result<(), Failure> {
    let (rows, columns) = terminal::size().unwrap_or(USUAL_SIZE);
    let table = view.table(containers, usize::from(rows.saturating_sub(3)));
    let title = view.title(containers);
    let keys = "c cpu  m memory  i io  n net  p pids  u uptime  r restarts  a name  v reverse  s stopped  q quit";
    let cut = |line: &str| line.chars().take(usize::from(columns)).collect::<String>();
    let mut frame = String::from("\x1b[H");
    for line in std::iter::once(title.as_str()).chain(table.lines()) {
        frame.push_str(&cut(line));
        frame.push_str("\x1b[K\r\n");
    }
    frame.push_str("\x1b[J\x1b[");
    frame.push_str(&format!("{rows};1H\x1b[7m{}\x1b[0m\x1b[K", cut(keys)));
    print(frame)
}

/// Keys as they are typed. The thread waits for stdin until the program ends.
fn keys() -> mpsc::UnboundedReceiver<u8> {
    let (send, keys) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for key in std::io::stdin().lock().bytes().map_while(Result::ok) {
            if send.send(key).is_err() {
                return;
            }
        }
        // Nobody can type any more.
        let _ = send.send(b'q');
    });
    keys
}

async fn look(session: &Session) -> Result<Look, Failure> {
    let answer = session.client().call(Method::GET, "/metrics", Payload::Empty).await;
    match answer {
        Ok(answer) => Ok(Look::read(&String::from_utf8_lossy(&answer.bytes().await?))),
        Err(cause) if cause.status() == Some(404) => {
            Err(Failure::said("this engine tells nothing of all containers at once; use 'stats'"))
        }
        Err(cause) => Err(cause.into()),
    }
}
