//! What a progress view says: a line for each layer with bar, bytes and speed, and a summary; never wider than its space.

use std::fmt::Write;
use std::time::{Duration, Instant};

use super::{Detail, Upload};
use crate::show::human;

/// Room on a terminal.
#[derive(Debug, Clone, Copy)]
pub struct Space {
    pub columns: usize,
    pub rows: usize,
}

/// Everything under way.
#[derive(Debug)]
pub struct Board {
    begun: Instant,
    layers: Vec<Layer>,
    pub upload: Option<Upload>,
}

/// One layer, or whatever else has an id.
#[derive(Debug)]
struct Layer {
    id: String,
    status: String,
    /// Bytes in the current status.
    now: Bytes,
    /// Since when the current status counts bytes.
    since: Option<Instant>,
    /// Bytes over the network or into the engine, which the summary adds up.
    moved: Bytes,
    done: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Bytes {
    current: u64,
    total: u64,
}

/// What a layer says last.
const LAST_WORDS: &[&str] =
    &["Pull complete", "Already exists", "Pushed", "Layer already exists", "Download complete (not needed)"];
const LAST_WORD_BEGINNINGS: &[&str] = &["Mounted from"];
/// The bytes that a person waits for.
const MOVING: &[&str] = &["Downloading", "Pushing", "Loading layer"];
/// The bytes have all been moved.
const MOVED: &[&str] = &["Verifying Checksum", "Download complete", "Extracting", "Pull complete", "Pushed"];

impl Board {
    pub fn new(begun: Instant) -> Board {
        Board { begun, layers: Vec::new(), upload: None }
    }

    pub fn has(&self, id: &str) -> bool {
        self.layers.iter().any(|layer| layer.id == id)
    }

    pub fn update(&mut self, id: &str, status: &str, detail: Detail, now: Instant) {
        let at = self.layers.iter().position(|layer| layer.id == id).unwrap_or_else(|| {
            self.layers.push(Layer::new(id));
            self.layers.len() - 1
        });
        self.layers[at].update(status, detail, now);
    }

    /// The board as it looks now.
    pub fn lines(&self, space: Space, now: Instant) -> Vec<String> {
        // The last column stays free: a terminal may wrap after it.
        let width = space.columns.saturating_sub(1).max(10);
        let mut lines: Vec<String> = self.shown(space.rows).iter().map(|layer| layer.line(width, now)).collect();
        if let Some(upload) = &self.upload {
            lines.push(sending(upload, now.duration_since(self.begun), width));
        }
        if !self.layers.is_empty() {
            lines.push(human::ellipsis(&self.summary(now), width));
        }
        lines
    }

    /// The line that stays when all is done.
    pub fn result(&self, now: Instant) -> Option<String> {
        let moved: u64 = self.layers.iter().map(|layer| layer.moved.total).sum();
        (moved > 0).then(|| {
            let elapsed = now.duration_since(self.begun);
            let speed = speed(moved, elapsed).map(|speed| format!(" ({speed})")).unwrap_or_default();
            format!("{}: {} in {}{speed}", counted(self.layers.len()), size(moved), time(elapsed))
        })
    }

    /// The layers that fit, those under way before those that are done.
    fn shown(&self, rows: usize) -> Vec<&Layer> {
        let room = rows.saturating_sub(3).max(1);
        if self.layers.len() <= room {
            return self.layers.iter().collect();
        }
        let mut order: Vec<usize> = (0..self.layers.len()).collect();
        order.sort_by_key(|at| (self.layers[*at].done, self.layers[*at].since.is_none()));
        order.truncate(room);
        order.sort_unstable();
        order.into_iter().map(|at| &self.layers[at]).collect()
    }

