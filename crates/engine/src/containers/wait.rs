//! Waiting for a container.

use crate::shelf::{Cell, Life};
use crate::{Engine, Result};
use std::sync::Arc;

/// What a wait waits for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WaitCondition {
    #[default]
    NotRunning,
    NextExit,
    Removed,
}

/// How a wait ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WaitResult {
    pub exit_code: i32,
    /// Why it could not be removed or started, if so.
    pub error: Option<String>,
}

impl Engine {
    /// Looks the container up at once; the returned future ends when the condition holds.
    pub fn wait(
        &self,
        name: &str,
        condition: WaitCondition,
    ) -> Result<impl Future<Output = WaitResult> + Send + 'static> {
        let cell = self.house.shelf.find(name)?;
        let before = cell.life.borrow().exits;
        Ok(async move { until(&cell, condition, before).await })
    }
}

async fn until(cell: &Arc<Cell>, condition: WaitCondition, before: u64) -> WaitResult {
    let holds = |life: &Life| match condition {
        // Also the end of a run that a restart follows.
        WaitCondition::NotRunning => !life.running || life.exits > before || life.removed,
        WaitCondition::NextExit => life.exits > before || life.removed,
        WaitCondition::Removed => life.removed,
    };
    let mut life = cell.life.subscribe();
    let exit_code = life.wait_for(holds).await.map_or(0, |life| life.exit_code);
    WaitResult { exit_code, error: None }
}
