//! `--chmod`: numbers, or words as chmod(1) knows them.

use crate::{Error, Result};

/// What the permission bits become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Chmod {
    Bits(u32),
    Words(Vec<Change>),
}

/// `u+rwX`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change {
    /// The bits of those who are meant.
    who: u32,
    action: Action,
    /// r, w and x for everybody, setuid and setgid, sticky.
    bits: u32,
    /// `X`: x for folders, and where somebody has it.
    x_if_any: Any,
    /// Bits copied from user, group or others.
    like: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Any {
    No,
    Yes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Add,
    Remove,
    Set,
}

impl Chmod {
    pub fn parse(text: &str) -> Result<Chmod> {
        if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
            let bits = u32::from_str_radix(text, 8).ok().filter(|bits| *bits <= 0o7777);
            return bits.map(Chmod::Bits).ok_or_else(|| wrong(text));
        }
        let mut changes = Vec::new();
        for clause in text.split(',') {
            clauses(clause, &mut changes).ok_or_else(|| wrong(text))?;
        }
        Ok(Chmod::Words(changes))
    }

    /// The bits of a file that has `mode` now.
    pub fn apply(&self, mode: u32, is_folder: bool) -> u32 {
        match self {
            Chmod::Bits(bits) => *bits,
            Chmod::Words(changes) => changes.iter().fold(mode, |mode, change| change.apply(mode, is_folder)),
        }
    }
}

fn wrong(text: &str) -> Error {
    Error::Invalid(format!("invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777"))
}

fn clauses(clause: &str, changes: &mut Vec<Change>) -> Option<()> {
    let start = clause.find(['+', '-', '='])?;
    let mut who = 0;
    for letter in clause[..start].chars() {
        who |= match letter {
            'u' => 0o4700,
            'g' => 0o2070,
            'o' => 0o1007,
            'a' => 0o7777,
            _ => return None,
        };
    }
    let who = if who == 0 { 0o7777 } else { who };
    let mut letters = clause[start..].chars().peekable();
    while let Some(sign) = letters.next() {
        let action = match sign {
            '+' => Action::Add,
            '-' => Action::Remove,
            '=' => Action::Set,
            _ => return None,
        };
        let mut change = Change { who, action, bits: 0, x_if_any: Any::No, like: None };
        while let Some(letter) = letters.next_if(|letter| !matches!(letter, '+' | '-' | '=')) {
            match letter {
                'r' => change.bits |= 0o444,
                'w' => change.bits |= 0o222,
                'x' => change.bits |= 0o111,
                's' => change.bits |= 0o6000,
                't' => change.bits |= 0o1000,
                'X' => change.x_if_any = Any::Yes,
                'u' => change.like = Some(6),
                'g' => change.like = Some(3),
                'o' => change.like = Some(0),
                _ => return None,
            }
        }
        changes.push(change);
    }
    Some(())
}

impl Change {
    fn apply(self, mode: u32, is_folder: bool) -> u32 {
        let mut bits = self.bits;
        if self.x_if_any == Any::Yes && (is_folder || mode & 0o111 != 0) {
            bits |= 0o111;
        }
        if let Some(shift) = self.like {
            let three = (mode >> shift) & 7;
            bits |= three << 6 | three << 3 | three;
        }
        let bits = bits & (self.who | 0o1000 & self.who);
        match self.action {
            Action::Add => mode | bits,
            Action::Remove => mode & !bits,
            Action::Set => mode & !(self.who & 0o777) | bits,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_numbers_or_words() {
        let applied =
            |text: &str, mode: u32, folder: bool| Chmod::parse(text).map(|chmod| chmod.apply(mode, folder)).ok();
        for (text, mode, folder, expected) in [
            ("755", 0o600, false, Some(0o755)),
            ("4711", 0o600, false, Some(0o4711)),
            ("u+x", 0o644, false, Some(0o744)),
            ("u=rwX,go=rX", 0o600, true, Some(0o755)),
            ("u=rwX,go=rX", 0o600, false, Some(0o644)),
            ("+x", 0o644, false, Some(0o755)),
            ("a-w", 0o666, false, Some(0o444)),
            ("g=u", 0o640, false, Some(0o660)),
            ("go-rwx", 0o777, false, Some(0o700)),
            ("u+s", 0o755, false, Some(0o4755)),
            ("99", 0, false, None),
            ("17777", 0, false, None),
            ("", 0, false, None),
            ("u", 0, false, None),
            ("q+x", 0, false, None),
            ("u+q", 0, false, None),
        ] {
            assert_eq!(applied(text, mode, folder), expected, "{text}");
        }
    }
}
