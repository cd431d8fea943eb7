//! Several name servers: the first in order has a head start, the next is asked when it is slow, fails or does not know.

use super::exchange::{self, Origin};
use super::{Question, lock};
use hickory_proto::op::{Message, ResponseCode};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

/// The head start of each over the next.
const HEAD_START: Duration = Duration::from_millis(300);
/// How long others may still contradict one who said that there is no such name.
const DOUBT: Duration = Duration::from_millis(500);
/// All of it: who asks waits 5 seconds.
const PATIENCE: Duration = Duration::from_millis(4500);
/// How long a server that did not answer comes behind those that do.
const DISTRUST: Duration = Duration::from_secs(10);

/// When a server last failed.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<HashMap<SocketAddr, Instant>>);

impl Health {
    /// The servers as they were given, those that lately failed behind the others.
    fn sorted(&self, mut servers: Vec<SocketAddr>) -> Vec<SocketAddr> {
        let mut failed = lock(&self.0);
        failed.retain(|_, since| since.elapsed() < DISTRUST);
        servers.sort_by_key(|server| failed.contains_key(server));
        servers
    }

    fn note(&self, server: SocketAddr, answer: &io::Result<Message>) {
        let mut failed = lock(&self.0);
        match answer {
            Ok(_) => drop(failed.remove(&server)),
            Err(_) => drop(failed.insert(server, Instant::now())),
        }
    }
}

/// The best that can be had of these servers.
pub(super) async fn ask(
    health: &Health,
    servers: Vec<SocketAddr>,
    origin: &Origin,
    question: &Question,
) -> Option<Message> {
    let mut race = Race { waiting: health.sorted(servers).into(), running: JoinSet::new(), best: None };
    let mut end = Instant::now() + PATIENCE;
    race.start_next(origin, question);
    let mut next_start = Instant::now() + HEAD_START;
    while !race.running.is_empty() {
        let one = tokio::select! {
            one = timeout_at(end, race.running.join_next()) => one,
            () = sleep_until(next_start), if !race.waiting.is_empty() => {
                race.start_next(origin, question);
                next_start = Instant::now() + HEAD_START;
                continue;
            }
        };
        let Ok(Some(one)) = one else { break };
        let Ok((server, answer)) = one else { continue };
        health.note(server, &answer);
        if let Ok(answer) = answer {
            if is_final(&answer) {
                return Some(answer);
            }
            if answer.metadata.response_code == ResponseCode::NXDomain {
                end = end.min(Instant::now() + DOUBT);
            }
            race.keep_better(answer);
        }
        race.start_next(origin, question);
        next_start = Instant::now() + HEAD_START;
    }
    race.best
}

struct Race {
    waiting: std::collections::VecDeque<SocketAddr>,
    running: JoinSet<(SocketAddr, io::Result<Message>)>,
    best: Option<Message>,
}

impl Race {
    fn start_next(&mut self, origin: &Origin, question: &Question) {
        if let Some(server) = self.waiting.pop_front() {
            let (origin, question) = (origin.clone(), question.clone());
            self.running.spawn(async move { (server, exchange::ask(server, &origin, &question).await) });
        }
    }

    fn keep_better(&mut self, answer: Message) {
        let says_no = |message: &Message| message.metadata.response_code == ResponseCode::NXDomain;
        if self.best.as_ref().is_none_or(|best| says_no(&answer) && !says_no(best)) {
            self.best = Some(answer);
        }
    }
}

/// Whether nobody else need be asked. A "no such name" of a server that is no authority is not: with one server for the
/// office and one for the rest of the world either knows what the other does not (Docker goes on as well).
fn is_final(answer: &Message) -> bool {
    match answer.metadata.response_code {
        ResponseCode::NoError => true,
        ResponseCode::NXDomain => answer.metadata.authoritative,
        _ => false,
    }
}
