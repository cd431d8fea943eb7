//! Streams of a container: live, from its log, and the size of its terminal.

use crate::shelf::Cell;
use crate::streams::{self, Attach, Attachment, LogFollow};
use crate::{Engine, Error, Result, logging};
use container::Status;

impl Engine {
    /// Can be called before the container is started.
    pub fn attach(&self, name: &str, attach: Attach) -> Result<Attachment> {
        let cell = self.house.shelf.find(name)?;
        let why_not = match cell.status() {
            Status::Paused => Some("paused, unpause the container before attach"),
            Status::Restarting => Some("restarting, wait until the container is running"),
            _ => None,
        };
        if let Some(why) = why_not {
            return Err(Error::Conflict(format!("container {name} is {why}")));
        }
        let target = if attach.logs { self.readable_log(&cell)? } else { logs::Target::default() };
        let failed = |source| Error::Io { action: format!("read the log of {}", cell.id), source };
        let attachment = streams::attach(&cell, attach, &target).map_err(failed)?;
        self.house.tell(&cell, "attach", &[]);
        Ok(attachment)
    }

    /// A client left a container by its keys.
    pub fn detached(&self, name: &str) {
        if let Ok(cell) = self.house.shelf.find(name) {
            self.house.tell(&cell, "detach", &[]);
        }
    }

    /// The log and news of it.
    pub fn logs(&self, name: &str) -> Result<LogFollow> {
        let cell = self.house.shelf.find(name)?;
        if matches!(cell.status(), Status::Removing | Status::Dead) {
            let why = "can not get logs from container which is dead or marked for removal";
            return Err(Error::Conflict(why.to_owned()));
        }
        let target = self.readable_log(&cell)?;
        Ok(LogFollow { target, tty: cell.record().config.tty, grown: cell.hub.grown() })
    }

    fn readable_log(&self, cell: &Cell) -> Result<logs::Target> {
        let record = cell.record();
        if !logging::can_be_read(&record.config.log) {
            return Err(Error::NoLog);
        }
        self.log_target(&record)
    }

    /// Sets the size of a container's terminal, in characters.
    pub fn resize(&self, name: &str, rows: u16, columns: u16) -> Result<()> {
        let cell = self.house.shelf.find(name)?;
        cell.pid()?;
        let Some(terminal) = cell.hub.terminal() else { return Ok(()) };
        streams::resize(&terminal, rows, columns)
            .map_err(|source| Error::Io { action: format!("resize the terminal of {}", cell.id), source })?;
        let size = [("height", rows.to_string()), ("width", columns.to_string())];
        self.house.tell(&cell, "resize", &size);
        Ok(())
    }
}
