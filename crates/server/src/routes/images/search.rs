//! `GET /images/search`: a registry's search.

use crate::app::App;
use crate::auth;
use crate::filters::Filters;
use crate::query::Query;
use crate::status::{self, Answer, Refusal};
use crate::stream::begun::Client;
use api::types::SearchResult;
use http::{HeaderMap, StatusCode};
use registry::Hit;

/// Hits unless told; the most that can be asked.
const USUAL: usize = 25;
const MOST: usize = 100;

pub async fn get(app: &App, query: &Query, headers: &HeaderMap) -> Answer {
    let filters = Filters::of(query, &["is-automated", "is-official", "stars"])?;
    let wanted = Wanted::of(&filters)?;
    let limit = limit(query)?;
    let (client, term, credentials) = (Client::default(), query.get("term").to_owned(), auth::of_headers(headers));
    let cancel = client.cancel();
    let hits = app.blocking(move |engine| engine.search(&term, limit, &credentials, &cancel)).await?;
    drop(client);
    let rows: Vec<SearchResult> = hits.into_iter().filter(|hit| wanted.has(hit)).map(row).collect();
    Ok(status::json(StatusCode::OK, &rows))
}

fn limit(query: &Query) -> Result<usize, Refusal> {
    match query.number("limit")? {
        None | Some(0) => Ok(USUAL),
        Some(limit) => usize::try_from(limit)
            .ok()
            .filter(|limit| *limit <= MOST)
            .ok_or_else(|| Refusal::invalid(format!("limit {limit} is outside the range of [1, {MOST}]"))),
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    official: Option<bool>,
    automated: Option<bool>,
    stars: u64,
}

impl Wanted {
    fn of(filters: &Filters) -> Result<Wanted, Refusal> {
        let mut stars = 0;
        for text in filters.get("stars") {
            let number: u64 = text.parse().map_err(|_| Refusal::invalid(format!("invalid filter 'stars={text}'")))?;
            stars = stars.max(number);
        }
        Ok(Wanted { official: filters.flag("is-official")?, automated: filters.flag("is-automated")?, stars })
    }

    /// Nothing is built automatically any longer.
    fn has(&self, hit: &Hit) -> bool {
        self.official.is_none_or(|wanted| hit.official == wanted)
            && self.automated != Some(true)
            && hit.stars >= self.stars
    }
}

fn row(hit: Hit) -> SearchResult {
    SearchResult {
        star_count: hit.stars,
        is_official: hit.official,
        name: hit.name,
        is_automated: false,
        description: hit.description,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query::of(&format!("/x?{text}").parse().expect("a uri")).expect("a query")
    }

    #[test]
    fn limits_are_dockers() {
        assert_eq!(limit(&query("")), Ok(25));
        assert_eq!(limit(&query("limit=100")), Ok(100));
        for text in ["limit=101", "limit=-1"] {
            assert!(limit(&query(text)).is_err_and(|r| r.message.contains("outside the range of [1, 100]")), "{text}");
        }
    }

    #[test]
    fn hits_are_filtered() {
        let hit = Hit { name: "a".into(), stars: 5, official: true, ..Hit::default() };
        assert!(Wanted { stars: 5, official: Some(true), automated: None }.has(&hit));
        assert!(!Wanted { stars: 6, ..Wanted::default() }.has(&hit));
        assert!(!Wanted { official: Some(false), ..Wanted::default() }.has(&hit));
        assert_eq!(
            serde_json::to_string(&row(hit)).expect("json"),
            r#"{"star_count":5,"is_official":true,"name":"a","is_automated":false,"description":""}"#
        );
    }
}
