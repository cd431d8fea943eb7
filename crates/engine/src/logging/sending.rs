//! When the log of a container begins to be sent, and when that is waited for.

use super::{Courier, Remote, Tasks};
use crate::shelf::Cell;
use crate::{Engine, Error, Result};
use container::Container;
use logs::Target;
use std::time::Duration;

/// How long the removal of a container waits for its log to be sent.
const MOST_SENDING: Duration = Duration::from_secs(5);

impl Engine {
    /// Before a start: the options are right and the far end is there.
    pub(crate) fn reach_log(&self, record: &Container, target: &Target) -> Result<()> {
        match Courier::of(record, target).map_err(Error::Logging)? {
            Some(courier) => Tasks::reach(&self.house.runtime, &courier).map_err(Error::Logging),
            None => Ok(()),
        }
    }

    /// Sends what a container has logged and logs, if its driver sends. Its streams are connected, or it has ended.
    pub(crate) fn send_log(&self, cell: &Cell) {
        let record = cell.record();
        if Remote::of(&record.config.log.driver).is_none() {
            return;
        }
        let made = self.log_target(&record).and_then(|target| Courier::of(&record, &target).map_err(Error::Logging));
        match made {
            Ok(Some(courier)) => self.house.sending.begin(&self.house.runtime, courier, cell.hub.grown()),
            Ok(None) => {}
            Err(e) => tracing::error!("cannot send the log of {}: {}", cell.id, base::chain(&e)),
        }
    }

    /// Before the files of a container go: what it logged last is sent, if that can be now.
    pub(crate) fn wait_log_sent(&self, cell: &Cell) {
        if Remote::of(&cell.record().config.log.driver).is_some() {
            cell.hub.finish();
            self.house.sending.wait(&self.house.runtime, cell.id, MOST_SENDING);
        }
    }
}
