//! The same Dockerfile, built by dockerd and by dhow: the same configuration, the same files, and the same steps done anew.
//!
//! A dockerd before 28 is asked by its classic builder, and so is dhow then; a later one by buildx, and dhow by `dhow build`.

use compat::{Again, Case, Dockerd, End, Language, Seat, cases};
use it::Stage;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Seconds that a build may take.
const LIMIT: &str = "300";
const NAME: &str = "built";

/// A difference that is meant.
struct Meant {
    /// Words of the case's name; empty for all.
    case: &'static str,
    /// The beginning of what dockerd's image has and ours has not.
    theirs: &'static str,
    /// The beginning of what ours has instead.
    ours: &'static str,
    reason: &'static str,
}

const MEANT: &[Meant] = &[Meant {
    case: "health",
    theirs: "history: HEALTHCHECK",
    ours: "history: HEALTHCHECK",
    reason: "as later ones of BuildKit write it",
}];

/// How an image is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Door {
    Classic,
    Buildx,
    Own,
}

struct Builder {
    seat: Seat,
    door: Door,
}

/// What came of a build.
#[derive(Debug, Default)]
struct Built {
    end: End,
    /// Of its image.
    lines: BTreeSet<String>,
    /// Steps, and whether each came from the cache.
    steps: BTreeMap<String, bool>,
    said: String,
}

impl Builder {
    fn build(&self, context: &Path, flags: &str) -> Built {
        let words = match self.door {
            Door::Classic => "DOCKER_BUILDKIT=0 docker build".to_owned(),
            Door::Buildx => "docker buildx build --load --provenance=false --progress=plain".to_owned(),
            Door::Own => format!("'{}' -H \"$DOCKER_HOST\" build --progress=plain", it::binary().display()),
        };
        let line = format!("cd '{}' && {words} {flags} -t {NAME} . 2>&1", context.display());
        let answer = self.seat.run_for(LIMIT, &line);
        let end = if answer.code == 0 { End::Image } else { End::Failure };
        let steps = if self.door == Door::Classic { classic_steps(&answer.out) } else { steps(&answer.out) };
        let lines = if end == End::Image { self.lines() } else { BTreeSet::new() };
        Built { end, lines, steps, said: answer.out }
    }

    fn lines(&self) -> BTreeSet<String> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("builds/image.py");
        let archive = self.seat.data_root.with_file_name("built.tar");
        let history = if self.door == Door::Classic { "" } else { "history" };
        let line = format!(
            "docker save -o '{0}' {NAME} && python3 '{1}' '{0}' {history} && rm '{0}'",
            archive.display(),
            script.display()
        );
        let answer = self.seat.run_for(LIMIT, &line);
        assert_eq!(answer.code, 0, "{}{}", answer.out, answer.err);
        answer.out.lines().map(str::to_owned).collect()
    }
}

/// Of BuildKit's plain progress: `#5 [2/3] RUN x`, and `#5 CACHED`.
fn steps(text: &str) -> BTreeMap<String, bool> {
    let mut names: BTreeMap<&str, &str> = BTreeMap::new();
    let mut steps = BTreeMap::new();
    for line in text.lines().filter_map(|line| line.strip_prefix('#')) {
        let Some((number, said)) = line.split_once(' ') else { continue };
        if said == "CACHED" {
            if let Some(name) = names.get(number) {
                steps.insert((*name).to_owned(), true);
            }
        } else if said.starts_with('[')
            && said.contains("] ")
            && !said.contains("] FROM")
            && !said.contains("[internal]")
        {
            // BuildKit numbers a stage without a name only when there are others.
            let said = said.strip_prefix("[stage-0 ").unwrap_or(said).trim_start_matches('[');
            names.entry(number).or_insert(said);
            steps.entry(said.to_owned()).or_insert(false);
        }
    }
    steps
}

/// Of the classic builder: `Step 2/3 : RUN x`, and ` ---> Using cache`.
fn classic_steps(text: &str) -> BTreeMap<String, bool> {
    let mut steps = BTreeMap::new();
    let mut last = String::new();
    for line in text.lines() {
        if let Some(step) = line.strip_prefix("Step ") {
            step.clone_into(&mut last);
            steps.insert(last.clone(), false);
        } else if line.contains("---> Using cache") {
            steps.insert(last.clone(), true);
        }
    }
    steps
}

struct Comparison {
    theirs: Builder,
    ours: Builder,
    used: Vec<bool>,
    different: Vec<String>,
}

impl Comparison {
    fn play(&mut self, case: &Case) {
        let folder = tempfile::Builder::new().prefix("dhow-build-").tempdir().expect("a temporary folder");
        let context = folder.path().join("context");
        std::fs::create_dir(&context).expect("a folder");
        for line in &case.context {
            shell(&context, line);
        }
        let dockerfile = context.join("Dockerfile");
        std::fs::write(&dockerfile, &case.dockerfile).expect("written");
        shell(&context, "touch -d 2002-02-02 Dockerfile");
        let (theirs, ours) = self.both(&context, &case.flags);
        self.compare(case, &theirs, &ours);
        if theirs.end != case.end {
            self.differ(case, &format!("dockerd's build ended with {:?}:\n{}", theirs.end, theirs.said));
        }
        // The first image stays: it is the classic builder's cache.
        if let Some(Again { change, flags }) = &case.again {
            shell(&context, change);
            let (theirs, ours) = self.both(&context, flags.as_ref().unwrap_or(&case.flags));
            self.compare(case, &theirs, &ours);
            if theirs.steps != ours.steps {
                let text = format!("  cached by dockerd: {:#?}\n  by dhow: {:#?}", theirs.steps, ours.steps);
                self.differ(case, &text);
            }
        }
    }

