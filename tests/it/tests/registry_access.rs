//! Who may use a registry and how it is found: passwords, certificates, mirrors, caches, and one that is killed.

use it::{Maker, Registry, Stage, within};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// `ann` with the password `s3cret`, as `htpasswd -B` writes it.
const USERS: &str = "ann:$2y$05$sXkSjdokP9eZOi.3V9HFLe/wMWA/gfG.z5GZd9psaVGYjjJ8jnYVW\n";

/// Starts a registry of ann's alone.
fn with_password(stage: &Stage, address: &str, more: &[&str]) -> Registry {
    let users = stage.folder().join("users");
    fs::write(&users, USERS).unwrap();
    let port = address.rsplit_once(':').unwrap().1;
    let root = stage.folder().join(format!("registry-{port}")).display().to_string();
    let users = users.display().to_string();
    Registry::serve(stage, address, &[&["--root", &root, "--htpasswd", &users], more].concat())
}

/// Runs a command; its exit code, and all that it says.
fn said(mut command: Command, stdin: &str) -> (i32, String) {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Who does not read a password says why.
    let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), stdin.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap_or(-1), text)
}

#[track_caller]
fn fine((code, text): (i32, String)) -> String {
    assert_eq!(code, 0, "{text}");
    text
}

#[track_caller]
fn refused((code, text): (i32, String), why: &str) {
    assert!(code != 0 && text.contains(why), "{code}: {text}");
}

#[test]
fn a_registry_with_users_wants_a_password_of_dhow_and_of_docker() {
    let stage = Stage::new();
    let registry = with_password(&stage, "127.0.0.1:5010", &[]);
    let address = registry.address.as_str();
    for client in ["dhow", "docker"] {
        let folder = stage.folder().join(format!("config-{client}"));
        let ask = |words: &[&str], stdin: &str| {
            let mut command = match client {
                "dhow" => stage.dhow_command(words),
                _ => stage.docker_command(words),
            };
            command.env("DOCKER_CONFIG", &folder);
            said(command, stdin)
        };
        let name = registry.name(&format!("{client}/box:1"));
        fine(ask(&["tag", "busybox", &name], ""));
        refused(ask(&["push", &name], ""), "no basic auth credentials");
        refused(ask(&["pull", &name], ""), "no basic auth credentials");

        let login = ["login", "-u", "ann", "--password-stdin", address];
        let no = format!("login attempt to http://{address}/v2/ failed with status: 401 Unauthorized");
        refused(ask(&login, "wrong\n"), &no);
        let kept = || fs::read_to_string(folder.join("config.json")).unwrap_or_default();
        assert!(!kept().contains("auth\""), "a wrong password is not kept: {}", kept());
        assert!(fine(ask(&login, "s3cret\n")).contains("Login Succeeded"));
        assert!(kept().contains(address), "{}", kept());

        fine(ask(&["push", &name], ""));
        fine(ask(&["rmi", &name], ""));
        assert!(fine(ask(&["pull", &name], "")).contains("Downloaded newer image"));
        assert_eq!(fine(ask(&["run", "--rm", "--pull", "always", "-q", &name, "echo", "mine"], "")), "mine\n");

        let out = fine(ask(&["logout", address], ""));
        assert!(out.contains(&format!("Removing login credentials for {address}")), "{out}");
        assert!(!kept().contains(address), "{}", kept());
        refused(ask(&["pull", &name], ""), "no basic auth credentials");
        fine(ask(&["rmi", &name], ""));
    }
}

/// An address that is not loopback, where any certificate would do, and a folder /etc of the stage's own in which
/// `registry.test` is that address.
fn own_world(stage: &Stage) {
    let etc = stage.folder().join("etc");
    let line = format!(
        "set -e; cp -a /etc '{etc}'; echo '10.77.0.1 registry.test' >>'{etc}/hosts'; mount --bind '{etc}' /etc; \
         ip addr add 10.77.0.1/32 dev lo",
        etc = etc.display()
    );
    stage.shell_inside(&line).ok();
}

