//! What the cache takes up, and what of it goes.

use crate::builds::Builds;
use crate::progress::at;
use crate::{Error, Result, status};
use bollard_buildkit_proto::moby::buildkit::v1::{DiskUsageRequest, DiskUsageResponse, PruneRequest, UsageRecord};
use build::cache::{Filter, Space};
use build::{Kept, Prune, Record};
use std::collections::BTreeSet;
use std::sync::Arc;
use tonic::Status;

async fn blocking<T: Send + 'static>(
    builds: &Arc<Builds>,
    work: impl FnOnce(&Builds) -> Result<T> + Send + 'static,
) -> std::result::Result<T, Status> {
    let builds = builds.clone();
    let done = tokio::task::spawn_blocking(move || work(&builds)).await;
    let done = done.unwrap_or_else(|_| Err(Error::Internal("the engine's log tells more".to_owned())));
    done.map_err(|error| status::plain(&error))
}

pub(super) async fn list(
    builds: &Arc<Builds>,
    asked: DiskUsageRequest,
) -> std::result::Result<DiskUsageResponse, Status> {
    blocking(builds, move |builds| {
        let (records, filters) = (builds.house.builder()?.usage()?, filters(&asked.filter)?);
        let old = |record: &Record| asked.age_limit <= 0 || unused(record) >= asked.age_limit / 1_000_000;
        let fits = |record: &&Record| old(record) && fits(&filters, record);
        Ok(DiskUsageResponse { record: records.iter().filter(fits).map(wire).collect() })
    })
    .await
}

/// What went, as it was before.
pub(super) async fn prune(builds: &Arc<Builds>, asked: PruneRequest) -> std::result::Result<Vec<UsageRecord>, Status> {
    blocking(builds, move |builds| {
        let builder = builds.house.builder()?;
        let before = builder.usage()?;
        let pruned = builder.prune(&meant(&asked)?)?;
        let gone: BTreeSet<&String> = pruned.ids.iter().collect();
        Ok(before.iter().filter(|record| gone.contains(&record.id)).map(wire).collect())
    })
    .await
}

/// What a client means.
fn meant(asked: &PruneRequest) -> Result<Prune> {
    let bytes = |bytes: i64| u64::try_from(bytes).unwrap_or(0);
    let unused_since = (asked.keep_duration > 0).then(|| now() - asked.keep_duration / 1_000_000);
    let space = Space::of(bytes(asked.reserved_space), bytes(asked.max_used_space), bytes(asked.min_free_space));
    Ok(Prune { all: asked.all, unused_since, space, filters: filters(&asked.filter)? })
}

fn filters(texts: &[String]) -> Result<Vec<Filter>> {
    Ok(texts.iter().map(|text| text.parse()).collect::<build::Result<_>>()?)
}

fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// Milliseconds since it was used.
fn unused(record: &Record) -> i64 {
    now().saturating_sub(record.used_at)
}

fn fits(filters: &[Filter], record: &Record) -> bool {
    filters.is_empty() || filters.iter().any(|filter| filter.fits(record))
}

fn wire(record: &Record) -> UsageRecord {
    UsageRecord {
        id: record.id.clone(),
        mutable: record.is_mutable(),
        in_use: record.in_use == Kept::Yes,
        size: i64::try_from(record.size).unwrap_or(i64::MAX),
        created_at: Some(at(record.made_at)),
        last_used_at: Some(at(record.used_at)),
        usage_count: i64::try_from(record.uses).unwrap_or(i64::MAX),
        description: record.description.clone(),
        record_type: record.kind.name().to_owned(),
        parents: record.parents.clone(),
        shared: record.shared == Kept::Yes,
        ..UsageRecord::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_make_no_sense_mean_nothing() {
        let asked = PruneRequest {
            keep_duration: i64::MIN,
            reserved_space: -1,
            max_used_space: i64::MIN,
            min_free_space: -1,
            ..PruneRequest::default()
        };
        let prune = meant(&asked).expect("a prune");
        assert_eq!((prune.space, prune.unused_since), (Space::default(), None));
        let filtered = |text: &str| PruneRequest { filter: vec![text.to_owned()], ..PruneRequest::default() };
        assert_eq!(meant(&filtered("id==x")).expect("a prune").filters.len(), 1);
        assert!(meant(&filtered("nothing==x")).is_err());
    }
}
