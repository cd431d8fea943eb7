//! One pattern of an ignore file, and how a path is matched with it.

/// A compiled pattern. The frequent sorts need no walk through the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Glob {
    /// `a/b`
    Exact(String),
    /// `a/**`: what begins so.
    Prefix(String),
    /// `**/a` (also as a whole path), `**a`: what ends so.
    Suffix(String),
    General(General),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct General {
    /// The characters before the first token that is none.
    prefix: String,
    /// The characters after the last such token.
    suffix: String,
    /// The most characters in a row: a path without them cannot match.
    needle: String,
    tokens: Vec<Token>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Char(char),
    /// `?`: not a slash.
    One,
    /// `*`: no slash.
    Star,
    /// `**` or `**/`: nothing, or anything up to a slash.
    Folders,
    /// `**` at the end: anything.
    Rest,
    Class(Class),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Class {
    negated: bool,
    ranges: Vec<(char, char)>,
}

impl Class {
    fn has(&self, c: char) -> bool {
        self.ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != self.negated
    }
}

impl Glob {
    /// `None` for a class that is empty or not closed, and an escape at the end.
    pub fn parse(pattern: &str) -> Option<Glob> {
        let tokens = tokens(pattern)?;
        Some(match tokens.as_slice() {
            [Token::Rest] => Glob::Prefix(String::new()),
            [rest @ .., Token::Rest] if literal(rest).is_some() => Glob::Prefix(literal(rest)?),
            [Token::Folders, rest @ ..] if literal(rest).is_some() => {
                // With or without a slash behind the stars it makes a difference here.
                let slash = if pattern.starts_with("**/") { "/" } else { "" };
                Glob::Suffix(format!("{slash}{}", literal(rest)?))
            }
            all => match literal(all) {
                Some(text) => Glob::Exact(text),
                None => Glob::General(General::new(tokens)),
            },
        })
    }

    pub fn matches(&self, path: &str) -> bool {
        match self {
            Glob::Exact(text) => path == text,
            Glob::Prefix(text) => path.starts_with(text.as_str()),
            Glob::Suffix(text) => path.ends_with(text.as_str()) || text.strip_prefix('/') == Some(path),
            Glob::General(general) => general.matches(path),
        }
    }

    /// Whether something in `folder` may match; only a surely fruitless search is saved.
    pub fn may_match_below(&self, folder: &str) -> bool {
        let inside = |fixed: &str| {
            let common = fixed.len().min(folder.len());
            fixed.as_bytes()[..common] == folder.as_bytes()[..common]
                && (fixed.len() <= folder.len() || fixed.as_bytes()[folder.len()] == b'/')
        };
        match self {
            // A folder above brings back what lies in it, a path below itself.
            Glob::Exact(text) => inside(text) && (text.len() >= folder.len() || folder.as_bytes()[text.len()] == b'/'),
            Glob::Prefix(text) => inside(text),
            Glob::Suffix(_) => true,
            Glob::General(general) => inside(&general.prefix),
        }
    }
}

fn literal(tokens: &[Token]) -> Option<String> {
    let char = |token: &Token| match token {
        Token::Char(c) => Some(*c),
        _ => None,
    };
    tokens.iter().map(char).collect()
}

fn tokens(pattern: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        tokens.push(match c {
            '*' if rest.as_str().starts_with('*') => {
                rest.next();
                let after = rest.as_str();
                rest = after.strip_prefix('/').unwrap_or(after).chars();
                if rest.as_str().is_empty() { Token::Rest } else { Token::Folders }
            }
            '*' => Token::Star,
            '?' => Token::One,
            '\\' => Token::Char(rest.next()?),
            '[' => {
                let (class, after) = class(rest.as_str())?;
                rest = after.chars();
                Token::Class(class)
            }
            c => Token::Char(c),
        });
    }
    Some(tokens)
}

/// A class after its `[`, and what follows it.
fn class(text: &str) -> Option<(Class, &str)> {
    let (negated, mut text) = text.strip_prefix('^').map_or((false, text), |text| (true, text));
    let mut ranges = Vec::new();
    loop {
        if let (Some(after), false) = (text.strip_prefix(']'), ranges.is_empty()) {
            return Some((Class { negated, ranges }, after));
        }
        let (low, after) = class_char(text)?;
        let (high, after) = match after.strip_prefix('-') {
            Some(after) => class_char(after)?,
            None => (low, after),
        };
        ranges.push((low, high));
        text = after;
    }
}

fn class_char(text: &str) -> Option<(char, &str)> {
    let mut chars = text.chars();
    let c = match chars.next()? {
        '-' | ']' => return None,
        '\\' => chars.next()?,
        c => c,
    };
    Some((c, chars.as_str()))
}

impl General {
    fn new(tokens: Vec<Token>) -> General {
        let char = |token: &Token| match token {
            Token::Char(c) => Some(*c),
            _ => None,
        };
        let prefix = tokens.iter().map_while(char).collect();
        let suffix: Vec<char> = tokens.iter().rev().map_while(char).collect();
        let runs = tokens.split(|token| char(token).is_none()).filter_map(literal);
        let needle = runs.max_by_key(String::len).unwrap_or_default();
        General { prefix, suffix: suffix.into_iter().rev().collect(), needle, tokens }
    }

    fn matches(&self, path: &str) -> bool {
        if !path.starts_with(&self.prefix) || !path.ends_with(&self.suffix) || !path.contains(&self.needle) {
            return false;
        }
        let mut places = vec![false; self.tokens.len() + 1];
        let mut next = places.clone();
        self.enter(&mut places, 0);
        for c in path.chars() {
            next.fill(false);
            for (place, token) in self.tokens.iter().enumerate().filter(|(place, _)| places[*place]) {
                self.step(&mut next, (place, token), c);
            }
            std::mem::swap(&mut places, &mut next);
        }
        places[self.tokens.len()]
    }

    /// Comes to a place, and past tokens that may be empty.
    fn enter(&self, places: &mut [bool], mut place: usize) {
        while !std::mem::replace(&mut places[place], true) {
            if !matches!(self.tokens.get(place), Some(Token::Star | Token::Folders | Token::Rest)) {
                return;
            }
            place += 1;
        }
    }

    fn step(&self, next: &mut [bool], (place, token): (usize, &Token), c: char) {
        match token {
            Token::Char(wanted) if *wanted == c => self.enter(next, place + 1),
            Token::Class(class) if class.has(c) => self.enter(next, place + 1),
            Token::One if c != '/' => self.enter(next, place + 1),
            Token::Star if c != '/' => self.enter(next, place),
            Token::Rest if c != '\n' => self.enter(next, place),
            Token::Folders if c != '\n' => {
                // Once begun it goes on to a slash.
                next[place] = true;
                if c == '/' {
                    self.enter(next, place + 1);
                }
            }
            _ => {}
        }
    }
}
