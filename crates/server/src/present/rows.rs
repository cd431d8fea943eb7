//! Rows of `GET /containers/json` as text, kept: most containers have not changed since they were last listed.
//!
//! What changes by itself, how long a container is up, is left out of what is kept and put between its two parts each time.

use super::{state, summary};
use api::types::{ContainerSummary, MountPoint, SummaryHostConfig, SummaryNetworks};
use base::Id;
use engine::{Listed, Mark};
use serde::Serialize;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

/// The rows that were shown lately, each about as long as its text.
#[derive(Debug, Default)]
pub struct Rows(Mutex<HashMap<Id, Row>>);

#[derive(Debug)]
struct Row {
    mark: Mark,
    /// The text up to the sentence of its state, and what comes after that.
    parts: [Box<[u8]>; 2],
}

/// What comes after the sentence of the state.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Rest<'a> {
    host_config: &'a SummaryHostConfig,
    network_settings: &'a SummaryNetworks,
    mounts: &'a [MountPoint],
}

impl Rows {
    /// The list of those that are `shown`, `limit` at the most (0 is no limit), as JSON.
    pub fn list(&self, all: &[Listed], limit: usize, shown: impl Fn(&Listed) -> bool) -> serde_json::Result<Vec<u8>> {
        let now = summary::now();
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        forget(&mut rows, all);
        let most = if limit == 0 { usize::MAX } else { limit };
        let mut text = vec![b'['];
        for listed in all.iter().filter(|listed| shown(listed)).take(most) {
            if text.len() > 1 {
                text.push(b',');
            }
            put(&mut rows, listed, now, &mut text)?;
        }
        text.extend_from_slice(b"]\n");
        Ok(text)
    }
}

/// Those of containers that are gone.
fn forget(rows: &mut HashMap<Id, Row>, all: &[Listed]) {
    if rows.len() > all.len() {
        let here: HashSet<Id> = all.iter().map(Listed::id).collect();
        rows.retain(|id, _| here.contains(id));
    }
}

fn put(rows: &mut HashMap<Id, Row>, listed: &Listed, now: i64, text: &mut Vec<u8>) -> serde_json::Result<()> {
    let sentence = listed.look_at_state(|own| state::sentence(own, now));
    // One that changes right now is shown as it is at one instant.
    if let Some(row) = rows.get(&listed.id()).filter(|row| row.mark == listed.mark() && !listed.has_changed()) {
        return join(&row.parts, &sentence, text);
    }
    let whole = summary::of(&listed.snapshot(), now);
    let sentence = whole.status.clone();
    let row = Row { mark: listed.mark(), parts: parts(whole)? };
    join(&row.parts, &sentence, text)?;
    rows.insert(listed.id(), row);
    Ok(())
}

fn join([before, after]: &[Box<[u8]>; 2], sentence: &str, text: &mut Vec<u8>) -> serde_json::Result<()> {
    text.extend_from_slice(before);
    serde_json::to_writer(&mut *text, sentence)?;
    text.extend_from_slice(after);
    Ok(())
}

fn parts(mut row: ContainerSummary) -> serde_json::Result<[Box<[u8]>; 2]> {
    row.status.clear();
    let whole = serde_json::to_vec(&row)?;
    let ContainerSummary { host_config, network_settings, mounts, .. } = &row;
    let mut after = serde_json::to_vec(&Rest { host_config, network_settings, mounts })?;
    // In the row it is a comma.
    after[0] = b',';
    let before = whole.len().saturating_sub(after.len() + "\"\"".len());
    Ok([whole[..before].into(), after.into()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::types::Texts;

    #[test]
    fn a_row_put_together_is_the_row() {
        let labels =
            Texts::from([("Status".to_owned(), "\"\"".to_owned()), ("x".to_owned(), "\u{1f40b}\\".to_owned())]);
        let row = ContainerSummary { id: "a".into(), labels, state: "running".into(), ..ContainerSummary::default() };
        for status in ["", "Up 3 minutes", "Up \"2\" days"] {
            let whole = ContainerSummary { status: status.to_owned(), ..row.clone() };
            let mut text = Vec::new();
            join(&parts(whole.clone()).expect("json"), status, &mut text).expect("json");
            assert_eq!(String::from_utf8_lossy(&text), serde_json::to_string(&whole).expect("json"));
        }
    }
}
