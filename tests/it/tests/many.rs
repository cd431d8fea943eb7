//! A thousand containers at once.

use it::{Stage, within};
use std::process::Stdio;

const CONTAINERS: usize = 1000;
const AT_ONCE: usize = 8;

#[test]
fn a_thousand_containers_run_at_once_and_all_go() {
    let stage = Stage::new();
    let before = layer_bytes(&stage);
    std::thread::scope(|scope| {
        for worker in 0..AT_ONCE {
            let stage = &stage;
            scope.spawn(move || {
                for index in (worker..CONTAINERS).step_by(AT_ONCE) {
                    let name = format!("m{index}");
                    let status = stage
                        .dhow_command(["run", "-d", "--name", &name, "busybox", "sleep", "100000"])
                        .stdout(Stdio::null())
                        .status();
                    assert!(status.unwrap().success(), "{name}");
                }
            });
        }
    });
    assert_eq!(stage.dhow(["ps", "-q"]).ok().lines().count(), CONTAINERS);
    assert_eq!(layer_bytes(&stage), before, "the image is on disk once");
    let ids = stage.dhow(["ps", "-q"]).ok();
    let ids: Vec<&str> = ids.split_whitespace().collect();
    for some in ids.chunks(100) {
        let mut words = vec!["rm", "-f"];
        words.extend(some);
        stage.dhow(words).ok();
    }
    within("all are gone", || stage.dhow(["ps", "-aq"]).out.is_empty());
}

/// Bytes of all layers' trees.
fn layer_bytes(stage: &Stage) -> String {
    let line = format!("du -sbc {}/layers/sha256/*/diff | tail -n 1", stage.data_root().display());
    let output = std::process::Command::new("sh").args(["-c", &line]).output();
    String::from_utf8_lossy(&output.unwrap().stdout).split_whitespace().next().unwrap_or_default().to_owned()
}
