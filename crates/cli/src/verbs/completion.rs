//! `completion`: the script that lets a shell complete this program's words.

use clap::Args;

use crate::complete;
use crate::failure::Failure;
use crate::grammar::{About, Needs};
use crate::show::print;
use crate::words::{Global, Offline, Outcome};

/// Prints a script.
#[derive(Debug, Args)]
pub struct Completion {
    #[arg(hide = true)]
    operands: Vec<String>,
}

impl Offline for Completion {
    const ABOUT: About = About {
        name: "completion",
        usage: "bash|zsh|fish",
        does: "Generate the autocompletion script for the specified shell\nFor this shell alone: source <(dhow completion bash)",
        needs: Needs::Exactly(1),
    };

    fn run(self, _: &Global) -> Outcome {
        let shell = &self.operands[0];
        let script = complete::script(shell);
        print(script.ok_or_else(|| Failure::said(format!("no completion for {shell:?}: use bash, zsh or fish")))?)?;
        Ok(0)
    }
}
