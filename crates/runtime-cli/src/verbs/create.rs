//! `create`: a container whose process waits for `start`.

use crate::ends::Mode;
use crate::error::Result;
use crate::words::Global;
use crate::words::options::Create;
use crate::{bringup, seal};

pub fn run(global: &Global, options: &Create) -> Result<()> {
    seal::program()?;
    bringup::bring_up(global, options, Mode::Create).map(drop)
}
