//! Streams of a container: live, from its log, and the size of its terminal.

use crate::streams::{self, Attach, Attachment, LogFollow};
use crate::{Engine, Error, Result};
use container::Status;

impl Engine {
    /// Can be called before the container is started.
    pub fn attach(&self, name: &str, attach: Attach) -> Result<Attachment> {
        let cell = self.house.shelf.find(name)?;
        if cell.status() == Status::Paused {
            return Err(Error::Conflict(format!(
                "Container {} is paused, unpause the container before attach",
                cell.name()
            )));
        }
        let attachment = streams::attach(&cell, attach);
        self.house.tell(&cell, "attach", &[]);
        Ok(attachment)
    }

    /// The log and news of it.
    pub fn logs(&self, name: &str) -> Result<LogFollow> {
        let cell = self.house.shelf.find(name)?;
        let record = cell.record();
        if record.config.log.driver == "none" {
            return Err(Error::Unsupported("configured logging driver does not support reading".into()));
        }
        Ok(LogFollow { target: self.log_target(&record), tty: record.config.tty, grown: cell.hub.grown() })
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
