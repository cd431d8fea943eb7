//! What the steps of a build came to, before it goes anywhere.

use crate::builder::{Going, House};
use crate::cache::exchange::{Noted, document};
use crate::context::Folder;
use crate::facts::Facts;
use crate::recall::Recall;
use crate::request::{Attest, Request, Squash};
use crate::solve::Build;
use crate::state::{self, State};
use crate::{Error, Result, squash};
use base::{Digest, Id};
use dockerfile::Lines;
use oci::image::{Image, Platform};
use rustix::fs::{CWD, Mode, OFlags};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The results of a build, one for each platform. While it lives, all that they consist of stays where it is.
#[derive(Debug)]
pub struct Solved {
    products: Vec<Product>,
    pub(crate) told: Told,
    pub(crate) facts: Facts,
    /// `SOURCE_DATE_EPOCH`, in seconds since 1970.
    pub(crate) epoch: Option<i64>,
    pub(crate) house: Arc<House>,
    _going: Going,
    _held: image::Held<StoreOf>,
}

/// What was asked, as far as a provenance tells it.
#[derive(Debug)]
pub(crate) struct Told {
    pub attest: Vec<Attest>,
    pub dockerfile: Vec<u8>,
    /// Attributes of BuildKit's language of Dockerfiles.
    pub arguments: BTreeMap<String, String>,
    pub id: Id,
    pub begun: jiff::Timestamp,
    /// Lines of the steps, by their numbers.
    pub steps: Vec<Lines>,
}

/// The result for one platform.
#[derive(Debug, Clone)]
pub struct Product {
    pub platform: Platform,
    /// Its configuration, complete.
    pub image: Image,
    /// Lowest first.
    pub layers: Vec<Digest>,
    /// Bytes of the tars of the layers that were made here.
    pub tars: BTreeMap<Digest, u64>,
    /// How many of the layers are those of the image that it began with.
    pub base_layers: usize,
    /// How many of the lines of its history are.
    pub base_lines: usize,
    /// What its steps came to.
    pub(crate) steps: Vec<Noted>,
    /// Caches that its layers may still lie in, and what it stands on.
    pub(crate) recall: Arc<Recall>,
}

/// The engine's images, for one who holds them for long.
#[derive(Debug)]
pub(crate) struct StoreOf(pub engine::Engine);

impl AsRef<image::Store> for StoreOf {
    fn as_ref(&self) -> &image::Store {
        self.0.image_store()
    }
}

impl Solved {
    pub(crate) fn new(house: &Arc<House>, request: &Request, (going, held): (Going, image::Held<StoreOf>)) -> Solved {
        let seconds = request.arguments.get("SOURCE_DATE_EPOCH").and_then(|text| text.parse().ok());
        Solved {
            products: Vec::new(),
            told: Told::of(request),
            facts: Facts::default(),
            epoch: seconds,
            house: house.clone(),
            _going: going,
            _held: held,
        }
    }

    /// The target of a build for one platform is done.
    pub(crate) fn add(&mut self, build: &Build<'_>, state: &State) -> Result<()> {
        self.products.push(Product::of(build, state)?);
        self.facts.merge(build.notes.all());
        self.told.steps = build.lines();
        Ok(())
    }

    pub fn results(&self) -> &[Product] {
        &self.products
    }

    /// The files of a result, to be read.
    pub fn folder(&self, index: usize) -> Result<Folder> {
        let none = || Error::Invalid(format!("the build has no result {index}"));
        let product = self.products.get(index).ok_or_else(none)?;
        if product.layers.is_empty() {
            let empty = self.house.empty_folder()?;
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let open = rustix::fs::openat(CWD, &empty, flags, Mode::empty());
            return Ok(Folder::of(open.map_err(Error::errno("open an empty folder"))?));
        }
        let layers = self.house.engine.image_store().layers();
        Ok(Folder::of(layers.image_view(&state::lowers(&product.layers), None, 0)?))
    }
}

impl Told {
    fn of(request: &Request) -> Told {
        let mut arguments = request.frontend_attributes.clone();
        if arguments.is_empty() {
            let prefixed = |prefix: &'static str, pairs: &BTreeMap<String, String>| {
                pairs.iter().map(move |(key, value)| (format!("{prefix}:{key}"), value.clone())).collect::<Vec<_>>()
            };
            arguments.extend(prefixed("build-arg", &request.arguments));
            arguments.extend(prefixed("label", &request.labels));
            arguments.extend(request.target.clone().map(|target| ("target".to_owned(), target)));
        }
        Told {
            attest: request.attest.clone(),
            dockerfile: request.dockerfile.clone(),
            arguments,
            id: Id::random(),
            begun: jiff::Timestamp::now(),
            steps: Vec::new(),
        }
    }
}

impl Product {
    fn of(build: &Build<'_>, state: &State) -> Result<Product> {
        let mut image = state.image.clone();
        image.config.labels.extend(build.request.labels.clone());
        if image.created.is_none() {
            image.created = Some(build.now());
        }
        // What was asked for: a stage on an image for another platform may well have made what is for this one.
        let platform = image::short_platform(&build.wanted().unwrap_or_else(|| image::platform_of(&image)));
        let mut tars = state.tars.clone();
        if build.request.squash == Squash::Yes {
            squash::squash(build, state, &mut image, &mut tars)?;
        }
        let layers = image.rootfs.diff_ids.clone();
        let steps = build.recall.noted();
        if build.request.wants_inline_cache() {
            image.build_cache = Some(document::inline(&layers, &steps));
        }
        let recall = build.recall.clone();
        Ok(Product {
            platform,
            image,
            layers,
            tars,
            base_layers: state.base_layers,
            base_lines: state.base_lines,
            steps,
            recall,
        })
    }
}
