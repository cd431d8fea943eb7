//! `load`: images out of an archive.

use std::fs::File;
use std::io::{self, Read};

use api::client::{Payload, Uploader, query};
use bytes::Bytes;
use clap::Args;
use http::Method;
use indicatif::{ProgressBar, ProgressDrawTarget};

use crate::failure::Failure;
use crate::grammar::{About, Needs};
use crate::session::Session;
use crate::show::progress::{Progress, To};
use crate::stream::terminal;
use crate::words::{Outcome, Verb};

/// Loads images.
#[derive(Debug, Args)]
pub struct Load {
    /// Read from a tar archive file, instead of STDIN
    #[arg(short, long, value_name = "string")]
    input: Option<String>,
    /// Load only this platform
    #[arg(long, value_name = "string")]
    platform: Option<String>,
    /// Suppress the load output
    #[arg(short, long)]
    quiet: bool,
}

impl Verb for Load {
    const ABOUT: About = About {
        name: "load",
        usage: "[OPTIONS]",
        does: "Load an image from a tar archive or STDIN",
        needs: Needs::None,
    };

    async fn run(self, session: &Session) -> Outcome {
        let source = match self.input.as_deref().filter(|path| !path.is_empty()) {
            Some(path) => Source::file(path)?,
            None if terminal::stdin_is_terminal() => {
                return Err(Failure::said("requested load from stdin, but stdin is empty"));
            }
            None => Source::stdin(),
        };
        let platform = self.platform.as_ref().map(|text| {
            let mut parts = text.split('/');
            let (os, arch) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            serde_json::json!({ "os": os, "architecture": arch, "variant": parts.next().unwrap_or_default() })
                .to_string()
        });
        // Without a terminal only the names are wanted, as docker asks for.
        let quiet = self.quiet || !rustix::termios::isatty(rustix::stdio::stdout());
        let quiet = if quiet { "1" } else { "0" };
        let path = query("/images/load", &[("quiet", Some(quiet)), ("platform", platform.as_deref())]);
        send(session, &path, source, if self.quiet { None } else { Some("Sending") }).await
    }
}

/// What is sent: a file of known size, or a stream.
pub(super) struct Source {
    reader: Box<dyn Read + Send>,
    length: Option<u64>,
}

impl Source {
    pub(super) fn file(path: &str) -> Result<Source, Failure> {
        let opened = File::open(path).and_then(|file| file.metadata().map(|data| (file, data)));
        let (file, data) = opened.map_err(|cause| Failure::said(format!("open {path}: {}", plain(&cause))))?;
        if data.is_dir() {
            return Err(Failure::said(format!("read {path}: is a directory")));
        }
        Ok(Source { reader: Box::new(file), length: data.is_file().then_some(data.len()) })
    }

    pub(super) fn stdin() -> Source {
        Source { reader: Box::new(Stdin), length: None }
    }
}

/// Stdin without the standard library's buffer and lock.
struct Stdin;

impl Read for Stdin {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(rustix::stdio::stdin(), buffer)?)
    }
}

/// An I/O error without Rust's number.
fn plain(cause: &io::Error) -> String {
    match cause.kind() {
        io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => cause.to_string(),
    }
}

/// Posts the source to `path` and shows the engine's progress; `label` for a bar of what has been sent.
pub(super) async fn send(session: &Session, path: &str, source: Source, label: Option<&'static str>) -> Outcome {
    let (uploader, payload) = Payload::stream(source.length);
    let bar = label.filter(|_| rustix::termios::isatty(rustix::stdio::stderr())).map(|_| {
        let bar = source.length.map_or_else(ProgressBar::no_length, ProgressBar::new);
        bar.set_draw_target(ProgressDrawTarget::stderr());
        bar
    });
    let thread_bar = bar.clone();
    std::thread::spawn(move || upload(source.reader, &uploader, thread_bar.as_ref()));
    let answer = session.client().call(Method::POST, path, payload).await;
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    let mut answer = answer?;
    let mut progress = Progress::new(To::Stdout);
    while let Some(line) = answer.line().await? {
        progress.line(&line)?;
    }
    progress.clear();
    Ok(0)
}

/// Reads the source to its end, on a thread of its own.
fn upload(mut reader: Box<dyn Read + Send>, uploader: &Uploader, bar: Option<&ProgressBar>) {
    const CHUNK: usize = 256 * 1024;
    loop {
        let mut chunk = vec![0u8; CHUNK];
        match reader.read(&mut chunk) {
            Ok(0) => return,
            Ok(length) => {
                chunk.truncate(length);
                if let Some(bar) = bar {
                    bar.inc(u64::try_from(length).unwrap_or(0));
                }
                if !uploader.feed(Ok(Bytes::from(chunk))) {
                    return;
                }
            }
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => {
                uploader.feed(Err(cause));
                return;
            }
        }
    }
}
