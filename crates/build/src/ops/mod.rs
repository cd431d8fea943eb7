//! What each instruction does.

mod add;
mod address;
mod agent;
pub(crate) mod configure;
mod copy;
pub(crate) mod from;
mod git;
mod mode;
mod origin;
mod place;
mod run;
mod stubs;
mod transfer;
mod workdir;

pub use git::Checkout;

use crate::Result;
use crate::context::Folder;
use crate::progress::{Cached, StepNumber};
use crate::solve::Build;
use crate::state::State;
use dockerfile::{Instruction, Resolved};
use registry::Cancel;
use std::path::Path;

/// Where a step stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At<'a> {
    pub stage: usize,
    pub number: StepNumber,
    pub title: &'a str,
    /// As it is written.
    pub code: &'a str,
}

/// Does one step; the state is then that after it.
pub(crate) fn perform(build: &Build<'_>, state: &mut State, at: At<'_>, resolved: &Resolved) -> Result<Cached> {
    match &resolved.instruction {
        Instruction::Run(run) => run::run(build, state, at, (run, resolved)),
        Instruction::Copy(copy) => transfer::copy(build, state, at, (copy, resolved)),
        Instruction::Add(add) => transfer::add(build, state, at, (add, resolved)),
        Instruction::Workdir(path) => workdir::workdir(build, state, at, (path, resolved)),
        _ => configure::line(build, state, at, resolved),
    }
}

/// A repository as a context; `None` when the address is not that of one.
pub(crate) fn repository(
    parent: &Path,
    address: &str,
    wanted: &Checkout<'_>,
    cancel: &Cancel,
) -> Result<Option<Folder>> {
    if !address::is_repository(address) {
        return Ok(None);
    }
    git::fetch(parent, address, wanted, cancel).map(|(folder, _)| Some(folder))
}
