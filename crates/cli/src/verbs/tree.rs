//! `images --tree`: images, and under each the platforms it is there for.

use rustix::termios::isatty;
use serde::Deserialize;

use crate::show::human;
use crate::stream::terminal;

/// One image of the answer.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Image {
    id: String,
    repo_tags: Option<Vec<String>>,
    repo_digests: Option<Vec<String>>,
    created: i64,
    size: i64,
    containers: i64,
    manifests: Option<Vec<Manifest>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Manifest {
    #[serde(rename = "ID")]
    id: String,
    available: bool,
    kind: String,
    size: Sizes,
    image_data: Option<ImageData>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Sizes {
    total: i64,
    content: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct ImageData {
    platform: Platform,
    containers: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Platform {
    os: String,
    architecture: String,
    variant: String,
}

/// Where the tree is drawn.
#[derive(Debug, Clone, Copy)]
pub struct Paper {
    pub width: usize,
    /// Colours are seen.
    pub coloured: bool,
}

/// One line of the table below its name.
#[derive(Debug)]
struct Details {
    id: String,
    disk: String,
    content: String,
    in_use: bool,
}

const SPACING: usize = 3;
const TITLES: [&str; 5] = ["IMAGE", "ID", "DISK USAGE", "CONTENT SIZE", "EXTRA"];

impl Paper {
    /// This program's stdout.
    pub fn here() -> Paper {
        let coloured = isatty(rustix::stdio::stdout());
        let width = terminal::size().map_or(80, |(_, columns)| usize::from(columns)).max(20);
        Paper { width, coloured }
    }

    /// `text` in one of the terminal's ways (`1` bold, `94` blue).
    fn painted(self, way: &str, text: &str) -> String {
        if self.coloured { format!("\x1b[{way}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// The whole page.
pub fn render(mut images: Vec<Image>, all: bool, paper: Paper) -> String {
    images.retain(|image| all || !image.is_dangling());
    images.sort_by_key(|image| std::cmp::Reverse(image.created));
    let table = Table::for_images(&images, paper);
    let mut text = paper.painted("93", WARNING);
    text.push('\n');
    text.push_str(&legend(paper));
    text.push_str("\n\n");
    text.push_str(&table.heading());
    let spaced = images.iter().any(|image| image.platforms().next().is_some());
    for image in &images {
        text.push_str(&table.image(image, spaced));
    }
    text
}

const WARNING: &str = "WARNING: This is an experimental feature. The output may change and shouldn't be depended on.";

/// What the letters under `EXTRA` mean, at the right edge.
fn legend(paper: Paper) -> String {
    let plain = " Info ->  U In Use ";
    let indent = " ".repeat(paper.width.saturating_sub(plain.chars().count()));
    match paper.coloured {
        true => format!("{indent} Info -> {} In Use ", paper.painted("30;106", "U")),
        false => format!("{indent}{plain}"),
    }
}

impl Image {
    fn is_dangling(&self) -> bool {
        let none = |list: &Option<Vec<String>>, what: &str| {
            let list = list.as_deref().unwrap_or_default();
            list.is_empty() || (list.len() == 1 && list[0] == what)
        };
        none(&self.repo_tags, "<none>:<none>") && none(&self.repo_digests, "<none>@<none>")
    }

    fn platforms(&self) -> impl Iterator<Item = (&Manifest, &ImageData)> {
        let of_images = |manifest: &&Manifest| manifest.kind == "image";
        self.manifests.iter().flatten().filter(of_images).filter_map(|m| Some((m, m.image_data.as_ref()?)))
    }

    /// The longest name first.
    fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.repo_tags.iter().flatten().map(String::as_str).collect();
        names.sort_by_key(|name| std::cmp::Reverse(name.len()));
        names
    }

    fn details(&self) -> Details {
        let content = self.manifests.iter().flatten().map(|manifest| manifest.size.content).sum();
        Details {
            id: human::short_id(&self.id).to_owned(),
            disk: human::size(self.size, 3),
            content: human::size(content, 3),
            in_use: self.containers > 0 || self.platforms().any(|(_, data)| data.in_use()),
        }
    }
}

impl ImageData {
    fn in_use(&self) -> bool {
        self.containers.as_ref().is_some_and(|containers| !containers.is_empty())
    }

    fn platform(&self) -> String {
        let Platform { os, architecture, variant } = &self.platform;
        let parts = [os, architecture, variant].into_iter().filter(|part| !part.is_empty());
        let text = parts.map(String::as_str).collect::<Vec<_>>().join("/");
        if os.is_empty() { "unknown".to_owned() } else { text }
    }
}

/// How wide the columns are, and how many there is room for.
struct Table {
    paper: Paper,
    widths: Vec<usize>,
    /// Whether any platform is in use: docker shows the letter only then.
    letters: bool,
}

impl Table {
    fn for_images(images: &[Image], paper: Paper) -> Table {
        let mut widths = vec![0];
        let mut left = paper.width;
        for width in [12, 10, 12, TITLES[4].len()] {
            let taken = width + SPACING;
            if left < taken + 12 {
                break;
            }
            left -= taken;
            widths.push(width);
        }
        let names = images.iter().flat_map(|image| image.repo_tags.iter().flatten()).map(String::len);
        let platforms = images.iter().flat_map(Image::platforms).map(|(_, data)| data.platform().len() + BRANCH.len());
        let widest = names.chain(platforms).max().unwrap_or(0).max(TITLES[0].len());
        widths[0] = left.min(widest);
        let letters = images.iter().flat_map(Image::platforms).any(|(_, data)| data.in_use());
        Table { paper, widths, letters }
    }

    fn heading(&self) -> String {
        // Bold in a pipe, too, as docker has it.
        let bold = Table { paper: Paper { coloured: true, ..self.paper }, widths: self.widths.clone(), ..*self };
        let cells: Vec<String> = (0..self.widths.len()).map(|at| bold.cell(at, TITLES[at], "39m\x1b[1")).collect();
        cells.join(&" ".repeat(SPACING)) + "\n"
    }

    fn image(&self, image: &Image, spaced: bool) -> String {
        let names = image.names();
        let mut text = match names.as_slice() {
            [] => self.cell(0, "<untagged>", "2"),
            [others @ .., last] => {
                let full = |name: &&str| self.paper.painted("1;34", &human::ellipsis(name, self.paper.width)) + "\n";
                others.iter().map(full).collect::<String>() + &self.cell(0, last, "1;34")
            }
        };
        text.push_str(&self.details(&image.details()));
        let children: Vec<_> = image.platforms().collect();
        if spaced {
            text.push('\n');
        }
        for (at, (manifest, data)) in children.iter().enumerate() {
            let branch = if at + 1 == children.len() { BRANCH } else { "├─ " };
            let way = if manifest.available { "39" } else { "39;2" };
            text.push_str(&self.cell(0, &format!("{branch}{}", data.platform()), way));
            text.push_str(&self.details(&Details {
                id: human::short_id(&manifest.id).to_owned(),
                disk: human::size(manifest.size.total, 3),
                content: human::size(manifest.size.content, 3),
                in_use: data.in_use(),
            }));
            text.push('\n');
        }
        text + "\n"
    }

    fn details(&self, details: &Details) -> String {
        let letter = match (self.letters, details.in_use) {
            (true, true) => "U",
            (true, false) => " ",
            (false, _) => "",
        };
        let cells = [&details.id, &details.disk, &details.content, letter];
        let shown = cells.iter().zip(1..self.widths.len());
        shown.map(|(cell, at)| " ".repeat(SPACING) + &self.cell(at, cell, "39")).collect()
    }

    /// One cell; sizes are at the right of theirs.
    fn cell(&self, column: usize, text: &str, way: &str) -> String {
        let width = self.widths[column];
        let length = text.chars().count();
        if length > width {
            return self.paper.painted(way, &human::ellipsis(text, width));
        }
        let fill = " ".repeat(width - length);
        match TITLES[column] {
            "DISK USAGE" | "CONTENT SIZE" => fill + &self.paper.painted(way, text),
            _ => self.paper.painted(way, text) + &fill,
        }
    }
}

const BRANCH: &str = "└─ ";

#[cfg(test)]
mod tests {
    use super::*;

    fn images() -> Vec<Image> {
        serde_json::from_value(serde_json::json!([
            {"Id": format!("sha256:{}", "e".repeat(64)), "Created": 9, "Size": 99, "RepoTags": ["<none>:<none>"]},
            {"Id": format!("sha256:{}", "a".repeat(64)), "Created": 1, "Size": 4_261_550, "Containers": 1,
             "RepoTags": ["busybox:latest", "localhost:5000/a/b:1"], "Manifests": [
                {"ID": format!("sha256:{}", "b".repeat(64)), "Available": true, "Kind": "image",
                 "Size": {"Content": 3_000_000, "Total": 9_000_000},
                 "ImageData": {"Platform": {"os": "linux", "architecture": "amd64"}, "Containers": ["c"]}},
                {"ID": format!("sha256:{}", "c".repeat(64)), "Available": false, "Kind": "image",
                 "Size": {"Content": 0, "Total": 0},
                 "ImageData": {"Platform": {"os": "linux", "architecture": "arm64", "variant": "v8"}}},
                {"ID": "sha256:dd", "Kind": "attestation", "Size": {"Content": 500, "Total": 500}}]}
        ]))
        .expect("images")
    }

    #[test]
    fn platforms_hang_below_their_image() {
        let page = render(images(), false, Paper { width: 80, coloured: false });
        let lines: Vec<&str> = page.lines().skip(4).map(str::trim_end).collect();
        assert_eq!(
            lines,
            [
                "localhost:5000/a/b:1",
                "busybox:latest          aaaaaaaaaaaa       4.26MB            3MB   U",
                "├─ linux/amd64          bbbbbbbbbbbb          9MB            3MB   U",
                "└─ linux/arm64/v8       cccccccccccc           0B             0B",
                "",
            ]
        );
        assert!(render(images(), true, Paper { width: 80, coloured: false }).contains("eeeeeeeeeeee"));
    }

    #[test]
    fn a_narrow_terminal_has_fewer_columns() {
        for width in 20..100 {
            let page = render(images(), false, Paper { width, coloured: false });
            let table = page.lines().skip(4);
            assert!(table.clone().all(|line| line.chars().count() <= width), "{width}: {page}");
        }
    }
}
