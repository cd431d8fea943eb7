//! Questions to people: a line, or a word that nobody sees.

use std::io::BufRead;

use rustix::stdio::stdin;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use super::{signals, terminal};
use crate::failure::Failure;
use crate::show::print;

/// Asks and waits for a line.
pub async fn line(question: &str) -> Result<String, Failure> {
    print(question)?;
    // A thread of its own: the runtime would wait for one of its own when a signal ends the question.
    let (sender, answer) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = std::io::stdin().lock().read_line(&mut line).map(|_| line);
        // Nobody waits any longer after a signal.
        let _ = sender.send(read);
    });
    let line = answer.await.map_err(|_| Failure::said("cannot read the answer"))??;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

/// As [`line`], but what is typed is not shown. The terminal shows again what is typed before a signal ends the program.
pub async fn hidden(question: &str) -> Result<String, Failure> {
    let mut ending = signals::catch(&signals::ENDING);
    let quiet = Quiet::enter()?;
    let answer = tokio::select! {
        answer = line(question) => answer,
        Some((_, number)) = ending.recv() => {
            drop(quiet);
            print("\n")?;
            return Err(Failure::Code(u8::try_from(128 + number).unwrap_or(u8::MAX)));
        }
    };
    drop(quiet);
    print("\n")?;
    answer
}

/// A terminal that does not show what is typed, until dropped.
struct Quiet;

impl Quiet {
    fn enter() -> std::io::Result<Quiet> {
        let before = tcgetattr(stdin())?;
        let mut quiet = before.clone();
        quiet.local_modes -= LocalModes::ECHO;
        quiet.local_modes |= LocalModes::ICANON | LocalModes::ISIG;
        terminal::remember(before);
        tcsetattr(stdin(), OptionalActions::Drain, &quiet)?;
        Ok(Quiet)
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        terminal::restore();
    }
}

/// A yes or no before something goes away.
pub fn confirmed(question: &str) -> Result<bool, Failure> {
    print(format!("{question} [y/N] "))?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim().eq_ignore_ascii_case("y"))
}
