//! One container's side of the server: from the bytes of a question to the bytes of its answer.

use crate::outside::{Question, Resolver};
use crate::reply::{self, Way};
use crate::{Dotless, Gatekeeper, Names, View, gated, lookup};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Questions of one container that may be outside at a time.
const MOST_OUTSIDE: usize = 256;

/// A container that asks.
#[derive(Debug)]
pub(crate) struct Client {
    names: Names,
    sight: RwLock<Arc<Sight>>,
    outside: Arc<Semaphore>,
}

/// A view, and the one who asks outside for it.
#[derive(Debug)]
pub(crate) struct Sight {
    pub(crate) view: View,
    /// `None` for a container without a way out.
    pub(crate) resolver: Option<Arc<Resolver>>,
}

/// What is to be done about a question.
pub(crate) enum Step {
    /// Nothing: it was none.
    Ignore,
    Answer(Vec<u8>),
    /// Ask outside, and answer then.
    Ask(Errand),
}

/// A question on its way outside.
pub(crate) struct Errand {
    request: Message,
    resolver: Arc<Resolver>,
    gate: Option<Gatekeeper>,
    way: Way,
    _permit: OwnedSemaphorePermit,
}

/// Whom an errand goes to.
struct Outward {
    resolver: Arc<Resolver>,
    gate: Option<Gatekeeper>,
    permit: OwnedSemaphorePermit,
}

impl Client {
    pub(crate) fn new(names: Names, sight: Sight) -> Client {
        Client { names, sight: RwLock::new(Arc::new(sight)), outside: Arc::new(Semaphore::new(MOST_OUTSIDE)) }
    }

    pub(crate) fn sight(&self) -> Arc<Sight> {
        self.sight.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn look(&self, sight: Sight) {
        *self.sight.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(sight);
    }

    /// Takes a question in; what our own names answer is answered at once.
    pub(crate) fn take(&self, bytes: &[u8], way: Way) -> Step {
        let Ok(request) = Message::from_vec(bytes) else {
            return reply::to_garbage(bytes).map_or(Step::Ignore, Step::Answer);
        };
        if !reply::is_request(&request) {
            return Step::Ignore;
        }
        match self.inside(&request) {
            Ok(answer) => reply::bytes(&request, answer, way).map_or(Step::Ignore, Step::Answer),
            Err(Outward { resolver, gate, permit }) => {
                Step::Ask(Errand { request, way, resolver, gate, _permit: permit })
            }
        }
    }

    /// The answer that needs nobody outside, or the one who is to be asked there.
    fn inside(&self, request: &Message) -> Result<Message, Outward> {
        let question = match (reply::fault(request), request.queries.first()) {
            (None, Some(question)) => question,
            (fault, _) => return Ok(reply::to(request, fault.unwrap_or(ResponseCode::FormErr))),
        };
        let sight = self.sight();
        if let Some(records) = lookup::records(&self.names, &sight.view, question) {
            return Ok(reply::with_records(request, records));
        }
        let Some(resolver) = &sight.resolver else {
            return Ok(reply::to(request, ResponseCode::ServFail));
        };
        let asks_address = matches!(question.query_type, RecordType::A | RecordType::AAAA);
        if sight.view.dotless == Dotless::Kept && asks_address && question.name.num_labels() <= 1 {
            return Ok(reply::to(request, ResponseCode::NoError));
        }
        let gate = sight.view.gate.clone();
        if gate.as_ref().is_some_and(|gate| !gated::admits(gate, question)) {
            return Ok(reply::to(request, ResponseCode::NXDomain));
        }
        // What a gate has to hear of takes its time, remembered or not.
        if gate.is_none()
            && let Some((found, age)) = resolver.remembered(&Question::of(request, question))
        {
            return Ok(reply::passed_on(request, &found, age));
        }
        match self.outside.clone().try_acquire_owned() {
            Ok(permit) => Err(Outward { resolver: resolver.clone(), gate, permit }),
            Err(_) => Ok(reply::to(request, ResponseCode::ServFail)),
        }
    }
}

impl Errand {
    /// Asks outside, and has the bytes of the answer.
    pub(crate) async fn run(self) -> Option<Vec<u8>> {
        let question = Question::of(&self.request, self.request.queries.first()?);
        let found = match self.resolver.remembered(&question) {
            Some(found) if self.gate.is_some() => Some(found),
            _ => self.resolver.resolve(question).await.map(|found| (found, 0)),
        };
        let mut answer = match found {
            Some((found, age)) => reply::passed_on(&self.request, &found, age),
            None => reply::to(&self.request, ResponseCode::ServFail),
        };
        if let Some(gate) = self.gate {
            answer = gated::pass(gate, answer).await?;
        }
        reply::bytes(&self.request, answer, self.way)
    }
}
