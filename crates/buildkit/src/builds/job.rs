//! One build of a client's.

use super::lock;
use crate::progress::Board;
use crate::{Error, Result};
use bollard_buildkit_proto::google::rpc;
use bollard_buildkit_proto::moby::buildkit::v1::SolveRequest;
use build::Solved;
use build::context::Folder;
use registry::Cancel;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::sync::oneshot;

/// A build, from the client's first word to the answer.
#[derive(Debug)]
pub struct Job {
    pub name: String,
    pub request: SolveRequest,
    pub board: Arc<Board>,
    /// Ends all that the build does.
    pub cancel: Cancel,
    made: Mutex<HashMap<String, Arc<Made>>>,
    returning: Mutex<Option<oneshot::Sender<Returned>>>,
    returned: Mutex<Option<oneshot::Receiver<Returned>>>,
    /// The attributes of the frontend as the client put them to it.
    asked: Mutex<HashMap<String, String>>,
    attested: Mutex<Vec<Attested>>,
}

/// How a result was made.
#[derive(Debug, Clone)]
pub struct Attested {
    /// `linux/amd64`
    pub platform: String,
    /// The type of the predicate.
    pub kind: &'static str,
    pub predicate: Vec<u8>,
}

/// Something that a build made.
#[derive(Debug, Clone)]
pub enum Made {
    /// The result for one platform.
    Image {
        solved: Arc<Solved>,
        index: usize,
    },
    Folder(Arc<Folder>),
    Nothing,
}

/// What a client says in the end.
#[derive(Debug)]
pub enum Returned {
    /// The ids of what is to go to the outputs.
    Made(Vec<String>),
    Failed(rpc::Status),
}

impl Job {
    pub fn new(request: SolveRequest) -> Job {
        let (send, receive) = oneshot::channel();
        Job {
            name: request.r#ref.clone(),
            board: Board::new(&request.r#ref),
            request,
            cancel: Cancel::default(),
            made: Mutex::default(),
            returning: Mutex::new(Some(send)),
            returned: Mutex::new(Some(receive)),
            asked: Mutex::default(),
            attested: Mutex::default(),
        }
    }

    pub(crate) fn keep(&self, id: &str, made: Arc<Made>) {
        lock(&self.made).insert(id.to_owned(), made);
    }

    pub fn made(&self, id: &str) -> Result<Arc<Made>> {
        lock(&self.made).get(id).cloned().ok_or_else(|| Error::NotFound(format!("no such ref: {id}")))
    }

    /// All that was made, which the build keeps no more.
    pub(crate) fn release(&self) -> impl Send + 'static + use<> {
        std::mem::take(&mut *lock(&self.made))
    }

    /// The client is done; only its first word counts.
    pub fn r#return(&self, returned: Returned) {
        if let Some(send) = lock(&self.returning).take() {
            let _ = send.send(returned);
        }
    }

    /// Waits until the client is done.
    pub(crate) async fn returned(&self) -> Result<Returned> {
        let receive = lock(&self.returned).take();
        let Some(receive) = receive else { return Err(Error::Invalid("the build has ended".to_owned())) };
        tokio::select! {
            returned = receive => returned.map_err(|_| Error::Cancelled),
            () = self.cancel.cancelled() => Err(Error::Cancelled),
        }
    }

    /// Remembers what was asked of the frontend: the history shows it.
    pub(crate) fn remember(&self, attributes: HashMap<String, String>) {
        *lock(&self.asked) = attributes;
    }

    pub(crate) fn attest(&self, attested: Attested) {
        lock(&self.attested).push(attested);
    }

    pub fn attested(&self) -> Vec<Attested> {
        lock(&self.attested).clone()
    }

    pub fn asked(&self) -> HashMap<String, String> {
        let asked = lock(&self.asked).clone();
        if asked.is_empty() { self.request.frontend_attrs.clone() } else { asked }
    }
}

impl Made {
    /// Its files.
    pub fn folder(&self) -> Result<Arc<Folder>> {
        match self {
            Made::Image { solved, index } => Ok(Arc::new(solved.folder(*index)?)),
            Made::Folder(folder) => Ok(folder.clone()),
            Made::Nothing => Err(Error::NotFound("there are no files".to_owned())),
        }
    }
}
