//! How images come to an end before their time: a disk budget, a removal beside a creation, a client that goes away.

use it::{Maker, Registry, Stage, within};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes of files that nothing makes smaller.
fn noise(path: &Path, bytes: u64) {
    let mut random = fs::File::open("/dev/urandom").unwrap().take(bytes);
    std::io::copy(&mut random, &mut fs::File::create(path).unwrap()).unwrap();
}

/// A tar of a root that runs, with so many bytes of noise in it.
fn root_tar(stage: &Stage, name: &str, bytes: u64) -> PathBuf {
    let root = stage.folder().join("root");
    it::busybox_root(&root).unwrap();
    noise(&root.join("noise"), bytes);
    let tar = stage.folder().join(format!("{name}.tar"));
    let done = Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&tar).arg(".").status().unwrap();
    assert!(done.success());
    fs::remove_dir_all(root).unwrap();
    tar
}

/// Twice as much is on disk then: the tree, and what it came as.
fn import(stage: &Stage, name: &str, megabytes: u64) {
    let tar = root_tar(stage, name, megabytes << 20);
    let words = ["import", "-c", "ENV PATH=/bin", tar.to_str().unwrap(), &format!("{name}:1")];
    stage.dhow(words).ok();
    fs::remove_file(tar).unwrap();
}

/// The repositories that are here, but for the host.
fn images(stage: &Stage) -> Vec<String> {
    let listed = stage.dhow(["images", "--format", "{{.Repository}}"]).ok();
    let mut names: Vec<String> = listed.lines().filter(|name| *name != "host").map(str::to_owned).collect();
    names.sort();
    names
}

/// Seconds since the epoch.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// How often an action of an image was told.
fn events(stage: &Stage, action: &str) -> usize {
    // docker knows whole seconds only: the next one is not over yet.
    let until = now() + 1;
    let filter = format!("event={action}");
    let words =
        ["events", "--since", "1h", "--until", &until.to_string(), "--filter", "type=image", "--filter", &filter];
    stage.docker(words).ok().lines().count()
}

#[test]
fn a_disk_budget_takes_the_longest_unused_and_spares_what_containers_stand_on() {
    let mut stage = Stage::bare();
    stage.restart_with(&["--disk-budget", "90MB"]);
    import(&stage, "kept", 8);
    stage.dhow(["run", "--name", "box", "kept:1", "true"]).ok();
    import(&stage, "used", 8);
    import(&stage, "unused", 8);
    stage.dhow(["run", "--rm", "used:1", "true"]).ok();
    assert_eq!(images(&stage), ["kept", "unused", "used"]);
    import(&stage, "third", 20);
    assert_eq!(images(&stage), ["kept", "third", "used"]);

    // More than all of it: what has just come stays, whatever it weighs.
    import(&stage, "huge", 50);
    assert_eq!(images(&stage), ["huge", "kept"]);
    stage.dhow(["run", "--rm", "huge:1", "true"]).ok();
    stage.dhow(["start", "-a", "box"]).ok();
    stage.dhow(["system", "fsck"]).ok();
    assert_eq!(events(&stage, "delete"), 3);

    // It holds for an engine that has never seen them come.
    stage.dhow(["rm", "box"]).ok();
    stage.restart_with(&["--disk-budget", "60MB"]);
    import(&stage, "last", 1);
    assert_eq!(images(&stage), ["last"]);
}

#[test]
fn what_a_dead_registry_server_left_counts() {
    let mut stage = Stage::bare();
    stage.restart_with(&["--disk-budget", "60MB"]);
    import(&stage, "old", 8);
    let df = ["system", "df", "--format", "{{.Type}} {{.Size}}"];
    let size = |text: String| text.lines().find(|line| line.starts_with("Images")).unwrap().to_owned();
    let before = size(stage.dhow(df).ok());
    let uploads = stage.data_root().join("registry/uploads");
    fs::create_dir_all(&uploads).unwrap();
    noise(&uploads.join("left"), 40 << 20);
    assert_ne!(size(stage.dhow(df).ok()), before);
    import(&stage, "new", 1);
    assert_eq!(images(&stage), ["new"]);
}

