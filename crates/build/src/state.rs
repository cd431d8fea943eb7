//! What a stage has come to after each of its steps: layers, and the configuration of the image that they would be.

use crate::Result;
use crate::cache::{Made, Outcome, Parts};
use crate::context::of_texts;
use crate::ops::At;
use base::Digest;
use dockerfile::{Instruction, Resolved, Scope};
use layer::Lower;
use oci::image::{History, Image};
use std::collections::BTreeMap;

/// Who wrote a line of history, as BuildKit writes it.
pub(crate) const COMMENT: &str = dockerfile::history::COMMENT;

/// A stage so far.
#[derive(Debug, Clone)]
pub(crate) struct State {
    /// Lowest first.
    pub layers: Vec<Digest>,
    /// Bytes of the tars of the layers that were made here.
    pub tars: BTreeMap<Digest, u64>,
    pub image: Image,
    pub scope: Scope,
    /// The image that it began with.
    pub base: Option<Digest>,
    /// Layers of that image.
    pub base_layers: usize,
    /// Lines of that image's history.
    pub base_lines: usize,
    /// `CMD` stood in this stage: an `ENTRYPOINT` then leaves it.
    pub has_cmd: bool,
    /// All that led here: what tells a step that changes no file from others.
    pub way: Digest,
    /// How often each `RUN` stood here with nothing changed before it: the same program twice is two runs, though both have one key.
    pub runs: BTreeMap<Digest, u64>,
    /// Every step so far came from the cache.
    pub all_cached: bool,
}

impl State {
    /// The layers as one key.
    pub fn stack(&self) -> Digest {
        stack(&self.layers)
    }

    /// Topmost first.
    pub fn lowers(&self) -> Vec<Lower> {
        lowers(&self.layers)
    }

    pub fn shell(&self) -> Vec<String> {
        let shell = self.image.config.shell.clone().filter(|shell| !shell.is_empty());
        shell.unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned()])
    }

    pub fn working_dir(&self) -> String {
        match self.image.config.working_dir.as_str() {
            "" => "/".to_owned(),
            path => path.to_owned(),
        }
    }

    /// What the history says of a step.
    pub fn created_by(&self, resolved: &Resolved) -> String {
        let (shell, workdir) = (self.shell(), self.working_dir());
        let form = dockerfile::history::Form { shell: &shell, workdir: &workdir };
        let text = dockerfile::history::created_by(resolved, &self.scope, form);
        text.unwrap_or_else(|| match &resolved.instruction {
            Instruction::Onbuild(trigger) => format!("ONBUILD {trigger}"),
            other => other.name().to_owned(),
        })
    }

    /// The key of a `RUN`, another one for each time that it stands in this stage.
    pub fn of_this_time(&mut self, key: Digest) -> Digest {
        let times = self.runs.entry(key).or_default();
        *times += 1;
        match *times {
            1 => key,
            times => of_texts([&b"again"[..], key.as_bytes(), &times.to_le_bytes()]),
        }
    }

    /// The way on by a step.
    pub fn next_way(&self, created_by: &str) -> Digest {
        of_texts([&b"way"[..], self.way.as_bytes(), created_by.as_bytes()])
    }

    /// What decides about a step that stands on this one, without what it reads.
    pub fn parts(&self, at: &At<'_>, text: &str) -> Parts {
        Parts {
            base: self.base,
            below: Some(self.stack()),
            parent: self.layers.get(self.base_layers..).and_then(|own| own.last().copied()),
            code: at.code.to_owned(),
            text: text.to_owned(),
            ..Parts::default()
        }
    }

    /// A step is done: its layer and its line of history.
    pub fn advance(&mut self, created_by: String, outcome: &Outcome) {
        let layer = outcome.layer.map(|made| made.diff_id);
        self.way = self.next_way(&created_by);
        if let Some(made) = &outcome.layer {
            self.add(made);
        }
        self.image.created = Some(outcome.created.clone());
        self.image.history.push(History {
            created: Some(outcome.created.clone()),
            created_by,
            author: self.image.author.clone(),
            comment: COMMENT.to_owned(),
            empty_layer: layer.is_none(),
        });
    }

    /// A step is done that the history does not tell, as BuildKit's does not tell triggers.
    pub fn pass(&mut self, created_by: &str) {
        self.way = self.next_way(created_by);
    }

    fn add(&mut self, made: &Made) {
        self.way = of_texts([&b"layer"[..], self.way.as_bytes(), made.diff_id.as_bytes()]);
        self.layers.push(made.diff_id);
        self.tars.insert(made.diff_id, made.tar);
        self.image.rootfs.diff_ids.push(made.diff_id);
    }

    /// The id of the image that the stage is by now.
    pub fn id(&self) -> Result<Digest> {
        Ok(image::Store::id_of(&self.image)?)
    }
}

pub(crate) fn stack(layers: &[Digest]) -> Digest {
    of_texts(std::iter::once(&b"stack"[..]).chain(layers.iter().map(|layer| &layer.as_bytes()[..])))
}

pub(crate) fn lowers(layers: &[Digest]) -> Vec<Lower> {
    layers.iter().rev().map(|layer| Lower::Layer(*layer)).collect()
}
