//! The commands, a file for each: `pub fn run(global: &Global, options: &options::X) -> Result<()>`.
//!
//! `run`, `exec` and `restore` return the exit code of the program instead (`Result<u8>`). The prefixes `NAME create failed: `,
//! `NAME run failed: ` and `exec failed: ` (with code 255) are put on by the caller.

pub mod checkpoint;
pub mod create;
pub mod delete;
pub mod events;
pub mod exec;
pub mod features;
pub mod kill;
pub mod list;
pub mod pause;
pub mod ps;
pub mod restore;
pub mod resume;
pub mod run;
pub mod spec;
pub mod start;
pub mod state;
pub mod update;
