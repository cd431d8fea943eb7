//! Where the files of a build come from, when a client asks for it: its folders, addresses, and what it had built before.

use super::layout::Loaded;
use super::local::Key;
use super::remote::{self, Archives, Kind, Remote, SINGLE};
use super::{Client, ClientBlobs, Session, agent, hints};
use crate::frontend::{Attributes, ContextSource, DockerfileSource, FrontendOptions, Input};
use build::cache::Blobs;
use build::context::{Agent, Checkout, Folder, MAIN, Named};
use build::{Error, NoSink, Output, OutputKind, Result, Sources};
use dockerfile::ignore::Ignore;
use image::Reference;
use oci::image::Platform;
use registry::Cancel;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

const IGNORE: &str = ".dockerignore";

/// A client's files, secrets and keys, for one build. Nothing is asked of the client before it is needed.
#[derive(Debug)]
pub struct ClientSources {
    client: Client,
    options: FrontendOptions,
    attributes: Attributes,
    opened: OnceLock<Opened>,
    /// Folders are held until the build is over.
    folders: Mutex<Vec<Arc<Folder>>>,
}

/// The Dockerfile of a build.
#[derive(Debug, Clone)]
pub struct Definition {
    /// As it is.
    pub text: Vec<u8>,
    /// What it is called.
    pub name: String,
}

/// What is known once the Dockerfile was read.
#[derive(Debug)]
struct Opened {
    definition: Definition,
    main: Place,
    ignore: Option<Ignore>,
    named: BTreeMap<String, Context>,
    /// What the Dockerfile reads of each context.
    hints: BTreeMap<String, Vec<String>>,
}

/// Where a folder is.
#[derive(Debug, Clone)]
enum Place {
    Client(Key),
    Here(Arc<Folder>),
}

/// What a named context is.
#[derive(Debug)]
enum Context {
    Folder(Place),
    Image(String),
}

impl Client {
    /// Finds the Dockerfile and what else a build asks for by its attributes.
    fn open(&self, options: &FrontendOptions, attributes: &Attributes) -> Result<Opened> {
        let mut name = options.filename.clone();
        let checkout = Checkout { keeps_git: options.keep_git, ..Checkout::default() };
        let remote = match &options.context {
            ContextSource::Remote(address) => Some(self.remote(address, Archives::Unpacked, &checkout)?),
            _ => None,
        };
        if options.dockerfile == DockerfileSource::Context && remote.as_ref().is_some_and(|own| own.kind == Kind::File)
        {
            name = SINGLE.to_owned();
        }
        let main = self.main(options, remote)?;
        let around = match (&options.dockerfile, &main) {
            (DockerfileSource::Context, Place::Here(folder)) => folder.clone(),
            (DockerfileSource::Local(local), _) | (_, Place::Client(Key { name: local, .. })) => {
                self.few(options, local, &definition(&name))?
            }
            (DockerfileSource::Input(input), _) => input_folder(&options.inputs, input)?,
        };
        let text = read_dockerfile(&around, &name)?;
        let own_ignore = around.read(&format!("{name}.dockerignore"))?;
        let (main, ignore) = self.without_ignored(options, main, own_ignore)?;
        let mut named = BTreeMap::new();
        for (name, source) in &options.named {
            named.insert(normal(name), self.named_context(options, name, source)?);
        }
        let hints = hints::paths(&text, attributes);
        Ok(Opened { definition: Definition { text, name }, main, ignore, named, hints })
    }

    fn main(&self, options: &FrontendOptions, remote: Option<Remote>) -> Result<Place> {
        let folder = match (&options.context, remote) {
            (ContextSource::Local(name), _) => {
                return Ok(Place::Client(Key { name: name.clone(), hint: name.clone(), exclude: Vec::new() }));
            }
            (ContextSource::Input(name), _) => input_folder(&options.inputs, name)?,
            (_, Some(remote)) => remote.folder,
            (_, None) => return Err(Error::Invalid("the main context is no folder".to_owned())),
        };
        match &options.sub_folder {
            Some(path) => Ok(Place::Here(Arc::new(remote::inside(&folder, path)?))),
            None => Ok(Place::Here(folder)),
        }
    }

    /// What an ignore file names is not asked for. It is for a client's folder only, as with BuildKit.
    fn without_ignored(
        &self,
        options: &FrontendOptions,
        main: Place,
        own: Option<Vec<u8>>,
    ) -> Result<(Place, Option<Ignore>)> {
        let Place::Client(key) = main else { return Ok((main, None)) };
        let text = match own {
            Some(text) => Some(text),
            None => self.few(options, &key.name, &[IGNORE.to_owned()])?.read(IGNORE)?,
        };
        let ignore = ignore(text)?;
        let exclude = ignore.as_ref().map_or(Vec::new(), |ignore| ignore.patterns().collect());
        Ok((Place::Client(Key { exclude, ..key }), ignore))
    }