    fn forget(&self) {
        for builder in [&self.theirs, &self.ours] {
            builder.seat.run_for(LIMIT, &format!("docker rmi -f {NAME}; docker image prune -f"));
        }
    }

    fn both(&self, context: &Path, flags: &str) -> (Built, Built) {
        std::thread::scope(|scope| {
            let theirs = scope.spawn(|| self.theirs.build(context, flags));
            let ours = self.ours.build(context, flags);
            (theirs.join().expect("no build panics"), ours)
        })
    }

    fn compare(&mut self, case: &Case, theirs: &Built, ours: &Built) {
        if theirs.end != ours.end {
            let text = format!(
                "  dockerd's ended with {:?}, dhow's with {:?}\n{}\n{}",
                theirs.end, ours.end, theirs.said, ours.said
            );
            return self.differ(case, &text);
        }
        let mut lost: Vec<&String> = theirs.lines.difference(&ours.lines).collect();
        let mut added: Vec<&String> = ours.lines.difference(&theirs.lines).collect();
        for (meant, used) in MEANT.iter().zip(&mut self.used) {
            let is_theirs = |line: &&String| !meant.theirs.is_empty() && line.starts_with(meant.theirs);
            let is_ours = |line: &&String| !meant.ours.is_empty() && line.starts_with(meant.ours);
            if case.name.contains(meant.case) && (lost.iter().any(is_theirs) || added.iter().any(is_ours)) {
                *used = true;
                lost.retain(|line| !is_theirs(line));
                added.retain(|line| !is_ours(line));
            }
        }
        if !lost.is_empty() || !added.is_empty() {
            self.differ(case, &format!("  dockerd only: {lost:#?}\n  dhow only: {added:#?}"));
        }
    }

    fn differ(&mut self, case: &Case, text: &str) {
        self.different.push(format!("{}\n{text}", case.name));
    }
}

#[track_caller]
fn shell(folder: &Path, line: &str) {
    let status = std::process::Command::new("sh").args(["-ec", line]).current_dir(folder).status().expect("sh(1) runs");
    assert!(status.success(), "{line}");
}

/// Where `docker buildx` is, for a dockerd of that path or the machine's own.
fn buildx() -> PathBuf {
    let dockerd = std::env::var_os("DHOW_COMPAT_DOCKERD").map(PathBuf::from);
    let beside = dockerd.as_deref().and_then(Path::parent).and_then(Path::parent).map(|root| root.join("usr"));
    let roots = beside.into_iter().chain([PathBuf::from("/usr"), PathBuf::from("/usr/local")]);
    let plugins =
        roots.flat_map(|root| ["libexec", "lib"].map(|lib| root.join(lib).join("docker/cli-plugins/docker-buildx")));
    plugins.into_iter().find(|path| path.is_file()).expect("docker buildx is installed, or lies beside dockerd")
}

/// The folder of the test image; dropped last, it is deleted.
struct Fixture;

impl Drop for Fixture {
    fn drop(&mut self) {
        let folder = it::busybox_archive().parent().expect("an archive is in a folder");
        let _ = std::fs::remove_dir_all(folder);
    }
}

#[test]
fn dhow_builds_as_dockerd() {
    let _fixture = Fixture;
    let dockerd = Dockerd::start();
    let stage = Stage::new();
    let (theirs, ours) = (dockerd.seat(), Seat { host: stage.host(), data_root: stage.data_root() });
    let is_old = dockerd.version() < 28;
    if !is_old {
        let plugins = theirs.docker_config().join("cli-plugins");
        std::fs::create_dir_all(&plugins).expect("a folder");
        std::os::unix::fs::symlink(buildx(), plugins.join("docker-buildx")).expect("a link");
    }
    let (old, new) = if is_old { (Door::Classic, Door::Classic) } else { (Door::Buildx, Door::Own) };
    let mut comparison = Comparison {
        theirs: Builder { seat: theirs, door: old },
        ours: Builder { seat: ours, door: new },
        used: vec![false; MEANT.len()],
        different: Vec::new(),
    };
    let only = std::env::var("DHOW_COMPAT_ONLY").unwrap_or_default();
    let wanted = |case: &&Case| case.name.contains(&only) && (!is_old || case.language == Language::Plain);
    for case in cases().iter().filter(wanted) {
        comparison.play(case);
        comparison.forget();
    }
    let Comparison { used, different, .. } = comparison;
    assert!(different.is_empty(), "{} builds differ:\n{}", different.len(), different.join("\n"));
    let unused: Vec<_> = MEANT.iter().zip(used).filter(|(_, used)| !used).map(|(meant, _)| meant.reason).collect();
    assert!(!only.is_empty() || is_old || unused.is_empty(), "meant, but not seen: {unused:#?}");
}
