//! The words for what a check finds.

use super::{Fault, Report};
use archive::Difference;
use base::Digest;

/// Differences of one layer that are told one by one.
const TOLD: usize = 5;

/// Whether a fault was mended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Left,
    Mended,
}

impl Report {
    pub(super) fn blob(&mut self, blob: &Digest, wrong: String, outcome: Outcome) {
        self.fault(format!("blob {blob}"), wrong, outcome);
    }

    pub(super) fn layer(&mut self, layer: &Digest, wrong: String, outcome: Outcome) {
        self.fault(format!("layer {layer}"), wrong, outcome);
    }

    pub(super) fn fault(&mut self, what: String, wrong: String, outcome: Outcome) {
        self.faults.push(Fault { what, wrong, mended: outcome == Outcome::Mended });
    }
}

/// `bin/sh has other content, etc/x is missing and 7 more`
pub fn differences(found: &[Difference]) -> String {
    let told = found.iter().take(TOLD).map(|difference| {
        let path = String::from_utf8_lossy(&difference.path);
        format!("{} {}", if path.is_empty() { "/" } else { &path }, difference.what)
    });
    let mut text = told.collect::<Vec<_>>().join(", ");
    if found.len() > TOLD {
        text.push_str(&format!(" and {} more", found.len() - TOLD));
    }
    text
}