    /// A few small files of a folder of the client's.
    fn few(&self, options: &FrontendOptions, name: &str, paths: &[String]) -> Result<Arc<Folder>> {
        let session = self.session_of(options, name);
        Ok(Arc::new(self.asking(&session).few(name, paths)?))
    }

    /// The session that has a folder.
    fn session_of(&self, options: &FrontendOptions, name: &str) -> Arc<Session> {
        let other = options.sessions.get(name).and_then(|id| self.session.other(id));
        other.unwrap_or_else(|| self.session.clone())
    }

    fn named_context(&self, options: &FrontendOptions, name: &str, source: &ContextSource) -> Result<Context> {
        match source {
            ContextSource::Local(local) => {
                let text = self.few(options, local, &[IGNORE.to_owned()])?.read(IGNORE)?;
                let exclude = ignore(text)?.map_or(Vec::new(), |ignore| ignore.patterns().collect());
                let key = Key { name: local.clone(), hint: format!("context:{name}-"), exclude };
                Ok(Context::Folder(Place::Client(key)))
            }
            ContextSource::Image(reference) => Ok(Context::Image(reference.clone())),
            ContextSource::OciLayout { store, reference } => {
                let loaded = self.layout(store, reference, &platform(name))?;
                let id = loaded.id.to_string();
                self.session.keep(loaded);
                Ok(Context::Image(id))
            }
            ContextSource::Remote(address) => {
                // As with BuildKit, for which only the main context is unpacked.
                let remote = self.remote(address, Archives::Kept, &Checkout::default())?;
                Ok(Context::Folder(Place::Here(remote.folder)))
            }
            ContextSource::Input(input) => match options.inputs.get(input) {
                Some(Input::Result(solved)) => {
                    // What was built before is a base as any image is.
                    let output = Output::new(OutputKind::Image);
                    let keys = super::keys(&self.session, &self.cancel);
                    let before = self.builder.engine().images().map_err(Error::from)?;
                    let exported = self.builder.export(solved, &output, (&NoSink, &keys), &|_| {}, &self.cancel)?;
                    let none = || Error::Invalid(format!("the input {input} is no image"));
                    let id = exported.image.ok_or_else(none)?;
                    let known = before.iter().any(|image| image.id == id);
                    self.session.keep(Loaded::new(id, (!known).then(|| self.builder.engine().clone())));
                    Ok(Context::Image(id.to_string()))
                }
                Some(Input::Folder(folder)) => Ok(Context::Folder(Place::Here(folder.clone()))),
                None => Err(Error::Invalid(format!("invalid input {input} for {name}"))),
            },
        }
    }
}

impl ClientSources {
    pub(super) fn new(client: Client, options: FrontendOptions, attributes: Attributes) -> ClientSources {
        ClientSources { client, options, attributes, opened: OnceLock::new(), folders: Mutex::default() }
    }

    /// The Dockerfile.
    pub fn dockerfile(&self) -> Result<Definition> {
        Ok(self.opened()?.definition.clone())
    }

    fn opened(&self) -> Result<&Opened> {
        if self.opened.get().is_none() {
            let opened = self.client.open(&self.options, &self.attributes)?;
            let _ = self.opened.set(opened);
        }
        self.opened.get().ok_or_else(|| Error::Invalid("the Dockerfile was not read".to_owned()))
    }

    fn place(&self, place: &Place, name: &str, wanted: &[String]) -> Result<Arc<Folder>> {
        let key = match place {
            Place::Here(folder) => return Ok(folder.clone()),
            Place::Client(key) => key,
        };
        let hints = self.opened()?.hints.get(name).map_or(&[][..], Vec::as_slice);
        let all: Vec<String> = if wanted.is_empty() { Vec::new() } else { [wanted, hints].concat() };
        let session = self.client.session_of(&self.options, &key.name);
        let folder = self.client.asking(&session).folder(key, &all)?;
        let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        if !folders.iter().any(|known| Arc::ptr_eq(known, &folder)) {
            folders.push(folder.clone());
        }
        Ok(folder)
    }

    fn context(&self, name: &str) -> Option<&Context> {
        let named = &self.opened.get()?.named;
        let name = normal(name);
        named.get(&name).or_else(|| {
            let prefix = format!("{name}::");
            named.iter().find(|(own, _)| own.starts_with(&prefix)).map(|(_, context)| context)
        })
    }
}

impl Sources for ClientSources {
    fn folder(&self, name: &str, wanted: &[String]) -> Result<Option<Arc<Folder>>> {
        if name == MAIN {
            return self.place(&self.opened()?.main, name, wanted).map(Some);
        }
        match self.context(name) {
            Some(Context::Folder(place)) => self.place(place, name, wanted).map(Some),
            _ => Ok(None),
        }
    }

