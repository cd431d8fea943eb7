//! Compiled system call filters, each made once.

use crate::streams::lock;
use crate::{Error, Result};
use container::{Config, SeccompChoice};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// What a filter is compiled from: a profile of the user's, and capabilities.
type Key = (Option<String>, u64);

/// Filters by what they are compiled from.
#[derive(Debug, Default)]
pub(crate) struct Filters {
    made: Mutex<HashMap<Key, Arc<Vec<u8>>>>,
}

/// Custom profiles remembered at the most; the default ones are few.
const MOST: usize = 64;

impl Filters {
    /// The filter for a container with these capabilities; `None` when it runs without one.
    pub(crate) fn get(&self, config: &Config, capabilities: u64) -> Result<Option<Vec<u8>>> {
        let profile = match &config.seccomp {
            SeccompChoice::Unconfined => return Ok(None),
            SeccompChoice::Default if config.privileged => return Ok(None),
            SeccompChoice::Default => None,
            SeccompChoice::Profile(text) => Some(text.clone()),
        };
        let key = (profile, capabilities);
        if let Some(filter) = lock(&self.made).get(&key) {
            return Ok(Some(filter.as_ref().clone()));
        }
        let filter = Arc::new(compile(&key)?);
        let mut made = lock(&self.made);
        if made.len() >= MOST {
            made.clear();
        }
        made.insert(key, filter.clone());
        Ok(Some(filter.as_ref().clone()))
    }
}

fn compile((profile, capabilities): &Key) -> Result<Vec<u8>> {
    let rules = match profile {
        None => seccomp::default_profile(*capabilities),
        Some(text) => seccomp::parse_profile(text, *capabilities)?,
    };
    seccomp::compile(&rules).map_err(Error::from)
}
