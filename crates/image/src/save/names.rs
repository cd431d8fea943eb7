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
            add(catalog, &Found::Name { full: full.clone(), id: name.id }, all)?;
            found = true;
        }
        if found {
            return Ok(());
        }
    }
    match catalog.find(text) {
        Ok(found) => add(catalog, &found, all),
        Err(Error::NotFound(_)) if parsed.is_ok_and(|r| r.tag.is_some() || r.digest.is_some()) => {
            Err(Error::NoReference)
        }
        Err(error) => Err(error),
    }
}

fn add(catalog: &Catalog, found: &Found, all: &mut Vec<Wanted>) -> Result<(), Error> {
    let id = found.id();
    let record = catalog.records.get(&id).ok_or_else(|| Error::NotFound(id.to_string()))?;
    let group = catalog.group_of(found);
    let index = group.map(|group| group.index.digest);
    let same =
        |wanted: &Wanted| wanted.record.id == id && wanted.group.as_ref().map(|group| group.index.digest) == index;
    let at = all.iter().position(same).unwrap_or(all.len());
    if at == all.len() {
        all.push(Wanted { record: Arc::clone(record), group: group.cloned(), names: Vec::new() });
    }
    let name = match found {
        Found::Name { full, .. } => Reference::parse(full).ok(),
        Found::Id(_) => None,
    };
    if let (Some(name), Some(wanted)) = (name.filter(|name| name.digest.is_none()), all.get_mut(at))
        && !wanted.names.contains(&name)
    {
        wanted.names.push(name);
    }
    Ok(())
}
