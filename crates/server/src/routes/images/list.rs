//! `GET /images/json`

use crate::app::App;
use crate::filters::Filters;
use crate::present;
use crate::query::Query;
use crate::status::{self, Answer, Refusal};
use crate::version::ApiVersion;
use crate::{pattern, times, words};
use axum::extract::State;
use http::StatusCode;
use image::Image;

const FILTERS: [&str; 7] = ["before", "dangling", "label", "label!", "reference", "since", "until"];

pub async fn get(State(app): State<App>, version: ApiVersion, query: Query) -> Answer {
    let filters = Filters::of(&query, &FILTERS)?;
    let images = app
        .blocking(move |engine| {
            let mut images = engine.images().map_err(Refusal::from)?;
            images.sort_by_key(|image| std::cmp::Reverse(present::image::created(image)));
            choose(images, &filters)
        })
        .await?;
    let rows: Vec<_> = images.iter().map(|image| present::image::summary(image, !version.has(44))).collect();
    Ok(status::json(StatusCode::OK, &rows))
}

fn choose(images: Vec<Image>, filters: &Filters) -> Result<Vec<Image>, Refusal> {
    let dangling = filters.flag("dangling")?;
    let (before, since) = (age(&images, filters, "before")?, age(&images, filters, "since")?);
    let until = filters.get("until").first().map(|text| times::read("until", text)).transpose()?.flatten();
    let keep = |image: &Image| {
        let created = present::image::created(image);
        let labels = &image.config.config.labels;
        before.is_none_or(|time| created < time)
            && since.is_none_or(|time| created > time)
            && until.is_none_or(|time| created < time / 1_000_000_000)
            && dangling.is_none_or(|wanted| image.tags.is_empty() == wanted)
            && filters.labels("label", labels)
            && filters.without_labels(labels)
            && (!filters.has("reference") || image.tags.iter().any(|tag| is_reference(filters, tag)))
    };
    Ok(images.into_iter().filter(keep).collect())
}

fn age(images: &[Image], filters: &Filters, key: &str) -> Result<Option<i64>, Refusal> {
    let Some(name) = filters.get(key).first() else { return Ok(None) };
    let wanted = words::familiar(name);
    let is_it = |image: &&Image| {
        image.tags.contains(&wanted) || words::short(&image.id.to_string()).starts_with(words::short(name))
    };
    let found = images.iter().find(is_it);
    found
        .map(|image| Some(present::image::created(image)))
        .ok_or_else(|| Refusal::not_found(format!("No such image: {wanted}")))
}

/// `reference=busybox*`: a glob over the name, with or without its tag.
fn is_reference(filters: &Filters, tag: &str) -> bool {
    let name = tag.rsplit_once(':').map_or(tag, |(name, _)| name);
    filters.get("reference").iter().any(|glob| {
        let pattern = pattern::Pattern::of_glob(glob);
        pattern.is_in(tag) || pattern.is_in(name)
    })
}
