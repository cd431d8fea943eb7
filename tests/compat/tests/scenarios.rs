//! Every engine must answer every line of every scenario alike: code, stdout, stderr.

use compat::accepted::{ACCEPTED, expected, is_asked};
use compat::{Answer, Dockerd, REGISTRY_PORT, Scenario, Seat, neutral, scenarios};
use it::{Maker, Registry, Stage};

/// What is the same on a comparison's two sides.
struct Comparison {
    version: u32,
    theirs: Seat,
    ours: Seat,
    used: Vec<bool>,
    different: Vec<String>,
}

impl Comparison {
    fn play(&mut self, scenario: &Scenario) {
        for line in &scenario.lines {
            let (theirs, ours) = self.both(line);
            if is_asked(self.version, line) && self.wanted(line, &theirs) != named(&ours) {
                let name = &scenario.name;
                self.different.push(format!("{name}: {line}\n  dockerd: {theirs:?}\n  dhow:    {ours:?}"));
            }
        }
        self.both("docker ps -aq | xargs -r docker rm -f -v");
    }

    fn both(&self, line: &str) -> (Answer, Answer) {
        std::thread::scope(|scope| {
            let theirs = scope.spawn(|| self.theirs.run(line));
            let ours = self.ours.run(line);
            (theirs.join().expect("no line panics"), ours)
        })
    }

    fn wanted(&mut self, line: &str, theirs: &Answer) -> Answer {
        let mut text = |text: &str| expected(self.version, line, &neutral(text), &mut self.used);
        Answer { code: theirs.code, out: text(&theirs.out), err: text(&theirs.err) }
    }
}

fn named(answer: &Answer) -> Answer {
    Answer { code: answer.code, out: neutral(&answer.out), err: neutral(&answer.err) }
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
fn dhow_answers_as_dockerd() {
    let _fixture = Fixture;
    let dockerd = Dockerd::start();
    let stage = Stage::new();
    let _registries = [dockerd.registry(Maker::Debian), Registry::start(&stage, Maker::Debian, REGISTRY_PORT)];
    let mut comparison = Comparison {
        version: dockerd.version(),
        theirs: dockerd.seat(),
        ours: Seat { host: stage.host(), data_root: stage.data_root() },
        used: vec![false; ACCEPTED.len()],
        different: Vec::new(),
    };
    let only = std::env::var("DHOW_COMPAT_ONLY").unwrap_or_default();
    for scenario in scenarios().iter().filter(|scenario| scenario.name.contains(&only)) {
        comparison.play(scenario);
    }
    let Comparison { version, used, different, .. } = comparison;
    assert!(different.is_empty(), "{} answers differ from {version}'s:\n{}", different.len(), different.join("\n"));
    let unused = ACCEPTED.iter().zip(used).filter(|(accepted, used)| !used && accepted.is_of(version));
    let unused: Vec<_> = unused.map(|(accepted, _)| accepted).collect();
    assert!(!only.is_empty() || unused.is_empty(), "accepted, but not seen in {version}: {unused:#?}");
}
