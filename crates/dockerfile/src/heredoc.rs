//! Heredocs: which words of an instruction announce one, and what its text is.

use crate::expand::{Quotes, heredoc_words, raw_words};
use crate::{Error, Heredoc};

impl Heredoc {
    /// `3<<-"NAME"`; `None` for a word that is none.
    pub(crate) fn announced(word: &str) -> Result<Option<Heredoc>, Error> {
        let Some((descriptor, rest)) = word.split_once("<<") else { return Ok(None) };
        if !descriptor.bytes().all(|b| b.is_ascii_digit()) {
            return Ok(None);
        }
        let (chomp, rest) = rest.strip_prefix('-').map_or((false, rest), |rest| (true, rest));
        let name = rest.trim_start_matches(['\t', '\n', '\u{c}', '\r', ' ']);
        if name.is_empty() || name.contains('<') {
            return Ok(None);
        }
        let bare = heredoc_words(name, Quotes::Taken)?;
        let [bare] = bare.as_slice() else { return Ok(None) };
        let kept = heredoc_words(name, Quotes::Kept)?;
        let quotes = |text: &str| text.matches(['\'', '"']).count();
        Ok(Some(Heredoc {
            name: bare.clone(),
            content: String::new(),
            expand: kept.iter().map(|word| quotes(word)).sum::<usize>() == quotes(bare),
            chomp,
            descriptor: descriptor.parse().unwrap_or_default(),
        }))
    }

    /// The heredocs that an instruction announces. Unbalanced quotes announce none: the shell will say what is wrong.
    pub(crate) fn of_line(line: &str) -> Result<Vec<Heredoc>, Error> {
        if !line.contains("<<") {
            return Ok(Vec::new());
        }
        let words = raw_words(line).unwrap_or_default();
        words.iter().filter_map(|word| Heredoc::announced(word).transpose()).collect()
    }

    /// The content as a command or a file gets it: `<<-` takes the tabs from the beginnings of lines.
    pub fn text(&self) -> String {
        if self.chomp { chomped(&self.content) } else { self.content.clone() }
    }
}

/// `text` without tabs at the beginnings of lines.
pub(crate) fn chomped(text: &str) -> String {
    text.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(line: &str) -> Vec<String> {
        Heredoc::of_line(line).unwrap().into_iter().map(|heredoc| heredoc.name).collect()
    }

    #[test]
    fn finds_the_heredocs_of_a_line() {
        assert_eq!(names("RUN <<EOF cat"), ["EOF"]);
        assert_eq!(names("RUN 3<<A <<-'B' << C cat"), ["A", "B", "C"]);
        assert_eq!(names("RUN cat <<<word && x <<$Y"), ["$Y"]);
        assert_eq!(names("RUN echo '<<EOF' \"<<A\" \\<<B"), Vec::<String>::new());
        assert_eq!(names("RUN echo it's <<EOF"), Vec::<String>::new());
    }

    #[test]
    fn a_quoted_name_is_not_expanded() {
        let expands = |word| Heredoc::announced(word).unwrap().unwrap().expand;
        assert!(expands("<<EOF"));
        assert!(!expands("<<'EOF'"));
        assert!(!expands("<<\"E\"OF"));
    }

    #[test]
    fn tabs_go_with_a_dash() {
        let heredoc = Heredoc { content: "\t\ta\n\tb\n c\n".into(), ..Heredoc::announced("<<-E").unwrap().unwrap() };
        assert_eq!(heredoc.text(), "a\nb\n c\n");
    }
}