    /// `3/7 layers, 12.3MB/45.6MB, 10.2MB/s, 2s, 3s left`
    fn summary(&self, now: Instant) -> String {
        let elapsed = now.duration_since(self.begun);
        let done = self.layers.iter().filter(|layer| layer.done).count();
        let current: u64 = self.layers.iter().map(|layer| layer.moved.current).sum();
        let total: u64 = self.layers.iter().map(|layer| layer.moved.total).sum();
        let mut text = format!("{done}/{}", counted(self.layers.len()));
        if total > 0 {
            let _ = write!(text, ", {}/{}", size(current), size(total));
        }
        if let Some(speed) = speed(current, elapsed).filter(|_| current < total) {
            let _ = write!(text, ", {speed}");
        }
        let _ = write!(text, ", {}", time(elapsed));
        if let Some(left) = left(current, total, elapsed) {
            let _ = write!(text, ", {} left", time(left));
        }
        text
    }
}

impl Layer {
    fn new(id: &str) -> Layer {
        Layer {
            id: id.to_owned(),
            status: String::new(),
            now: Bytes::default(),
            since: None,
            moved: Bytes::default(),
            done: false,
        }
    }

    fn update(&mut self, status: &str, detail: Detail, now: Instant) {
        if self.status != status {
            self.status = status.to_owned();
            self.since = None;
        }
        let current = u64::try_from(detail.current).unwrap_or(0);
        let total = u64::try_from(detail.total).unwrap_or(0);
        self.now = Bytes { current, total };
        if total > 0 || current > 0 {
            self.since.get_or_insert(now);
        }
        if MOVING.contains(&status) {
            self.moved = Bytes { current, total: total.max(current) };
        } else if MOVED.contains(&status) {
            self.moved.current = self.moved.total;
        }
        self.done = LAST_WORDS.contains(&status)
            || LAST_WORD_BEGINNINGS.iter().any(|words| status.starts_with(words))
            || (status == "Loading layer" && total > 0 && current >= total);
    }

    fn line(&self, width: usize, now: Instant) -> String {
        let label = format!("{:<12}  {:<18}", self.id, self.status);
        let Some(since) = self.since else { return human::ellipsis(label.trim_end(), width) };
        meter(&label, self.now, now.duration_since(since), width)
    }
}

fn sending(upload: &Upload, elapsed: Duration, width: usize) -> String {
    let bytes = Bytes { current: upload.sent(), total: upload.length.unwrap_or(0) };
    meter("Sending", bytes, elapsed, width)
}

/// A label, and as much of bar, bytes and speed as fits.
fn meter(label: &str, bytes: Bytes, elapsed: Duration, width: usize) -> String {
    const WIDEST_BAR: usize = 40;
    const NARROWEST_BAR: usize = 10;
    let counts = match bytes.total {
        0 => format!("{:>8}", size(bytes.current)),
        total => format!("{:>8}/{}", size(bytes.current.min(total)), size(total)),
    };
    let speed = speed(bytes.current, elapsed).map(|speed| format!("  {speed}")).unwrap_or_default();
    let rest = format!("{counts:<18}{speed:<12}");
    let room = width.saturating_sub(label.chars().count() + rest.chars().count() + "  []  ".len()).min(WIDEST_BAR);
    if room >= NARROWEST_BAR && bytes.total > 0 {
        return format!("{label}  [{}]  {rest}", bar(bytes, room)).trim_end().to_owned();
    }
    let short = format!("{} {}", label.trim_end(), counts.trim());
    let with_speed = format!("{short}{speed}");
    if with_speed.chars().count() <= width { with_speed } else { human::ellipsis(&short, width) }
}

fn bar(bytes: Bytes, width: usize) -> String {
    let part = u128::from(bytes.current.min(bytes.total)) * u128::try_from(width).unwrap_or(0);
    let full = usize::try_from(part / u128::from(bytes.total.max(1))).unwrap_or(0).min(width);
    let head = if full < width { ">" } else { "" };
    format!("{:<width$}", format!("{}{head}", "=".repeat(full)))
}

fn counted(layers: usize) -> String {
    if layers == 1 { "1 layer".to_owned() } else { format!("{layers} layers") }
}

fn size(bytes: u64) -> String {
    human::size(i64::try_from(bytes).unwrap_or(i64::MAX), 4)
}

/// Bytes each second, once there is enough time to tell.
fn speed(bytes: u64, elapsed: Duration) -> Option<String> {
    let milliseconds = elapsed.as_millis();
    let rate = (u128::from(bytes) * 1000).checked_div(milliseconds).filter(|rate| milliseconds >= 100 && *rate > 0)?;
    Some(format!("{}/s", human::size(i64::try_from(rate).unwrap_or(i64::MAX), 3)))
}

/// How long the rest will take at the speed so far.
fn left(current: u64, total: u64, elapsed: Duration) -> Option<Duration> {
    if current == 0 || current >= total || elapsed < Duration::from_millis(500) {
        return None;
    }
    let milliseconds = elapsed.as_millis() * u128::from(total - current) / u128::from(current);
    Some(Duration::from_millis(u64::try_from(milliseconds).unwrap_or(u64::MAX)))
}

/// `0.4s`, `12s`, `3m05s`
fn time(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.1}s", duration.as_secs_f64()),
        10..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn busy() -> (Board, Instant) {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut board = Board::new(begun);
        let bytes = |current, total| Detail { current, total };
        board.update("a3ed95caeb02", "Pulling fs layer", Detail::default(), begun);
        board.update("5f70bf18a086", "Already exists", Detail::default(), begun);
        board.update("0123456789ab", "Downloading", bytes(1, 9_000_000), begun);
        board.update("0123456789ab", "Download complete", Detail::default(), at(1));
        board.update("0123456789ab", "Extracting", bytes(1_000_000, 9_000_000), at(1));
        board.update("a3ed95caeb02", "Downloading", bytes(1_000_000, 45_600_000), at(0));
        board.update("a3ed95caeb02", "Downloading", bytes(22_800_000, 45_600_000), at(2));
        (board, at(2))
    }

