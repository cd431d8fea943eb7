//! `load`: images out of an archive.

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use api::client::{Payload, query};
use clap::Args;
use http::Method;

use crate::failure::Failure;
use crate::grammar::{About, Needs};
use crate::platform;
use crate::session::Session;
use crate::show::progress::{Progress, To, Upload};
use crate::stream::terminal;
use crate::words::{Outcome, Verb};

/// Loads images.
#[derive(Debug, Args)]
pub struct Load {
    /// Read from tar archive file, instead of STDIN
    #[arg(short, long, value_name = "string")]
    input: Option<String>,
    /// Load only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")
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
        let platform = platform::asked(self.platform.as_deref())?;
        // Without a terminal only the names are wanted, as docker asks for.
        let quiet = self.quiet || !rustix::termios::isatty(rustix::stdio::stdout());
        let quiet = if quiet { "1" } else { "0" };
        let path = query("/images/load", &[("quiet", Some(quiet)), ("platform", platform.as_deref())]);
        send(session, &path, source, if self.quiet { Shown::No } else { Shown::Yes }).await
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

/// Whether people see how much has been sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    Yes,
    No,
}

/// Posts the source to `path` and shows the engine's progress.
pub(super) async fn send(session: &Session, path: &str, source: Source, shown: Shown) -> Outcome {
    let (uploader, payload) = Payload::stream(source.length);
    let upload = Upload::of(source.length);
    let sent = Arc::clone(&upload.sent);
    std::thread::spawn(move || {
        uploader.feed_all(source.reader, |bytes| {
            sent.fetch_add(bytes, Ordering::Relaxed);
        });
    });
    let mut progress = match shown {
        Shown::Yes => Progress::of_upload(upload),
        Shown::No => Progress::new(To::Stdout),
    };
    let answer = progress.during(session.client().call(Method::POST, path, payload)).await?;
    progress.follow(answer).await?;
    Ok(0)
}
