//! The files of a classic build: a tar in the request, an address, or a repository.

use crate::query::Query;
use crate::status::Refusal;
use build::context::{self, Checkout, Folder, MAIN, Unpacked};
use build::{Builder, Sources};
use registry::Cancel;
use std::io::Read;
use std::sync::Arc;

/// The Dockerfile and the folder around it.
pub struct Context {
    pub dockerfile: Vec<u8>,
    /// `None`: nothing but a Dockerfile was sent.
    folder: Option<Arc<Folder>>,
}

impl Sources for Context {
    fn folder(&self, name: &str, _wanted: &[String]) -> build::Result<Option<Arc<Folder>>> {
        Ok(self.folder.clone().filter(|_| name == MAIN))
    }
}

/// Bytes of a Dockerfile that comes from an address.
const MOST_DOCKERFILE: usize = 16 << 20;

/// Takes the context of a request.
pub fn take(
    builder: &Builder,
    query: &Query,
    body: &mut (dyn Read + Send),
    cancel: &Cancel,
) -> Result<Context, Refusal> {
    let remote = query.get("remote");
    let folder = if remote.is_empty() {
        context::unpack(body, &builder.contexts())?.into_folder()?
    } else if let Some(repository) = builder.repository(remote, &Checkout::default(), cancel)? {
        repository
    } else if remote.starts_with("http://") || remote.starts_with("https://") {
        fetched(builder, remote, cancel)?
    } else {
        return Err(Refusal::invalid(format!("remote URL ({remote}) could not be identified as URL")));
    };
    let name = query.text("dockerfile").unwrap_or("Dockerfile");
    let name = name.trim_start_matches('/');
    let found = match folder.read(name)? {
        // As Docker, who looks for the other spelling.
        None if name == "Dockerfile" => folder.read("dockerfile")?,
        found => found,
    };
    let missing = || Refusal::internal(format!("Cannot locate specified Dockerfile: {name}"));
    let dockerfile = found.ok_or_else(missing)?;
    let folder = match folder.ignore_file(name)? {
        None => folder,
        Some(text) => {
            let ignore = dockerfile::ignore::Ignore::parse(&text);
            let wrong = |error| Refusal::invalid(format!("error checking context: '{}'.", base::chain(&error)));
            folder.without(ignore.map_err(wrong)?)
        }
    };
    Ok(Context { dockerfile, folder: Some(Arc::new(folder)) })
}

/// An address has an archive, or a Dockerfile alone.
pub fn fetched(builder: &Builder, address: &str, cancel: &Cancel) -> Result<Folder, Refusal> {
    let mut body = builder.engine().fetch(address, cancel)?;
    let failed = |error: std::io::Error| Refusal::internal(format!("unable to read from {address}: {error}"));
    let mut first = vec![0; 512];
    let mut got = 0;
    while got < first.len() {
        match body.read(&mut first[got..]).map_err(failed)? {
            0 => break,
            more => got += more,
        }
    }
    first.truncate(got);
    let is_archive = context::is_archive(&first);
    let whole = std::io::Cursor::new(first).chain(body);
    if is_archive {
        return Ok(context::unpack(whole, &builder.contexts())?.into_folder()?);
    }
    let mut text = Vec::new();
    whole.take(MOST_DOCKERFILE as u64).read_to_end(&mut text).map_err(failed)?;
    let folder = Unpacked::make(&builder.contexts())?;
    std::fs::write(folder.path().join("Dockerfile"), text).map_err(failed)?;
    Ok(folder.into_folder()?)
}
