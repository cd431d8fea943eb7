//! `POST /build/local`: a build of the command line's. Its files are read where they lie on the engine's own machine, or come behind
//! the request. Who may speak to this socket may mount any folder of the machine, so he may build of any.

mod layout;
mod outputs;
mod request;
mod sources;
mod told;

use super::asked;
use crate::app::App;
use crate::query::Query;
use crate::status::{Answer, Refusal};
use crate::stream::begun::{self, Client, Teller};
use crate::stream::body;
use crate::version::ApiVersion;
use api::types::{BuildEvent, LocalBuild, WITH_FILES};
use axum::body::Body;
use axum::extract::State;
use build::cache::Export;
use build::progress::{Event, Watch};
use build::{Builder, Exported, Inquiry, Request};
use http::HeaderMap;
use outputs::Stream;
use registry::Cancel;
use sources::Local;
use std::collections::BTreeMap;

pub async fn post(State(app): State<App>, version: ApiVersion, query: Query, headers: HeaderMap, sent: Body) -> Answer {
    // No field here is Docker's, and names of secrets are the client's: nothing is spelled otherwise. Of a web page that has a
    // browser send a form to any address this is not.
    let kinds = ["application/json", WITH_FILES];
    if headers.get(http::header::CONTENT_TYPE).is_none_or(|kind| !kinds.iter().any(|known| kind == known)) {
        return Err(Refusal::invalid("unsupported Content-Type header: must be 'application/json'"));
    }
    let client = Client::default();
    let cancel = client.cancel();
    let keys = asked::Headers::of(&headers);
    let own = app.clone();
    let mut sent = body::reader(sent);
    begun::progress(&app, client, move |_, teller| {
        let local = request::description(&mut sent)?;
        let _cancellable = (!local.id.is_empty()).then(|| own.cancellable(&local.id, cancel.clone()));
        let asked = asked::request(&own, version, &query)?;
        let builder = own.builder()?;
        let mut request = request::request(asked, &local)?;
        if let Some(right) = request.entitlements.beyond(&own.options().rights) {
            return Err(Refusal::invalid(format!(
                "{right} is not allowed by the engine's configuration (builder.entitlements)"
            )));
        }
        let sources = Local::of(&builder, &local, (&mut sent, &cancel))?;
        // The rest of what was sent is nobody's; read to its end, so that the client gets to the answer.
        drop(sent);
        let dockerfile = sources.dockerfile(&builder, &local, &cancel)?;
        request.dockerfile.clone_from(&dockerfile);
        let door = Door { builder: &builder, local: &local, teller, keys: &keys, cancel: &cancel };
        door.go(&request, sources)
    })
    .await
}

/// One build, with its client at the other end.
struct Door<'a> {
    builder: &'a Builder,
    local: &'a LocalBuild,
    teller: &'a Teller,
    keys: &'a asked::Headers,
    cancel: &'a Cancel,
}

impl Door<'_> {
    fn go(&self, request: &Request, sources: Local) -> Result<(), Refusal> {
        let text = String::from_utf8_lossy(&request.dockerfile).into_owned();
        let sources = sources.looking(self.engine(), self.teller, self.local.debug);
        let done = match &self.local.call {
            Some(call) => self.answer(call, request, &sources),
            None => self.build(request, &sources, &text),
        };
        match done {
            Ok(last) => self.teller.tell(&last),
            Err(error) => self.teller.tell(&told::failed(&error, &text, self.local)),
        }
        Ok(())
    }

    fn engine(&self) -> engine::Engine {
        self.builder.engine().clone()
    }

    fn answer(&self, call: &str, request: &Request, sources: &Local) -> build::Result<BuildEvent> {
        let unknown = || build::Error::Invalid(format!("unknown method {call:?} of a call"));
        let inquiry = Inquiry::named(call).ok_or_else(unknown)?;
        let asked = (request, self.local.name.as_str());
        let found = build::inquire(self.builder, inquiry, asked, (sources, Some(self.keys)), self.cancel)?;
        Ok(BuildEvent::Answer { json: found.json, text: found.text, status: found.status })
    }

    fn build(&self, request: &Request, sources: &Local, text: &str) -> build::Result<BuildEvent> {
        let watch = Telling { teller: self.teller, local: self.local, text };
        let (outputs, exports) = (request::outputs(self.local)?, request::cache_exports(self.local)?);
        exports.iter().try_for_each(Export::check)?;
        let solved = self.builder.solve(request, (sources, self.keys), &watch, self.cancel)?;
        let mut last = Exported::default();
        let mut response = BTreeMap::new();
        for (number, output) in outputs.iter().enumerate() {
            let stream = Stream::new(number, self.teller, self.builder);
            let done = self.builder.export(&solved, output, (&stream, self.keys), &watch, self.cancel)?;
            stream.end()?;
            response.extend(done.response.clone());
            last.image = done.image.or(last.image);
            last.names.extend(done.names);
        }
        for export in exports {
            let may_fail = export.may_fail()?;
            match self.builder.export_cache(&solved, &export, (sources, self.keys), &watch, self.cancel) {
                Ok(more) => response.extend(more),
                Err(error) if may_fail && !error.is_cancelled() => {
                    watch.tell(Event::Warning { lines: None, text: base::chain(&error) });
                }
                Err(error) => return Err(error),
            }
        }
        let image = last.image.map(|image| image.to_string()).unwrap_or_default();
        Ok(BuildEvent::Built { image, names: last.names, response })
    }
}

/// Tells the client what happens.
struct Telling<'a> {
    teller: &'a Teller,
    local: &'a LocalBuild,
    text: &'a str,
}