    #[test]
    fn a_wide_terminal_has_bars_and_speeds() {
        let (board, now) = busy();
        let lines = board.lines(Space { columns: 100, rows: 24 }, now);
        assert_eq!(
            lines.join("\n"),
            "\
a3ed95caeb02  Downloading         [===============>               ]    22.8MB/45.6MB     11.4MB/s
5f70bf18a086  Already exists
0123456789ab  Extracting          [===>                           ]       1MB/9MB        1MB/s
1/3 layers, 31.8MB/54.6MB, 15.9MB/s, 2.0s, 1.4s left"
        );
        assert_eq!(board.result(now).as_deref(), Some("3 layers: 54.6MB in 2.0s (27.3MB/s)"));
    }

    #[test]
    fn no_line_is_wider_than_its_terminal() {
        let (mut board, now) = busy();
        board.upload = Some(Upload::of(Some(123_456_789)));
        for columns in 11..200 {
            for line in board.lines(Space { columns, rows: 24 }, now) {
                assert!(line.chars().count() < columns, "{columns}: {line:?}");
            }
        }
        let narrow = board.lines(Space { columns: 60, rows: 24 }, now);
        assert_eq!(narrow[0], "a3ed95caeb02  Downloading 22.8MB/45.6MB  11.4MB/s");
    }

    #[test]
    fn a_low_terminal_shows_what_moves() {
        let (mut board, now) = busy();
        for number in 0..20 {
            board.update(&format!("waiting{number}"), "Waiting", Detail::default(), now);
        }
        let lines = board.lines(Space { columns: 80, rows: 6 }, now);
        assert_eq!(lines.len(), 4);
        assert!(lines[0].starts_with("a3ed95caeb02") && lines[1].starts_with("0123456789ab"), "{lines:?}");
        assert!(lines[3].starts_with("1/23 layers"), "{lines:?}");
    }

    #[test]
    fn a_stream_of_unknown_length_still_counts() {
        let upload = Upload::of(None);
        upload.sent.store(5_000_000, std::sync::atomic::Ordering::Relaxed);
        let mut board = Board::new(Instant::now());
        board.upload = Some(upload);
        let lines = board.lines(Space { columns: 80, rows: 24 }, board.begun + Duration::from_secs(1));
        assert_eq!(lines, ["Sending 5MB  5MB/s"]);
    }

    #[test]
    fn times_are_short() {
        for (seconds, text) in [(0, "0.0s"), (9, "9.0s"), (59, "59s"), (65, "1m05s"), (7265, "2h01m")] {
            assert_eq!(time(Duration::from_secs(seconds)), text);
        }
    }
}
