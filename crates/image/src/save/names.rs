//! Which images are meant, and which of their names go into the archive (moby, image/tarexport, `parseNames`).

use super::Wanted;
use crate::catalog::{Catalog, Found};
use crate::reference::Reference;
use crate::{Error, Store};
use base::Digest;
use std::sync::Arc;

/// The images, each once, in the order in which they were first named.
pub fn wanted(store: &Store, names: &[String]) -> Result<Vec<Wanted>, Error> {
    if let Some(host) = names.iter().find(|name| store.is_host(name)) {
        return Err(Error::NotExportable { name: host.clone(), verb: "saved" });
    }
    store.look(|catalog| {
        let mut all = Vec::new();
        for name in names {
            one(catalog, name, &mut all)?;
        }
        Ok(all)
    })
}

fn one(catalog: &Catalog, text: &str, all: &mut Vec<Wanted>) -> Result<(), Error> {
    let parsed = Reference::parse(text);
    if let Ok(reference) = &parsed
        && reference.tag.is_none()
        && reference.digest.is_none()
        && text.parse::<Digest>().is_err()
    {
        let same = |full: &&String| Reference::parse(full).is_ok_and(|other| other.name() == reference.name());
        let mut found = false;
        for (full, name) in catalog.names.iter().filter(|(full, _)| same(full)) {
            add(catalog, &name.id, Reference::parse(full).ok(), all)?;
            found = true;
        }
        if found {
            return Ok(());
        }
    }
    match catalog.find(text) {
        Ok(Found::Name { full, id }) => add(catalog, &id, Reference::parse(&full).ok(), all),
        Ok(Found::Id(id)) => add(catalog, &id, None, all),
        Err(Error::NotFound(_)) if parsed.is_ok_and(|r| r.tag.is_some() || r.digest.is_some()) => {
            Err(Error::NoReference)
        }
        Err(error) => Err(error),
    }
}

fn add(catalog: &Catalog, id: &Digest, name: Option<Reference>, all: &mut Vec<Wanted>) -> Result<(), Error> {
    let record = catalog.records.get(id).ok_or_else(|| Error::NotFound(id.to_string()))?;
    let at = all.iter().position(|wanted| wanted.record.id == *id).unwrap_or(all.len());
    if at == all.len() {
        all.push(Wanted { record: Arc::clone(record), names: Vec::new() });
    }
    if let (Some(name), Some(wanted)) = (name.filter(|name| name.digest.is_none()), all.get_mut(at))
        && !wanted.names.contains(&name)
    {
        wanted.names.push(name);
    }
    Ok(())
}