/// Makes a CA (`ca.crt`) and a certificate for `registry.test` (`server.crt`, `server.key`) in a folder.
fn make_certificates(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let script = "set -e
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=ca \
            -addext basicConstraints=critical,CA:TRUE -keyout ca.key -out ca.crt
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=registry.test \
            -keyout server.key -out server.csr
        echo 'subjectAltName=DNS:registry.test' >extensions
        openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 \
            -extfile extensions -out server.crt";
    let made = Command::new("sh").args(["-c", script]).current_dir(folder).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

#[test]
fn a_registry_with_a_certificate_of_its_own_is_trusted_by_certs_d_alone() {
    let stage = Stage::new();
    own_world(&stage);
    let certificates = stage.folder().join("certificates");
    make_certificates(&certificates);
    let [cert, key] = ["server.crt", "server.key"].map(|name| certificates.join(name).display().to_string());
    let registry = with_password(&stage, "10.77.0.1:5443", &["--tls-cert", &cert, "--tls-key", &key]);
    let config = stage.folder().join("config");
    let ask = |words: &[&str], stdin: &str| {
        let mut command = stage.dhow_command(words);
        command.env("DOCKER_CONFIG", &config);
        said(command, stdin)
    };
    let login = ["login", "-u", "ann", "--password-stdin", "registry.test:5443"];
    refused(ask(&login, "s3cret"), "x509: certificate signed by unknown authority");

    let trusted = stage.folder().join("etc/dhow/certs.d/registry.test:5443");
    fs::create_dir_all(&trusted).unwrap();
    fs::copy(certificates.join("ca.crt"), trusted.join("ca.crt")).unwrap();
    fine(ask(&login, "s3cret"));
    let name = "registry.test:5443/safe/box:1";
    fine(ask(&["tag", "busybox", name], ""));
    fine(ask(&["push", name], ""));
    fine(ask(&["rmi", name], ""));
    assert_eq!(fine(ask(&["run", "--rm", "-q", name, "echo", "safe"], "")), "safe\n");
    fine(ask(&["rmi", name], ""));

    // The right authority, the wrong name.
    let other = stage.folder().join(format!("etc/dhow/certs.d/{}", registry.address));
    fs::create_dir_all(&other).unwrap();
    fs::copy(certificates.join("ca.crt"), other.join("ca.crt")).unwrap();
    refused(ask(&["pull", &registry.name("safe/box:1")], ""), "certificate is not valid for");
}

/// Puts busybox into a registry by skopeo.
fn fill(stage: &Stage, registry: &Registry, repository: &str) {
    let archive = format!("docker-archive:{}", it::busybox_archive().display());
    let to = format!("docker://{}", registry.name(repository));
    stage.tool("skopeo", ["copy", "-q", "--dest-tls-verify=false", &archive, &to]).ok();
}

#[test]
fn docker_hubs_images_come_from_a_mirror_without_the_internet() {
    let mut stage = Stage::bare();
    let mirror = Registry::start(&stage, Maker::Own, 5012);
    fill(&stage, &mirror, "library/busybox:latest");
    // The first mirror is dead.
    let flags = ["--registry-mirror", "http://127.0.0.1:9", "--registry-mirror", "http://127.0.0.1:5012"];
    stage.restart_with(&flags);
    let run = stage.dhow(["run", "--rm", "busybox", "echo", "mirrored"]);
    assert!(run.err.contains("Unable to find image 'busybox:latest' locally"), "{}", run.err);
    assert_eq!(run.ok(), "mirrored\n");
    let names = stage.dhow(["images", "--format", "{{.Repository}}:{{.Tag}}"]).ok();
    assert!(names.lines().any(|name| name == "busybox:latest"), "{names}");
    stage.dhow(["rmi", "busybox"]).ok();
    assert_eq!(stage.docker(["run", "--rm", "-q", "busybox", "echo", "again"]).ok(), "again\n");
    let missing = stage.dhow(["pull", "not-in-the-mirror"]);
    assert_eq!(missing.code, 1, "{}", missing.err);
}

#[test]
fn any_registry_may_have_a_mirror_and_is_asked_itself_when_that_is_dead() {
    let stage = Stage::bare();
    own_world(&stage);
    let registry = Registry::start(&stage, Maker::Own, 5014);
    let mut mirror = Registry::start(&stage, Maker::Own, 5015);
    fill(&stage, &registry, "deep/box:1");
    fill(&stage, &mirror, "deep/box:1");
    let folder = stage.folder().join("etc/dhow/certs.d/registry.test");
    fs::create_dir_all(&folder).unwrap();
    let hosts = "server = \"http://127.0.0.1:5014\"\n[host.\"http://127.0.0.1:5015\"]\n";
    fs::write(folder.join("hosts.toml"), hosts).unwrap();
    let asked = |port: u16| {
        let log = fs::read_to_string(stage.folder().join(format!("registry-{port}.log"))).unwrap();
        log.lines().any(|line| line.contains("GET /v2/deep/box/blobs/"))
    };
    let name = "registry.test/deep/box:1";
    stage.dhow(["pull", "-q", name]).ok();
    assert!(asked(5015) && !asked(5014), "the mirror has it");
    stage.dhow(["rmi", name]).ok();
    mirror.kill();
    stage.dhow(["pull", "-q", name]).ok();
    assert!(asked(5014), "the registry has it, too");
    assert_eq!(stage.dhow(["run", "--rm", name, "echo", "found"]).ok(), "found\n");
}

#[test]
fn a_cache_serves_what_came_through_it_when_its_upstream_is_gone() {
    let stage = Stage::bare();
    let mut upstream = Registry::start(&stage, Maker::Debian, 5016);
    fill(&stage, &upstream, "some/box:1");
    let root = stage.folder().join("cache").display().to_string();
    let cache = Registry::serve(&stage, "127.0.0.1:5017", &["--proxy", "http://127.0.0.1:5016", "--root", &root]);
    let name = cache.name("some/box:1");
    stage.dhow(["pull", "-q", &name]).ok();
    stage.dhow(["rmi", &name]).ok();
    upstream.kill();
    stage.docker(["pull", "-q", &name]).ok();
    assert_eq!(stage.dhow(["run", "--rm", &name, "echo", "kept"]).ok(), "kept\n");
    let missing = stage.dhow(["pull", &cache.name("some/box:2")]);
    assert_eq!(missing.code, 1, "{}", missing.err);
    let copy = format!("dir:{}", stage.folder().join("copy").display());
    stage.tool("skopeo", ["copy", "-q", "--src-tls-verify=false", &format!("docker://{name}"), &copy]).ok();
}

/// Bytes below a folder, and files.
fn weight(folder: &Path) -> (u64, usize) {
    let Ok(entries) = fs::read_dir(folder) else { return (0, 0) };
    entries.flatten().fold((0, 0), |(bytes, files), entry| match entry.metadata() {
        Ok(data) if data.is_dir() => {
            let (more, others) = weight(&entry.path());
            (bytes + more, files + others)
        }
        Ok(data) => (bytes + data.len(), files + 1),
        Err(_) => (bytes, files),
    })
}

/// Waits until the push has come as far as `far` says, or has ended.
fn until(pushing: &mut Child, far: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !far() && pushing.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "the push goes on");
    }
}