#[test]
fn a_container_is_made_of_a_whole_image_or_not_at_all() {
    let stage = Stage::new();
    let archive = it::busybox_archive().display().to_string();
    let mut made = 0;
    for _ in 0..40 {
        stage.dhow(["load", "-q", "-i", &archive]).ok();
        let spawn =
            |words: &[&str]| stage.dhow_command(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut removals = [spawn(&["rmi", "busybox"]), spawn(&["image", "prune", "-a", "-f"])];
        let created = spawn(&["create", "--pull", "never", "--name", "box", "busybox", "true"]).wait().unwrap();
        for removal in &mut removals {
            removal.wait().unwrap();
        }
        if created.success() {
            made += 1;
            stage.dhow(["start", "-a", "box"]).ok();
            stage.dhow(["rm", "box"]).ok();
        }
    }
    stage.dhow(["system", "fsck"]).ok();
    eprintln!("{made} of 40 were made");
}

/// A request to the engine by curl, which does not wait for anything but its output.
fn curl(stage: &Stage, words: &[&str]) -> Child {
    let mut command = stage.inside("curl");
    command.args(["-sN", "--unix-socket", &stage.host()["unix://".len()..]]).args(words);
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// Ends a client by SIGKILL once it has read a line with this in it.
fn kill_at(mut client: Child, words: &str) {
    let lines = BufReader::new(client.stdout.take().unwrap()).lines();
    let seen = lines.map_while(Result::ok).any(|line| line.contains(words));
    client.kill().unwrap();
    client.wait().unwrap();
    assert!(seen, "the client never read {words}");
}

#[test]
fn a_push_ends_with_its_client_and_leaves_nothing() {
    let stage = Stage::bare();
    let registry = Registry::start(&stage, Maker::Own, 5020);
    import(&stage, "big", 300);
    let name = registry.name("big:1");
    stage.dhow(["tag", "big:1", &name]).ok();
    let path = format!("http://d/v1.43/images/{}/push?tag=1", registry.name("big"));
    for _ in 0..3 {
        kill_at(
            curl(&stage, &["-X", "POST", "-H", "X-Registry-Auth: e30=", &path]),
            r#""Pushing","progressDetail":{"c"#,
        );
        let uploads = stage.folder().join("registry-5020/uploads");
        let left = || fs::read_dir(&uploads).map_or(0, Iterator::count);
        within("the registry has no half upload", || left() == 0);
        let tags = format!("http://{}/v2/big/tags/list", registry.address);
        assert!(stage.tool("curl", ["-s", &tags]).out.contains("NAME_UNKNOWN"));
        // What was made ready for the push is a part of the image now.
        stage.dhow(["system", "fsck"]).ok();
    }
    assert_eq!(events(&stage, "push"), 0);
    stage.dhow(["push", "-q", &name]).ok();
    stage.dhow(["rmi", "big:1", &name]).ok();
    stage.dhow(["run", "--rm", &name, "true"]).ok();
}

#[test]
fn a_pull_a_load_a_save_and_an_export_end_with_their_clients() {
    let stage = Stage::bare();
    let registry = Registry::start(&stage, Maker::Own, 5021);
    let empty = stage.image_files();
    import(&stage, "big", 300);
    let name = registry.name("big:1");
    stage.dhow(["tag", "big:1", &name]).ok();
    stage.dhow(["push", "-q", &name]).ok();
    let before = stage.image_files();
    stage.dhow(["create", "--name", "box", "big:1", "true"]).ok();
    for path in ["images/big:1/get", "containers/box/export"] {
        let mut client = curl(&stage, &[&format!("http://d/v1.43/{path}")]);
        client.stdout.take().unwrap().read_exact(&mut [0; 1 << 20]).unwrap();
        client.kill().unwrap();
        client.wait().unwrap();
    }
    let archive = stage.folder().join("saved.tar");
    stage.dhow(["save", "-o", archive.to_str().unwrap(), "big:1"]).ok();
    stage.dhow(["rm", "box"]).ok();
    assert_eq!(stage.image_files(), before);
    stage.dhow(["rmi", "big:1", &name]).ok();
    within("the image is gone", || stage.image_files() == empty);

    for _ in 0..3 {
        let path = format!("http://d/v1.43/images/create?fromImage={}&tag=1", registry.name("big"));
        kill_at(curl(&stage, &["-X", "POST", &path]), r#""Downloading","progressDetail":{"c"#);
        within("nothing of the pull is left", || stage.image_files() == empty);
    }

    // Half an archive, and then nobody.
    let mut half = fs::File::open(&archive).unwrap().take(fs::metadata(&archive).unwrap().len() / 2);
    let mut command = stage.inside("curl");
    command.args(["-s", "--unix-socket", &stage.host()["unix://".len()..], "-T", "-", "-X", "POST"]);
    command.arg("http://d/v1.43/images/load").stdin(Stdio::piped()).stdout(Stdio::null());
    let mut client = command.spawn().unwrap();
    let mut pipe = client.stdin.take().unwrap();
    std::io::copy(&mut half, &mut pipe).unwrap();
    within("something arrives", || stage.image_files() != empty);
    client.kill().unwrap();
    client.wait().unwrap();
    within("nothing of the load is left", || stage.image_files() == empty);
    stage.dhow(["system", "fsck"]).ok();
}
