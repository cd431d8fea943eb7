//! What an engine tells.

use crate::{Stage, within};
use std::io::Read;
use std::process::{Child, Stdio};

/// All events from now on: the engine itself remembers the last 256 only.
#[derive(Debug)]
pub struct Events(Child);

impl Events {
    /// Returns when it listens.
    pub fn listen(stage: &Stage) -> Events {
        let mut command = stage.docker_command(["events", "--format", "{{.Action}}"]);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("events can be read");
        // The first event shows that it listens.
        let mut first = [0];
        let stdout = child.stdout.as_mut().expect("events can be read");
        std::thread::scope(|scope| {
            let heard = scope.spawn(|| stdout.read_exact(&mut first).expect("events can be read"));
            within("events are heard", || {
                stage.dhow(["tag", "busybox", "heard"]).ok();
                heard.is_finished()
            });
        });
        Events(child)
    }

    /// The actions of all events so far.
    pub fn end(mut self) -> Vec<String> {
        self.0.kill().expect("events can be read");
        let mut said = String::new();
        self.0.stdout.take().expect("events can be read").read_to_string(&mut said).expect("events can be read");
        self.0.wait().expect("events can be read");
        said.lines().map(str::to_owned).collect()
    }
}
