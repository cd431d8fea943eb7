//! Parts of the API that this engine does not have yet: each says so, so that no client waits or guesses.

use crate::status::Refusal;

/// 501
pub fn not_yet(what: &str) -> Refusal {
    Refusal::unsupported(format!("{what} is not supported by this engine yet"))
}
