//! `POST /images/create?fromSrc=URL`: an import of what is behind an address, with progress.

use crate::app::App;
use crate::present::progress;
use crate::status::Answer;
use crate::stream::begun::{self, Client, Teller};
use api::types::Progress;
use engine::Engine;
use image::Import;
use std::io::{self, Read};

/// Bytes between two lines of progress.
const STEP: u64 = 512 << 10;

pub async fn post(app: &App, url: String, import: Import) -> Answer {
    let client = Client::default();
    let cancel = client.cancel();
    let work = move |engine: &Engine, teller: &Teller| {
        let source = engine.fetch(&url, &cancel)?;
        teller.tell(&progress::message(format!("Downloading from {}", shown(&url))));
        let mut source = Counted { source, teller, current: 0, told: 0 };
        let id = engine.image_import(&mut source, &import)?;
        teller.tell(&progress::message(id.to_string()));
        Ok(())
    };
    begun::progress(app, client, work).await
}

/// An address without the user and the password in it.
fn shown(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let host = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let from = rest[..host].rfind('@').map_or(0, |at| at + 1);
    format!("{scheme}://{}", &rest[from..])
}

/// Tells how many bytes went through.
struct Counted<'a> {
    source: Box<dyn Read + Send>,
    teller: &'a Teller,
    current: u64,
    told: u64,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.source.read(buffer)?;
        self.current += got as u64;
        if self.current - self.told >= STEP {
            self.told = self.current;
            let line = progress::bytes("", "Importing", self.current, 0);
            self.teller.hint(&Progress { id: None, ..line });
        }
        Ok(got)
    }
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(shown("https://me:secret@h:1/a@b?c@d"), "https://h:1/a@b?c@d");
        assert_eq!(shown("http://h/a"), "http://h/a");
        assert_eq!(shown("http://me@h"), "http://h");
        assert_eq!(shown("h/a"), "h/a");
    }
}
