//! `create`: a container whose process waits for `start`.

use crate::bringup;
use crate::ends::Mode;
use crate::error::Result;
use crate::words::Global;
use crate::words::options::Create;

pub fn run(global: &Global, options: &Create) -> Result<()> {
    bringup::bring_up(global, options, Mode::Create).map(drop)
}
