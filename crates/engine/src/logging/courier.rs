//! Sends the log of one container to where its driver says: a task that follows the file.
//!
//! It may be behind for as long as the file keeps what it has not sent. It ends when the container has ended and all was sent,
//! or when the container is removed.

use super::Remote;
use super::fluentd::Fluentd;
use super::gelf::Gelf;
use super::journald::Journal;
use super::link::{Link, Place, refused};
use super::partial::Parts;
use super::sent::{self, Sent};
use super::syslog::Syslog;
use crate::streams::lock;
use base::Id;
use container::Container;
use logs::Target;
use logs::read::{Entry, Reader};
use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

/// Entries that are read and sent before that is noted.
const BATCH: usize = 500;

/// The wait before a connection is tried again; it doubles.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How the entries of a container become messages.
enum Form {
    Journal(Journal),
    Syslog(Syslog),
    Gelf(Gelf),
    Fluentd(Fluentd),
}

/// What a task needs.
pub(crate) struct Courier {
    form: Form,
    place: Place,
    parts: Parts,
    target: Target,
    note: PathBuf,
    id: Id,
}

impl Courier {
    /// Reads the options; `None` for drivers that send nothing.
    pub(crate) fn of(record: &Container, target: &Target) -> Result<Option<Courier>, String> {
        let options = &record.config.log.options;
        let Some(remote) = Remote::of(&record.config.log.driver) else { return Ok(None) };
        let (form, place) = match remote {
            Remote::Journald => Journal::new(record, options).map(|(form, place)| (Form::Journal(form), place))?,
            Remote::Syslog => Syslog::new(record, options).map(|(form, place)| (Form::Syslog(form), place))?,
            Remote::Gelf => Gelf::new(record, options).map(|(form, place)| (Form::Gelf(form), place))?,
            Remote::Fluentd => Fluentd::new(record, options).map(|(form, place)| (Form::Fluentd(form), place))?,
        };
        let note = sent::path(target);
        Ok(Some(Courier { form, place, parts: Parts::default(), target: target.clone(), note, id: record.id }))
    }

    /// Whether the start of a container is to fail when the far end is not there.
    fn must_reach(&self) -> bool {
        !matches!(&self.form, Form::Fluentd(fluentd) if fluentd.later)
    }

    fn messages(&mut self, entry: &Entry) -> Vec<Vec<u8>> {
        let part = self.parts.next(entry);
        match &mut self.form {
            Form::Journal(journal) => vec![journal.message(entry, part.as_ref())],
            Form::Syslog(syslog) => syslog.message(entry).into_iter().collect(),
            Form::Gelf(gelf) => gelf.messages(entry),
            Form::Fluentd(fluentd) => vec![fluentd.message(entry, part.as_ref())],
        }
    }

    /// Until all is sent and the container has ended.
    async fn run(mut self, mut grown: watch::Receiver<bool>, tasks: &Tasks) -> io::Result<End> {
        let mut sent = Sent::read(&self.note)?;
        let mut reader = sent.rest(&self.target)?;
        let mut link = None;
        loop {
            let complete = *grown.borrow_and_update();
            let mut batch;
            (reader, batch) = read(reader).await?;
            let at_end = batch.len() < BATCH;
            let any = !batch.is_empty();
            for entry in batch.drain(..) {
                for message in self.messages(&entry) {
                    if !self.send(&mut link, &message, &mut grown).await {
                        return Ok(End::Removed);
                    }
                }
                sent.add(&entry);
            }
            if any {
                sent.write(&self.note)?;
            }
            if !at_end {
                continue;
            }
            if complete && tasks.end(self.id, &grown) {
                return Ok(End::Sent);
            }
            if grown.changed().await.is_err() {
                return Ok(End::Removed);
            }
        }
    }