    fn named(&self, name: &str) -> Option<Named> {
        self.context(name).map(|context| match context {
            Context::Folder(_) => Named::Folder,
            Context::Image(reference) => Named::Image(reference.clone()),
        })
    }

    fn ignore(&self) -> Option<Ignore> {
        self.opened.get()?.ignore.clone()
    }

    fn secret(&self, id: &str) -> Result<Option<Vec<u8>>> {
        agent::secret(&self.client.session, id, &self.client.cancel)
    }

    fn blobs(&self, folder: &str) -> Result<Option<Arc<dyn Blobs>>> {
        Stores::new(self.client.session.clone(), self.client.cancel.clone()).blobs(folder)
    }

    fn agent(&self, id: &str) -> Result<Option<Box<dyn Agent>>> {
        agent::agent(&self.client.session, id, &self.client.cancel)
    }
}

/// A client's folders for caches, and nothing else of it.
#[derive(Debug)]
pub struct Stores {
    session: Arc<Session>,
    cancel: Cancel,
}

impl Stores {
    pub(super) fn new(session: Arc<Session>, cancel: Cancel) -> Stores {
        Stores { session, cancel }
    }
}

impl Sources for Stores {
    fn folder(&self, _name: &str, _wanted: &[String]) -> Result<Option<Arc<Folder>>> {
        Ok(None)
    }

    fn blobs(&self, folder: &str) -> Result<Option<Arc<dyn Blobs>>> {
        // A client lends the folders that it names in what it asks for.
        let store = format!("local:{folder}");
        Ok(Some(Arc::new(ClientBlobs::new(self.session.clone(), store, self.cancel.clone()))))
    }
}

/// The files that define a build.
fn definition(filename: &str) -> Vec<String> {
    let mut files = vec![filename.to_owned(), format!("{filename}.dockerignore")];
    files.extend(other_spelling(filename));
    files
}

/// Also `dockerfile` is looked for.
fn other_spelling(filename: &str) -> Option<String> {
    let folder = filename.strip_suffix("Dockerfile")?;
    (folder.is_empty() || folder.ends_with('/')).then(|| format!("{folder}dockerfile"))
}

fn read_dockerfile(around: &Folder, filename: &str) -> Result<Vec<u8>> {
    let mut found = around.read(filename)?;
    if let (None, Some(other)) = (&found, other_spelling(filename)) {
        found = around.read(&other)?;
    }
    let missing = || Error::Invalid(format!("failed to read dockerfile: open {filename}: no such file or directory"));
    found.ok_or_else(missing)
}

fn ignore(text: Option<Vec<u8>>) -> Result<Option<Ignore>> {
    let Some(text) = text else { return Ok(None) };
    let parsed = Ignore::parse(&String::from_utf8_lossy(&text));
    let wrong = |error| Error::Invalid(format!("failed parsing {IGNORE}: {}", base::chain(&error)));
    parsed.map(|ignore| Some(ignore).filter(|ignore| !ignore.is_empty())).map_err(wrong)
}

fn input_folder(inputs: &BTreeMap<String, Input>, name: &str) -> Result<Arc<Folder>> {
    match inputs.get(name) {
        Some(Input::Folder(folder)) => Ok(folder.clone()),
        Some(Input::Result(solved)) => Ok(Arc::new(solved.folder(0)?.keeping(Box::new(solved.clone())))),
        None => Err(Error::Invalid(format!("invalid input {name}"))),
    }
}

/// A context's name as it is looked for: familiar, without `:latest`; what stands behind `::` is a platform.
fn normal(name: &str) -> String {
    let (name, platform) = name.split_once("::").map_or((name, None), |(name, platform)| (name, Some(platform)));
    let familiar = Reference::parse(name).map_or_else(|_| name.to_owned(), |reference| reference.familiar());
    let short = familiar.strip_suffix(":latest").unwrap_or(&familiar);
    platform.map_or_else(|| short.to_owned(), |platform| format!("{short}::{platform}"))
}

/// The platform that a context is for.
fn platform(name: &str) -> Platform {
    let own = name.split_once("::").and_then(|(_, platform)| image::parse_platform(platform).ok());
    own.unwrap_or_else(image::machine_platform)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_are_found_by_any_of_their_names() {
        for name in ["alpine", "alpine:latest", "docker.io/library/alpine", "docker.io/library/alpine:latest"] {
            assert_eq!(normal(name), "alpine");
        }
        assert_eq!(normal("Src"), "Src");
        assert_eq!(normal("base::linux/arm64"), "base::linux/arm64");
    }

    #[test]
    fn the_other_spelling_of_a_dockerfile_is_looked_for() {
        assert_eq!(definition("a/Dockerfile"), ["a/Dockerfile", "a/Dockerfile.dockerignore", "a/dockerfile"]);
        assert_eq!(definition("my.Dockerfile"), ["my.Dockerfile", "my.Dockerfile.dockerignore"]);
    }
}
