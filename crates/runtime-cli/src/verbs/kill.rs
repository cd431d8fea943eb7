//! `kill`: a signal to a container.

use crate::error::{Error, Result};
use crate::signalling::{self, Sent, Whom};
use crate::words::Global;
use crate::words::options::Kill;

pub fn run(global: &Global, options: &Kill) -> Result<()> {
    let container = global.store().open(&options.id)?;
    let signal = number(&options.signal)?;
    let whom = if options.all { Whom::All } else { Whom::Init };
    match signalling::send(&container, container.init()?.as_ref(), signal, whom)? {
        Sent::NotRunning if !options.all => Err(Error::new("container not running")),
        _ => Ok(()),
    }
}

/// Any number, so that 0 asks whether the process is there; or a name, with `SIG` or without.
fn number(text: &str) -> Result<i32> {
    let named = || base::signal::parse(text).ok_or_else(|| Error::new(format!("unknown signal {text:?}")));
    text.parse().or_else(|_| named())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_numbers_and_names() {
        for (text, expected) in [("9", 9), ("KILL", 9), ("sigterm", 15), ("0", 0), ("SIGRTMIN+1", 35)] {
            assert_eq!(number(text).unwrap(), expected, "{text}");
        }
        assert_eq!(number("SIGNONE").unwrap_err().message, "unknown signal \"SIGNONE\"");
    }
}
