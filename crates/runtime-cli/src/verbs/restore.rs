//! `restore`: a container whose processes come from a checkpoint.

use crate::bringup;
use crate::ends::Mode;
use crate::error::Result;
use crate::words::Global;
use crate::words::options::Restore;
use crate::{log, root, seal, verbs};

/// Returns the exit code of the program, 0 when it was detached.
pub fn run(global: &Global, options: &Restore) -> Result<u8> {
    seal::program()?;
    if !root::is_root() || root::in_user_namespace() {
        log::warn("restore is untested with rootless containers");
    }
    let mode = if options.detach { Mode::Detached } else { Mode::Foreground };
    if mode == Mode::Foreground && !options.no_subreaper {
        verbs::run::become_subreaper();
    }
    verbs::run::stay(bringup::restore(global, options, mode)?, verbs::run::After::Delete)
}