    /// Sends one message, however long it takes; false when the container was removed meanwhile.
    async fn send(&self, link: &mut Option<Link>, message: &[u8], grown: &mut watch::Receiver<bool>) -> bool {
        let mut wait = FIRST_WAIT;
        loop {
            let error = match self.try_send(link, message).await {
                Ok(()) => return true,
                Err(error) => error,
            };
            *link = None;
            if let Some(libc_code) = error.raw_os_error()
                && libc_code == rustix::io::Errno::MSGSIZE.raw_os_error()
            {
                tracing::warn!("a message of {} is too long for its log driver and is left out", self.id);
                return true;
            }
            if wait == FIRST_WAIT {
                tracing::warn!("cannot send the log of {}, trying on: {error}", self.id);
            }
            if gone_within(wait, grown).await {
                return false;
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    async fn try_send(&self, link: &mut Option<Link>, message: &[u8]) -> io::Result<()> {
        let open = match link {
            Some(open) => open,
            None => link.insert(self.place.connect().await?),
        };
        open.send(message).await
    }
}

/// Why a task ends.
enum End {
    /// It took itself out of the list.
    Sent,
    /// Its container was removed.
    Removed,
}

/// Waits; true when the container was removed meanwhile.
async fn gone_within(wait: Duration, grown: &mut watch::Receiver<bool>) -> bool {
    let gone = async { while grown.changed().await.is_ok() {} };
    tokio::time::timeout(wait, gone).await.is_ok()
}

/// The next entries, read on a thread that may block.
async fn read(mut reader: Reader) -> io::Result<(Reader, Vec<Entry>)> {
    let work = move || -> io::Result<(Reader, Vec<Entry>)> {
        let mut batch = Vec::new();
        while batch.len() < BATCH {
            let Some(entry) = reader.next()? else { break };
            batch.push(entry);
        }
        Ok((reader, batch))
    };
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// The tasks there are.
#[derive(Debug, Default)]
pub(crate) struct Tasks(Mutex<HashMap<Id, watch::Sender<()>>>);

impl Tasks {
    /// Refuses a start whose far end is not there, as Docker does.
    pub(crate) fn reach(runtime: &tokio::runtime::Handle, courier: &Courier) -> Result<(), String> {
        if !courier.must_reach() {
            return Ok(());
        }
        let place = courier.place.clone();
        let (told, heard) = std::sync::mpsc::channel();
        runtime.spawn(async move { told.send(place.connect().await.map(drop)) });
        let reached = heard.recv().unwrap_or_else(|_| Err(io::ErrorKind::Interrupted.into()));
        reached.map_err(|cause| refused(&courier.place, &cause))
    }

    /// Sends what is not yet sent, and then what comes. One that is already under way goes on.
    pub(crate) fn begin(
        self: &Arc<Tasks>,
        runtime: &tokio::runtime::Handle,
        courier: Courier,
        grown: watch::Receiver<bool>,
    ) {
        let mut tasks = lock(&self.0);
        if tasks.contains_key(&courier.id) {
            return;
        }
        let (sender, _) = watch::channel(());
        let id = courier.id;
        tasks.insert(id, sender);
        drop(tasks);
        let own = self.clone();
        runtime.spawn(async move {
            match courier.run(grown, &own).await {
                Ok(End::Sent) => {}
                Ok(End::Removed) => drop(lock(&own.0).remove(&id)),
                Err(error) => {
                    tracing::error!("cannot read the log of {id} to send it: {error}");
                    lock(&own.0).remove(&id);
                }
            }
        });
    }

    /// All is sent: the task is over, unless its container has been started again.
    fn end(&self, id: Id, grown: &watch::Receiver<bool>) -> bool {
        let mut tasks = lock(&self.0);
        let over = *grown.borrow();
        if over {
            tasks.remove(&id);
        }
        over
    }

    /// Waits until the log of a container that has ended is sent, `most` at the longest.
    pub(crate) fn wait(&self, runtime: &tokio::runtime::Handle, id: Id, most: Duration) {
        let Some(mut end) = lock(&self.0).get(&id).map(watch::Sender::subscribe) else { return };
        let (told, heard) = std::sync::mpsc::channel();
        runtime.spawn(async move {
            while end.changed().await.is_ok() {}
            told.send(())
        });
        let _ = heard.recv_timeout(most);
    }
}
