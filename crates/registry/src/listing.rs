//! Lists, page by page: tags, and what refers to a manifest.

use crate::error::{Error, Refusal};
use crate::hosts::{Capability, same_origin};
use crate::repository::{Inner, Repository};
use crate::session::{Ask, Session, Target};
use crate::setup;
use base::Digest;
use http::header::{ACCEPT, LINK};
use http::{HeaderMap, Method, StatusCode};
use oci::image::{Descriptor, Index, media};
use reqwest::Url;
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

/// Bytes of one page at most.
const LARGEST_PAGE: usize = 8 << 20;
const MOST_PAGES: usize = 1000;
const MOST_ENTRIES: usize = 1_000_000;
const PAGE: &str = "1000";

#[derive(Deserialize)]
struct Tags {
    tags: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Referrers {
    #[serde(default)]
    manifests: Vec<Value>,
}

impl Repository {
    /// All tags, as the registry orders them.
    pub fn tags(&self) -> Result<Vec<String>, Error> {
        self.run(async move |inner: Arc<Inner>| inner.tags().await)
    }

    /// What refers to a manifest, of one type or of all. Registries before OCI 1.1 have a tag for it.
    pub fn referrers(&self, digest: &Digest, artifact_type: Option<&str>) -> Result<Index, Error> {
        let (digest, artifact_type) = (*digest, artifact_type.map(str::to_owned));
        self.run(async move |inner: Arc<Inner>| inner.referrers(&digest, artifact_type.as_deref()).await)
    }
}

impl Inner {
    /// Of the first endpoint that has the repository, as a pull takes it.
    async fn tags(&self) -> Result<Vec<String>, Error> {
        let sessions = self.sessions(Capability::Resolve).await?;
        self.ask_each(sessions, |_, session| self.tags_at(session)).await
    }

    async fn tags_at(&self, session: Session) -> Result<Vec<String>, Error> {
        let mut ask = Ask::new(Method::GET, self.at("tags/list")).scope(self.scope("pull"));
        ask.query = vec![("n", PAGE.to_owned())];
        let mut all = Vec::new();
        let mut pages = Pages { session, next: Some(ask), seen: 0 };
        while let Some(page) = pages.next(self).await? {
            let page: Tags = serde_json::from_slice(&page).map_err(|_| self.unreadable("list of tags"))?;
            all.extend(page.tags.unwrap_or_default());
            self.check_count(all.len())?;
        }
        Ok(all)
    }

    async fn referrers(&self, digest: &Digest, artifact_type: Option<&str>) -> Result<Index, Error> {
        let found = match self.referrers_by_api(digest, artifact_type).await {
            Err(Error::NotFound(_)) => self.referrers_by_tag(digest).await?,
            other => other?,
        };
        let wanted = |entry: &Value| artifact_type.is_none_or(|wanted| entry["artifactType"] == wanted);
        let manifests = found.into_iter().filter(wanted).map(serde_json::from_value::<Descriptor>);
        Ok(Index {
            schema_version: 2,
            media_type: Some(media::INDEX.to_owned()),
            manifests: manifests.collect::<Result<_, _>>().map_err(|_| self.unreadable("list of referrers"))?,
            annotations: Default::default(),
        })
    }

    async fn referrers_by_api(&self, digest: &Digest, artifact_type: Option<&str>) -> Result<Vec<Value>, Error> {
        let session = self.pushing().await?;
        let ask = Ask::new(Method::GET, self.at(&format!("referrers/{digest}"))).scope(self.scope("pull"));
        let mut ask = ask.header(ACCEPT, media::INDEX)?;
        ask.query = artifact_type.map(|wanted| ("artifactType", wanted.to_owned())).into_iter().collect();
        let mut all = Vec::new();
        let mut pages = Pages { session, next: Some(ask), seen: 0 };
        while let Some(page) = pages.next(self).await? {
            let page: Referrers = serde_json::from_slice(&page).map_err(|_| self.unreadable("list of referrers"))?;
            all.extend(page.manifests);
            self.check_count(all.len())?;
        }
        Ok(all)
    }

    /// OCI distribution-spec 1.1, "Referrers Tag Schema".
    async fn referrers_by_tag(&self, digest: &Digest) -> Result<Vec<Value>, Error> {
        match self.fetch(&format!("sha256-{}", digest.hex())).await {
            Ok(document) => {
                let page: Result<Referrers, _> = serde_json::from_slice(&document.bytes);
                Ok(page.map_err(|_| self.unreadable("list of referrers"))?.manifests)
            }
            Err(Error::NotFound(_)) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    fn check_count(&self, count: usize) -> Result<(), Error> {
        if count > MOST_ENTRIES {
            return Err(Error::Invalid(format!("{} lists more than {MOST_ENTRIES} entries", self.familiar())));
        }
        Ok(())
    }

    fn unreadable(&self, what: &str) -> Error {
        Error::Invalid(format!("cannot read the {what} of {}: it is not as the specification says", self.familiar()))
    }
}

/// Pages that `Link` headers chain.
struct Pages {
    session: Session,
    next: Option<Ask>,
    seen: usize,
}

impl Pages {
    async fn next(&mut self, repository: &Inner) -> Result<Option<Vec<u8>>, Error> {
        let Some(ask) = self.next.take() else { return Ok(None) };
        self.seen += 1;
        if self.seen > MOST_PAGES {
            return Err(Error::Invalid(format!("{} lists more than {MOST_PAGES} pages", repository.familiar())));
        }
        let response = self.session.send(&ask).await?;
        if response.status() == StatusCode::NOT_FOUND || !response.status().is_success() {
            return Err(repository.unread(Refusal::read(response).await, None));
        }
        let here = response.url().clone();
        if let Some(next) = next_page(response.headers(), &here) {
            self.next = Some(Ask { target: Target::Url(next), query: Vec::new(), ..ask });
        }
        Ok(Some(setup::body(response, LARGEST_PAGE, &repository.setup.patience).await?))
    }
}

/// RFC 8288: `</v2/a/tags/list?last=x&n=2>; rel="next"`. A page on another host is none of this list.
fn next_page(headers: &HeaderMap, here: &Url) -> Option<Url> {
    let links = headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    let next = links.flat_map(|line| line.split(",<").map(str::to_owned).collect::<Vec<_>>()).find_map(|link| {
        let (target, parameters) = link.trim().trim_start_matches('<').split_once('>')?;
        let is_next = parameters.split(';').any(|parameter| matches!(parameter.trim(), "rel=\"next\"" | "rel=next"));
        is_next.then(|| here.join(target).ok())?
    })?;
    (same_origin(&next, here) && next != *here).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_on_the_same_host() {
        let here = Url::parse("https://r.example/v2/a/tags/list?n=2").unwrap();
        let next = |link: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(LINK, http::HeaderValue::from_static(link));
            next_page(&headers, &here).map(String::from)
        };
        let expected = Some("https://r.example/v2/a/tags/list?last=b&n=2".to_owned());
        assert_eq!(next("</v2/a/tags/list?last=b&n=2>; rel=\"next\""), expected);
        assert_eq!(next("<list?last=b&n=2>; rel=next"), expected);
        assert_eq!(next("<https://evil.example/v2/a/tags/list>; rel=\"next\""), None);
        assert_eq!(next("</v2/a/tags/list?last=b>; rel=\"prev\""), None);
        assert_eq!(next("nonsense"), None);
    }
}
