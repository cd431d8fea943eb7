//! The text that Prometheus reads (Prometheus' exposition format 0.0.4).

use std::fmt::{Display, Write};

/// What a number is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    Counter,
    Gauge,
    Histogram,
}

/// The text, as far as it is written.
#[derive(Debug, Default)]
pub struct Page(String);

impl Page {
    /// What the lines after it are about.
    pub fn head(&mut self, name: &str, sort: Sort, help: &str) {
        let sort = match sort {
            Sort::Counter => "counter",
            Sort::Gauge => "gauge",
            Sort::Histogram => "histogram",
        };
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {sort}");
    }

    /// One number.
    pub fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (index, (key, text)) in labels.iter().enumerate() {
            self.0.push(if index == 0 { '{' } else { ',' });
            self.0.push_str(key);
            self.0.push_str("=\"");
            self.escaped(text);
            self.0.push('"');
        }
        self.0.push_str(if labels.is_empty() { "" } else { "}" });
        let _ = writeln!(self.0, " {value}");
    }

    /// A number that stands alone.
    pub fn one(&mut self, name: &str, sort: Sort, help: &str, value: impl Display) {
        self.head(name, sort, help);
        self.line(name, &[], value);
    }

    fn escaped(&mut self, text: &str) {
        for letter in text.chars() {
            match letter {
                '\\' => self.0.push_str("\\\\"),
                '"' => self.0.push_str("\\\""),
                '\n' => self.0.push_str("\\n"),
                letter => self.0.push(letter),
            }
        }
    }

    pub fn text(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_may_hold_anything() {
        let mut page = Page::default();
        page.head("a_total", Sort::Counter, "Things");
        page.line("a_total", &[("name", "x\"y\\z\n"), ("b", "")], 1.5);
        page.one("c", Sort::Gauge, "More", 7);
        assert_eq!(
            page.text(),
            "# HELP a_total Things\n# TYPE a_total counter\na_total{name=\"x\\\"y\\\\z\\n\",b=\"\"} 1.5\n# HELP c More\n# TYPE c gauge\nc 7\n"
        );
    }
}
