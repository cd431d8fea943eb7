//! Measures a launch: from the order to the parked process until execve of a static program, with Docker's standard mounts.
//!
//! As root: `cargo run -p runtime --example launch [TIMES]`. Prints medians in microseconds.

#[path = "../tests/containers/world.rs"]
mod world;

use std::os::fd::AsFd;
use std::time::Instant;
use world::{World, bind, reap, spec};

fn main() {
    let times: usize = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(100);
    let world = World::new();
    // As an image has them, or the layer that an engine puts over it.
    for folder in ["proc", "sys", "dev"] {
        std::fs::create_dir_all(world.tree().join(folder)).expect("mkdir");
    }
    let mut spec = spec(&["/bin/true"]);
    for name in ["hosts", "hostname", "resolv.conf"] {
        let file = world.home.path().join(name);
        std::fs::write(&file, "").expect("write");
        std::fs::write(world.tree().join("etc").join(name), "").expect("write");
        spec.mounts.push(bind(&file, &format!("/etc/{name}"), &["rbind", "rprivate"]));
    }
    let names = ["park", "overlay", "prepare", "launch", "execve", "exit"];
    let mut samples = vec![Vec::new(); names.len()];
    for _ in 0..times {
        for (all, micros) in samples.iter_mut().zip(once(&world, &spec)) {
            all.push(micros);
        }
    }
    for (name, mut all) in names.into_iter().zip(samples) {
        all.sort_unstable();
        println!("{name:>8} {:>6} µs median, {:>6} µs best", all[all.len() / 2], all[0]);
    }
}

fn once(world: &World, spec: &oci::runtime::Spec) -> [u128; 6] {
    let mut at = Instant::now();
    let mut lap = || {
        let now = Instant::now();
        let passed = now.duration_since(at).as_micros();
        at = now;
        passed
    };
    let parked = world.park();
    let park = lap();
    let (root, _) = world.root(Some(world.user.as_fd()));
    let overlay = lap();
    let prepared = world.prepare_on(spec, root);
    let prepare = lap();
    let fds: Vec<_> = prepared.fds.iter().map(AsFd::as_fd).collect();
    let null = rustix::fs::open("/dev/null", rustix::fs::OFlags::RDWR, rustix::fs::Mode::empty()).expect("null");
    let stdio = runtime::Stdio::Files([null.as_fd(); 3]);
    let mut starting = runtime::launch(&world.thread, parked, &prepared.plan, &fds, stdio).expect("launch");
    let launch = lap();
    let outcome = loop {
        match starting.on_readable() {
            None => world::readable(starting.socket()),
            Some(outcome) => break outcome,
        }
    };
    let execve = lap();
    let runtime::Outcome::Started { .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(reap(starting.pid()), 0);
    [park, overlay, prepare, launch, execve, lap()]
}
