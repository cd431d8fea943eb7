//! Before a container comes near: this program goes where nobody can write to it (CVE-2019-5736).

use crate::error::{Error, Result};
use crate::log;
use runtime::Zygote;

/// Starts this program again from a sealed place, once; to be called before anything is opened.
pub fn program() -> Result<()> {
    runtime::seal_self().map_err(|e| Error::because("cannot seal the program of the runtime", &e))?;
    log::debug("the program of the runtime is sealed");
    Ok(())
}

/// Starts the process that will fork a container's, from a sealed place. To be called as early as can be: it takes its time.
pub fn zygote() -> Result<Zygote> {
    let zygote = Zygote::start().map_err(|e| Error::because("cannot seal the program of the runtime", &e))?;
    log::debug("the program of the runtime is sealed");
    Ok(zygote)
}
