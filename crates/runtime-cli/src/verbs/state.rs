//! `state`: a container as JSON.

use crate::error::Result;
use crate::shown::{Shown, pretty};
use crate::words::{Global, say};

pub fn run(global: &Global, id: &str) -> Result<()> {
    let container = global.store().open(id)?;
    say(&pretty(&Shown::of(&container, String::new()))?)
}
