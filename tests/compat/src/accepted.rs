//! The differences that are meant: each is one replacement in what dockerd says, for one kind of line, with its reason.

/// Which dockerd says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// One older than 28: dhow says what 28.5 says.
    Old,
    /// 28 and later.
    New,
    /// Every dockerd: dhow differs by design.
    Any,
}

/// One difference.
#[derive(Debug)]
pub struct Accepted {
    pub of: Of,
    /// Words of the line it may appear in.
    pub line: &'static str,
    /// What dockerd says (with ids, times and addresses named).
    pub theirs: &'static str,
    /// What dhow says instead.
    pub ours: &'static str,
    pub reason: &'static str,
}

impl Accepted {
    /// Whether a dockerd of that major version says it.
    pub fn is_of(&self, version: u32) -> bool {
        matches!((self.of, version < 28), (Of::Any, _) | (Of::Old, true) | (Of::New, false))
    }
}

pub const ACCEPTED: &[Accepted] = &[];

/// What dhow must say where dockerd of that major `version` says `theirs` to `line`. The uses are marked in `used`.
pub fn expected(version: u32, line: &str, theirs: &str, used: &mut [bool]) -> String {
    let mut text = theirs.to_owned();
    for (accepted, used) in ACCEPTED.iter().zip(used) {
        if accepted.is_of(version) && line.contains(accepted.line) && text.contains(accepted.theirs) {
            text = text.replace(accepted.theirs, accepted.ours);
            *used = true;
        }
    }
    text
}
