//! Triggers: instructions that an image leaves to those built from it.

use crate::instruction::Parsed;
use crate::parse::nodes;
use crate::{Error, Fault, Lines, Step};

/// Reads one text of an image configuration's `OnBuild`. `lines` are those of the `FROM`: there its errors are told.
pub fn parse_trigger(text: &str, lines: Lines) -> Result<Step, Error> {
    let (nodes, _) = nodes(text).map_err(|error| error.at(lines))?;
    let [node] = <[_; 1]>::try_from(nodes).map_err(|_| Error::from(Fault::SeveralTriggers).at(lines))?;
    match node.parsed.map_err(|error| error.at(lines))? {
        Parsed::Other(instruction) => {
            let mut written = node.written;
            written.lines = lines;
            Ok(Step { written, instruction })
        }
        Parsed::From { .. } => Err(Error::from(Fault::RefusedTrigger("FROM".to_owned())).at(lines)),
    }
}
