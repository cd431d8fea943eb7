//! What is measured of builds: by dhow, by dockerd's classic builder, and by the BuildKit of a later dockerd where one is named.

use super::figures::{Figure, milliseconds};
use super::fixture::{Fixture, shell};
use super::installed;
use super::peers::{Peer, Peers, succeed};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub const NAMES: &[&str] = &["build-cached", "build-noop", "build-context", "build-app"];

/// The name of that other one in figures and goals.
pub const BUILDKIT: &str = "docker buildx";
/// And of the commands that a build runs, without one.
pub const COMMANDS: &str = "the commands";

/// Names a dockerd of 28 or later; what it runs lies beside it, and buildx in `../usr/libexec/docker/cli-plugins`.
const VARIABLE: &str = "DHOW_BENCH_BUILDKIT";

const ROUNDS: usize = 5;
const IMAGE: &str = "bench-built";

/// 1 GB.
const CONTEXT_FILES: usize = 50_000;
const CONTEXT_BYTES: usize = 20_000;

/// Sources of the application, and functions in each: half a minute of a compiler's work, as real builds are.
const SOURCES: usize = 24;
const FUNCTIONS: usize = 400;

const CACHED: &str = "\
FROM bench-busybox
ENV A=1 B=2
WORKDIR /app
COPY package ./
RUN echo installed > /installed
COPY src src
RUN cat src/* > /all
EXPOSE 80
CMD [\"sh\"]
";

const APPLICATION: &str = "\
FROM host
WORKDIR /bench-application
COPY . .
RUN for source in *.c; do gcc -O2 -c $source || exit 1; done; gcc -o application *.o
";

/// One who builds.
struct Builder<'a> {
    name: &'static str,
    peer: Option<&'a Peer>,
    later: Option<&'a Later>,
}

/// Measures all figures wanted.
pub fn all(peers: &Peers, fixture: &Fixture, folder: &Path, only: &[String]) -> Vec<Figure> {
    let wanted = |name: &str| only.is_empty() || only.iter().any(|o| o == name);
    if !NAMES.iter().any(|name| wanted(name)) {
        return Vec::new();
    }
    let later = Later::start(folder, fixture).map_err(|e| eprintln!("{e}")).ok().flatten();
    let own = |peer: &&Peer| ["dhow", "dhow (docker CLI)", "docker"].contains(&peer.name);
    let peers = peers.all.iter().filter(own).map(|peer| Builder { name: peer.name, peer: Some(peer), later: None });
    let builders: Vec<Builder<'_>> =
        peers.chain(later.iter().map(|later| Builder { name: BUILDKIT, peer: None, later: Some(later) })).collect();
    let mut figures = Vec::new();
    type Measure = fn(&[Builder<'_>], &Path) -> Result<Figure, String>;
    let deeds: [Measure; 4] = [cached, noop, context, application];
    for (name, measure) in NAMES.iter().zip(deeds).filter(|(name, _)| wanted(name)) {
        eprintln!("== {name}");
        figures.extend(measure(&builders, &folder.join(name)).map_err(|e| eprintln!("{name}: {e}")));
    }
    figures
}

/// Nothing changed since the build before.
fn cached(builders: &[Builder<'_>], folder: &Path) -> Result<Figure, String> {
    write(&folder.join("Dockerfile"), CACHED)?;
    write(&folder.join("package"), "{}\n")?;
    for number in 0..200 {
        write(&folder.join(format!("src/{number}")), &format!("{number}\n").repeat(200))?;
    }
    each("build-cached", builders, &mut |_| Ok(()), &|builder| builder.build(folder, &[]))
}

/// Twenty steps that do nothing, done anew each time.
fn noop(builders: &[Builder<'_>], folder: &Path) -> Result<Figure, String> {
    write(&folder.join("Dockerfile"), &format!("FROM bench-busybox\n{}", "RUN true\n".repeat(20)))?;
    each("build-noop", builders, &mut |_| Ok(()), &|builder| builder.build(folder, &["--no-cache"]))
}

/// A large context that nobody has seen before: the times of its files are new.
fn context(builders: &[Builder<'_>], folder: &Path) -> Result<Figure, String> {
    let (files, line) = (folder.join("files"), "FROM bench-busybox\nCOPY files /files\n");
    write(&folder.join("Dockerfile"), line)?;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = vec![0; CONTEXT_BYTES];
    for number in 0..CONTEXT_FILES {
        for piece in bytes.chunks_mut(8) {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            piece.copy_from_slice(&state.to_le_bytes()[..piece.len()]);
        }
        let below = files.join(format!("{:03}", number % 500));
        fs::create_dir_all(&below).map_err(|e| format!("cannot make {}: {e}", below.display()))?;
        fs::write(below.join(number.to_string()), &bytes).map_err(|e| format!("cannot make a context: {e}"))?;
    }
    let mut anew = |builder: &Builder<'_>| {
        builder.forget();
        shell(&format!("find '{}' -type f -exec touch {{}} + && sync", files.display())).map(drop)
    };
    let figure = each("build-context", builders, &mut anew, &|builder| builder.build(folder, &["--no-cache"]));
    builders.iter().for_each(Builder::forget);
    shell(&format!("rm -rf '{}'", folder.display()))?;
    figure
}

/// A program is compiled in the machine's own image, and beside it by the same commands without a build.
fn application(builders: &[Builder<'_>], folder: &Path) -> Result<Figure, String> {
    write(&folder.join("source/Dockerfile"), APPLICATION)?;
    for number in 0..SOURCES {
        write(&folder.join(format!("source/part{number}.c")), &source(number))?;
    }
    let calls: String = (0..SOURCES).map(|number| format!("long part{number}(long); ")).collect();
    let sum: Vec<String> = (0..SOURCES).map(|number| format!("part{number}(1)")).collect();
    write(&folder.join("source/main.c"), &format!("{calls}int main(void) {{ return (int)({}); }}\n", sum.join("+")))?;
    let source = folder.join("source");
    let commands = || -> Result<Duration, String> {
        let line = APPLICATION.split_once("RUN ").map_or("", |(_, line)| line).trim_end();
        let begun = Instant::now();
        shell(&format!("cp -r '{0}' '{1}' && cd '{1}' && {line}", source.display(), folder.join("copy").display()))?;
        let took = begun.elapsed();
        shell(&format!("rm -r '{}'", folder.join("copy").display()))?;
        Ok(took)
    };
    let own: Vec<&Builder<'_>> = builders.iter().filter(|builder| builder.name == "dhow").collect();
    let mut samples = vec![(COMMANDS.to_owned(), Vec::new())];
    samples.extend(own.iter().map(|builder| (builder.name.to_owned(), Vec::new())));
    for _ in 0..ROUNDS {
        samples[0].1.push(milliseconds(commands()?));
        for (builder, (_, times)) in own.iter().zip(&mut samples[1..]) {
            times.push(milliseconds(builder.build(&source, &["--no-cache"])?));
            builder.forget();
        }
    }
    Ok(Figure { name: "build-app", unit: "ms", less_is_better: true, samples })
}

/// Loops that a compiler has something to do with.
fn source(part: usize) -> String {
    let mut text = String::new();
    for number in 0..FUNCTIONS {
        text.push_str(&format!(
            "static long f{number}(long x) {{ long s = {number}; \
             for (long i = 0; i < x; i++) for (long k = 0; k < 8; k++) s = s * 31 + (i ^ k) % ({number} + 3); return s; }}\n"
        ));
    }
    let sum: Vec<String> = (0..FUNCTIONS).map(|number| format!("f{number}(x)")).collect();
    text + &format!("long part{part}(long x) {{ return {}; }}\n", sum.join("+"))
}

/// Measures what each does, in turn; the first round warms up. One that fails is left out.
fn each<'a>(
    name: &'static str,
    builders: &[Builder<'a>],
    before: &mut dyn FnMut(&Builder<'a>) -> Result<(), String>,
    deed: &dyn Fn(&Builder<'a>) -> Result<Duration, String>,
) -> Result<Figure, String> {
    let mut samples: Vec<(String, Vec<f64>)> = builders.iter().map(|one| (one.name.to_owned(), Vec::new())).collect();
    for round in 0..=ROUNDS {
        for (builder, (_, times)) in builders.iter().zip(&mut samples) {
            before(builder)?;
            match deed(builder) {
                Ok(took) if round > 0 => times.push(milliseconds(took)),
                Ok(_) => {}
                Err(e) => eprintln!("{}: {e}", builder.name),
            }
        }
    }
    samples.retain(|(_, times)| times.len() == ROUNDS);
    Ok(Figure { name, unit: "ms", less_is_better: true, samples })
}

impl Builder<'_> {
    fn command(&self, words: &[&str]) -> Command {
        match (self.peer, self.later) {
            (Some(peer), _) => peer.command(words),
            (_, Some(later)) => later.command(words),
            _ => Command::new("false"),
        }
    }

    fn build(&self, folder: &Path, flags: &[&str]) -> Result<Duration, String> {
        let path = folder.display().to_string();
        // A build that is named `docker build` is the classic one.
        let verb: &[&str] = if self.later.is_some() { &["buildx", "build", "--load"] } else { &["build"] };
        let mut command = self.command(&[verb, flags, &["-q", "-t", IMAGE, &path]].concat());
        if self.later.is_none() {
            command.env("DOCKER_BUILDKIT", "0");
        }
        let begun = Instant::now();
        succeed(command, "build")?;
        Ok(begun.elapsed())
    }

    /// Nothing of what it built stays.
    fn forget(&self) {
        for words in [&["rmi", "-f", IMAGE][..], &["image", "prune", "-f"], &["builder", "prune", "-af"]] {
            let _ = self.command(words).stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
    }
}

/// A dockerd whose builds are BuildKit's, in a network namespace of its own.
struct Later {
    daemon: Child,
    program: PathBuf,
    folder: PathBuf,
}

impl Later {
    /// `None` when nobody named one.
    fn start(folder: &Path, fixture: &Fixture) -> Result<Option<Later>, String> {
        let Some(dockerd) = std::env::var_os(VARIABLE).map(PathBuf::from) else { return Ok(None) };
        let beside = dockerd.parent().unwrap_or(Path::new("/")).to_owned();
        let folder = folder.join("later");
        let plugins = folder.join("config/cli-plugins");
        fs::create_dir_all(&plugins).map_err(|e| format!("cannot make {}: {e}", plugins.display()))?;
        let buildx = beside.join("../usr/libexec/docker/cli-plugins/docker-buildx");
        let link = std::os::unix::fs::symlink(buildx, plugins.join("docker-buildx"));
        link.map_err(|e| format!("cannot link buildx: {e}"))?;
        let path = |name: &str| folder.join(name).display().to_string();
        let log = fs::File::create(path("log")).map_err(|e| format!("cannot make a log: {e}"))?;
        let search = format!("{}:{}", beside.display(), std::env::var("PATH").unwrap_or_default());
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", "ip link set lo up && exec \"$@\"", "sh"]).arg(&dockerd);
        command.args(["-H", &format!("unix://{}", path("sock")), "-p", &path("pid"), "--data-root", &path("data")]);
        command.args(["--exec-root", &path("run")]).env("PATH", search);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let daemon = command.spawn().map_err(|e| format!("cannot start {}: {e}", dockerd.display()))?;
        let program = Some(beside.join("docker")).filter(|path| path.is_file()).or_else(|| installed("docker"));
        let later = Later { daemon, program: program.ok_or("docker is not installed")?, folder };
        let deadline = Instant::now() + Duration::from_secs(60);
        while !later.command(&["ps"]).stderr(Stdio::null()).stdout(Stdio::null()).status().is_ok_and(|s| s.success()) {
            if Instant::now() > deadline {
                return Err(format!("{} does not answer", dockerd.display()));
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
        succeed(later.command(&["load", "-q", "-i", &fixture.busybox.display().to_string()]), "load")?;
        Ok(Some(later))
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(words).env("DOCKER_HOST", format!("unix://{}", self.folder.join("sock").display()));
        command.env("DOCKER_CONFIG", self.folder.join("config")).stdin(Stdio::null());
        command
    }
}

impl Drop for Later {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.daemon.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.daemon.wait();
    }
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(path, text));
    written.map_err(|e| format!("cannot write {}: {e}", path.display()))
}