/// An image whose layer is 16 MiB of noise that no other has.
fn noise(stage: &Stage, name: &str) {
    let tar = stage.folder().join("noise.tar").display().to_string();
    let folder = stage.folder().display();
    stage
        .shell_inside(&format!(
            "head -c 16777216 /dev/urandom >'{folder}/noise' && tar -C '{folder}' -cf '{tar}' noise"
        ))
        .ok();
    stage.dhow(["import", &tar, name]).ok();
}

/// All tags of the registry in the folder, as `repository:tag`.
fn tags(root: &Path) -> Vec<String> {
    let Ok(repositories) = fs::read_dir(root.join("repositories")) else { return Vec::new() };
    let tags_of = |name: String| {
        let tags = fs::read_dir(root.join("repositories").join(&name).join("_tags")).into_iter().flatten().flatten();
        let tags = tags.map(|tag| tag.file_name().to_string_lossy().into_owned()).filter(|tag| !tag.starts_with('.'));
        tags.map(move |tag| format!("{name}:{tag}")).collect::<Vec<_>>()
    };
    repositories.flatten().flat_map(|entry| tags_of(entry.file_name().to_string_lossy().into_owned())).collect()
}

#[test]
fn a_push_that_is_given_up_leaves_nothing_in_the_registry() {
    let stage = Stage::bare();
    let registry = Registry::start(&stage, Maker::Own, 5019);
    let uploads = stage.folder().join("registry-5019/uploads");
    let name = registry.name("given/up:1");
    noise(&stage, &name);
    let mut pushing = stage.dhow_command(["push", "-q", &name]);
    let mut pushing = pushing.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until(&mut pushing, || weight(&uploads).0 > 0);
    pushing.kill().unwrap();
    pushing.wait().unwrap();
    within("no upload is left", || fs::read_dir(&uploads).unwrap().count() == 0);
    stage.dhow(["push", "-q", &name]).ok();
}

#[test]
fn a_registry_that_is_killed_in_the_middle_of_pushes_has_whole_images_only() {
    let stage = Stage::bare();
    let root = stage.folder().join("registry-5018");
    let copy = format!("dir:{}", stage.folder().join("copy").display());
    let mut interrupted = 0;
    for round in 0..10 {
        let mut registry = Registry::start(&stage, Maker::Own, 5018);
        let name = registry.name(&format!("round{round}:1"));
        noise(&stage, &name);
        let mut pushing = stage.dhow_command(["push", "-q", &name]);
        let mut pushing = pushing.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let (blobs, own) = (weight(&root.join("blobs")).1, root.join(format!("repositories/round{round}")));
        let uploads = || weight(&root.join("uploads")).0;
        until(&mut pushing, || match round % 5 {
            0 => uploads() > 0,
            1 => uploads() > 4 << 20,
            2 => uploads() > 12 << 20,
            3 => weight(&root.join("blobs")).1 > blobs,
            _ => weight(&own).1 > 1,
        });
        registry.kill();
        // Who pushes finds nobody, tries again for a while and gives up, or has finished.
        pushing.kill().unwrap();
        pushing.wait().unwrap();

        interrupted += usize::from(!tags(&root).contains(&format!("round{round}:1")));
        let registry = Registry::start(&stage, Maker::Own, 5018);
        for tag in tags(&root) {
            let from = format!("docker://{}", registry.name(&tag));
            stage.tool("skopeo", ["copy", "-q", "--src-tls-verify=false", &from, &copy]).ok();
        }
        stage.dhow(["push", "-q", &name]).ok();
        let from = format!("docker://{name}");
        stage.tool("skopeo", ["copy", "-q", "--src-tls-verify=false", &from, &copy]).ok();
        stage.dhow(["rmi", &name]).ok();
    }
    assert_eq!(tags(&root).len(), 10);
    assert!(interrupted >= 6, "only {interrupted} of 10 pushes were interrupted");
}
