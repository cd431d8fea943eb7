//! A Dockerfile's text becomes stages.

use crate::instruction::{Parsed, Source, description, takes_heredocs};
use crate::lines::{Logical, Reader};
use crate::words::BLANK;
use crate::{
    Directives, Dockerfile, Env, Error, Escape, Fault, GlobalArg, Heredoc, Instruction, Lines, Stage, Step, Written,
    expand,
};

/// Reads a whole Dockerfile. Bytes that are no UTF-8 are replaced.
pub fn parse(bytes: &[u8]) -> Result<Dockerfile, Error> {
    if bytes.is_empty() {
        return Err(Fault::Empty.into());
    }
    let (nodes, found) = nodes(&String::from_utf8_lossy(bytes))?;
    let mut file =
        Dockerfile { directives: found, globals: Vec::new(), stages: Vec::new(), empty_continuations: Vec::new() };
    for node in nodes {
        file.empty_continuations.extend(node.empty_continuation);
        add(&mut file, node)?;
    }
    if file.stages.is_empty() {
        return Err(Fault::NoStages.into());
    }
    file.stages
        .iter()
        .flat_map(|stage| &stage.steps)
        .try_for_each(|step| copies_from_a_name(step, file.directives.escape))?;
    Ok(file)
}

/// An instruction, read as far as it can be by itself.
#[derive(Debug)]
pub(crate) struct Node {
    pub written: Written,
    pub parsed: Result<Parsed, Error>,
    empty_continuation: Option<Lines>,
}

/// The instructions of a text. What is wrong with its words is told before what is wrong with an instruction, wherever it stands.
pub(crate) fn nodes(text: &str) -> Result<(Vec<Node>, Directives), Error> {
    let mut reader = Reader::new(text);
    let mut nodes = Vec::new();
    while let Some(logical) = reader.next()? {
        nodes.push(node(&mut reader, logical)?);
    }
    if nodes.is_empty() {
        let line = reader.line().max(1);
        return Err(Error::from(Fault::NoInstructions).at(Lines { first: line, last: line }));
    }
    Ok((nodes, reader.directives.found))
}

fn node(reader: &mut Reader<'_>, logical: Logical) -> Result<Node, Error> {
    let escape = reader.escape();
    let Logical { text: line, mut lines, comments, empty_continuation } = logical;
    let heredocs = heredocs(reader, &line);
    lines.last = reader.line();
    let heredocs = heredocs.map_err(|error| error.at(lines))?;
    let parsed = Source { line: &line, escape, heredocs, comments: &comments }.parse();
    if let Err(error) = &parsed
        && error.fault().is_of_text()
    {
        return Err(error.clone().at(lines));
    }
    let code = line.trim();
    let keyword = code.split(BLANK).next().unwrap_or_default().to_owned();
    let written = Written { keyword, code: code.to_owned(), lines, comments };
    Ok(Node { written, parsed, empty_continuation })
}

fn heredocs(reader: &mut Reader<'_>, line: &str) -> Result<Vec<Heredoc>, Error> {
    if !takes_heredocs(line, reader.escape()) {
        return Ok(Vec::new());
    }
    let mut heredocs = Heredoc::of_line(line)?;
    heredocs.iter_mut().try_for_each(|heredoc| reader.heredoc(heredoc))?;
    Ok(heredocs)
}

fn add(file: &mut Dockerfile, node: Node) -> Result<(), Error> {
    let Node { written, parsed, .. } = node;
    let parsed = parsed.map_err(|error| error.in_instruction(written.lines))?;
    match (parsed, file.stages.last_mut()) {
        (Parsed::From { base, name, platform }, _) => {
            let description = name.as_ref().and_then(|name| description(&written.comments, name));
            file.stages.push(Stage { written, base, platform, name, description, steps: Vec::new() });
        }
        (Parsed::Other(instruction), Some(stage)) => stage.steps.push(Step { written, instruction }),
        (Parsed::Other(Instruction::Arg(args)), None) => file.globals.push(GlobalArg { written, args }),
        (Parsed::Other(_), None) => return Err(Error::from(Fault::NoStageYet).at(written.lines)),
    }
    Ok(())
}

fn copies_from_a_name(step: &Step, escape: Escape) -> Result<(), Error> {
    let Instruction::Copy(copy) = &step.instruction else { return Ok(()) };
    let Some(from) = &copy.from else { return Ok(()) };
    let expanded = expand::word(from, escape, &Env::default()).map_err(|error| error.at(step.written.lines))?;
    if expanded.text == *from { Ok(()) } else { Err(Error::from(Fault::VariableInCopyFrom).at(step.written.lines)) }
}
