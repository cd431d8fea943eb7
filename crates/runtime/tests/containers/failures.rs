//! Starts that fail, and what is said of them.

use crate::Test;
use crate::world::{World, bind, process, spec};
use oci::runtime::{Rlimit, Spec};
use runtime::{Failure, Step};
use rustix::io::Errno;

pub const TESTS: &[Test] = &[
    ("a missing program is looked for in PATH", missing_program),
    ("what cannot be executed says why", not_executable),
    ("a bad working directory is a failure", bad_directory),
    ("a folder cannot be mounted on a file", folder_on_file),
    ("limits are set, and refused above what is allowed", limits),
    ("a kernel parameter that is not the container's is refused", foreign_parameter),
    ("the oom score cannot be lowered without the right", oom_score),
    ("a bad filter is a failure", bad_filter),
    ("an exec fails as a start does", exec_failures),
];

fn failure(world: &World, spec: &Spec) -> (Step, Errno, String) {
    match world.run(spec) {
        Err(Failure { step, errno, subject }) => (step, Errno::from_raw_os_error(errno), subject),
        Ok(ended) => panic!("it ran: {ended:?}"),
    }
}

fn missing_program(world: &World) {
    assert_eq!(failure(world, &spec(&["nothing"])), (Step::LookPath, Errno::NOENT, "nothing".into()));
    let mut without = spec(&["sh"]);
    without.process.as_mut().unwrap().env.clear();
    assert_eq!(failure(world, &without), (Step::LookPath, Errno::NOENT, "sh".into()));
}

fn not_executable(world: &World) {
    let of = |program: &str| {
        let (step, errno, subject) = failure(world, &spec(&[program]));
        assert_eq!(subject, program);
        (step, errno)
    };
    assert_eq!(of("/nothing"), (Step::LookPath, Errno::NOENT));
    assert_eq!(of("/etc"), (Step::LookPath, Errno::ISDIR));
    assert_eq!(of("/bin/plain"), (Step::LookPath, Errno::ACCESS));
    assert_eq!(of("plain"), (Step::LookPath, Errno::ACCESS));
    assert_eq!(of("/bin/garbage"), (Step::Execve, Errno::NOEXEC));
    assert_eq!(of("/etc/passwd/x"), (Step::LookPath, Errno::NOTDIR));
}

fn bad_directory(world: &World) {
    let mut spec = spec(&["true"]);
    for (cwd, errno) in
        [("/etc/passwd", Errno::NOTDIR), ("/etc/passwd/x", Errno::NOTDIR), ("/proc/nowhere", Errno::NOENT)]
    {
        spec.process.as_mut().unwrap().cwd = cwd.into();
        assert_eq!(failure(world, &spec), (Step::WorkingDirectory, errno, cwd.into()));
    }
}

fn folder_on_file(world: &World) {
    let mut spec = spec(&["true"]);
    spec.mounts.push(bind(world.home.path(), "/etc/passwd", &["rbind"]));
    assert_eq!(failure(world, &spec), (Step::Mount, Errno::NOTDIR, "/etc/passwd".into()));
}

fn limits(world: &World) {
    let mut spec = spec(&["sh", "-c", "ulimit -Sn; ulimit -Hn"]);
    let limit = |soft, hard| vec![Rlimit { kind: "RLIMIT_NOFILE".into(), soft, hard }];
    spec.process.as_mut().unwrap().rlimits = limit(20, 30);
    assert_eq!(world.run(&spec).unwrap().out, "20\n30\n");
    spec.process.as_mut().unwrap().rlimits = limit(3, 3);
    assert_eq!(world.run(&spec).unwrap().out, "3\n3\n");
    let now = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum.unwrap();
    let more = now + 1;
    spec.process.as_mut().unwrap().rlimits = limit(more, more);
    let may = rustix::thread::capability_is_in_bounding_set(rustix::thread::CapabilitySet::SYS_RESOURCE).unwrap();
    if may {
        assert_eq!(world.run(&spec).unwrap().out, format!("{more}\n{more}\n"));
    } else {
        let parked = world.park();
        let pid = parked.pid();
        let failure = world.start(parked, &world.prepare(&spec)).err().unwrap();
        assert_eq!((failure.step, failure.subject.as_str()), (Step::Rlimit, "RLIMIT_NOFILE"));
        assert_eq!(crate::world::reap(pid), 0);
    }
}

fn foreign_parameter(world: &World) {
    let mut spec = spec(&["true"]);
    for (key, errno) in [("kernel.panic", Errno::ACCESS), ("net.nothing", Errno::NOENT)] {
        spec.linux.as_mut().unwrap().sysctl = [(key.to_owned(), "1".to_owned())].into();
        assert_eq!(failure(world, &spec), (Step::Sysctl, errno, key.replace('.', "/")));
    }
}

fn oom_score(world: &World) {
    let mut spec = spec(&["cat", "/proc/self/oom_score_adj"]);
    spec.process.as_mut().unwrap().oom_score_adj = Some(500);
    assert_eq!(world.run(&spec).unwrap().out, "500\n");
    spec.process.as_mut().unwrap().oom_score_adj = Some(-1000);
    assert_eq!(failure(world, &spec), (Step::Rlimit, Errno::ACCESS, "oom_score_adj".into()));
}

fn bad_filter(world: &World) {
    let mut prepared = world.prepare(&spec(&["true"]));
    prepared.plan.process.seccomp = Some(vec![0xff; 16]);
    let failure = world.start(world.park(), &prepared).err().unwrap();
    assert_eq!((failure.step, failure.errno), (Step::Seccomp, Errno::INVAL.raw_os_error()));
}

fn exec_failures(world: &World) {
    let running = world.start(world.park(), &world.prepare(&spec(&["sleep", "1000"]))).unwrap();
    let mut bad = process(&["true"]);
    bad.cwd = "/etc/passwd".into();
    let of = |process| {
        let failure = world.exec(&running, &process).err().unwrap();
        (failure.step, Errno::from_raw_os_error(failure.errno))
    };
    assert_eq!(of(process(&["nothing"])), (Step::LookPath, Errno::NOENT));
    assert_eq!(of(process(&["/etc"])), (Step::LookPath, Errno::ISDIR));
    assert_eq!(of(bad), (Step::WorkingDirectory, Errno::NOTDIR));
    running.kill();
}
