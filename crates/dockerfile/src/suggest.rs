//! "Did you mean": the nearest of the words that would have been right.

use std::cmp::Reverse;

/// Fewer edits than this make a suggestion.
const TOO_FAR: usize = 3;

/// Whether upper and lower case are different words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    Matters,
    /// The suggestion comes in the case of what was written.
    Follows,
}

/// The nearest of `options`; `None` when all are far off, or one is the word itself (then something else was wrong).
pub(crate) fn nearest<'a>(word: &str, options: impl IntoIterator<Item = &'a str>, case: Case) -> Option<String> {
    let fold = |text: &str| if case == Case::Follows { text.to_lowercase() } else { text.to_owned() };
    let wanted = fold(word);
    let mut best: Option<((usize, Reverse<usize>), String)> = None;
    for option in options {
        let option = fold(option);
        if option == wanted {
            return None;
        }
        // Of two as near the one that begins like the word.
        let begun = wanted.chars().zip(option.chars()).take_while(|(a, b)| a == b).count();
        let rank = (distance(&wanted, &option), Reverse(begun));
        if rank.0 < TOO_FAR && best.as_ref().is_none_or(|(best, _)| rank < *best) {
            best = Some((rank, option));
        }
    }
    best.map(|(_, option)| if case == Case::Follows { in_case_of(&option, word) } else { option })
}

fn in_case_of(option: &str, word: &str) -> String {
    match word {
        _ if word == word.to_lowercase() => option.to_lowercase(),
        _ if word == word.to_uppercase() => option.to_uppercase(),
        _ => option.to_owned(),
    }
}

/// Levenshtein's distance; words much longer than the options are only counted as far.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().abs_diff(b.len()) >= TOO_FAR {
        return TOO_FAR;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = corner + usize::from(x != y);
            corner = row[j + 1];
            row[j + 1] = replaced.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_nearest_word_in_the_case_of_what_was_written() {
        let names = ["RUN", "ENV", "ADD"];
        assert_eq!(nearest("RUNN", names, Case::Follows).as_deref(), Some("RUN"));
        assert_eq!(nearest("runn", names, Case::Follows).as_deref(), Some("run"));
        assert_eq!(nearest("Enb", names, Case::Follows).as_deref(), Some("env"));
        assert_eq!(nearest("SOMETHING", names, Case::Follows), None);
        assert_eq!(nearest("FR", ["ARG", "FROM"], Case::Follows).as_deref(), Some("FROM"));
    }

    #[test]
    fn suggests_nothing_for_a_word_that_is_right() {
        assert_eq!(nearest("bind", ["bind", "bing"], Case::Matters), None);
    }
}
