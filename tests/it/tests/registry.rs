//! Registries: Debian's and our own, against dhow, docker, skopeo, podman and buildah, in both directions.

use it::{Maker, Registry, Stage, within};
use std::process::{Command, Stdio};

const MAKERS: [(Maker, u16); 2] = [(Maker::Debian, 5001), (Maker::Own, 5002)];

/// The digest that skopeo sees.
fn seen(stage: &Stage, name: &str) -> String {
    let words = ["inspect", "--tls-verify=false", "--format", "{{.Digest}}", &format!("docker://{name}")];
    stage.tool("skopeo", words).ok().trim().to_owned()
}

#[test]
fn what_dhow_pushes_others_pull_byte_for_byte() {
    let stage = Stage::new();
    for (maker, port) in MAKERS {
        let registry = Registry::start(&stage, maker, port);
        let name = registry.name("deep/er/box:1");
        stage.dhow(["tag", "busybox", &name]).ok();
        let said = stage.dhow(["push", &name]).ok();
        let digest = seen(&stage, &name);
        assert!(said.contains(&digest), "{maker:?}: {said}");
        let known = stage.dhow(["inspect", "-f", "{{join .RepoDigests \" \"}}", &name]).ok();
        assert!(known.contains(&format!("{}@{digest}", registry.name("deep/er/box"))), "{known}");

        let copy = stage.folder().join(format!("copy-{port}"));
        let from = format!("docker://{name}");
        stage.tool("skopeo", ["copy", "-q", "--src-tls-verify=false", &from, &format!("dir:{}", copy.display())]).ok();
        stage.own_store("podman", ["pull", "-q", "--tls-verify=false", &name]).ok();
        let podman = stage.own_store("podman", ["inspect", "-f", "{{.Digest}}", &name]).ok();
        assert_eq!(podman.trim(), digest, "{maker:?}");
        stage.own_store("buildah", ["pull", "-q", "--tls-verify=false", &name]).ok();

        stage.dhow(["rmi", &name]).ok();
        let again = stage.docker(["pull", &name]).ok();
        assert!(again.contains(&format!("Digest: {digest}")), "{again}");
        assert_eq!(stage.dhow(["run", "--rm", &name, "echo", "back"]).ok(), "back\n");
        stage.dhow(["rmi", &name]).ok();
    }
}

#[test]
fn what_others_push_dhow_pulls_and_runs() {
    let stage = Stage::bare();
    let archive = format!("docker-archive:{}", it::busybox_archive().display());
    for (maker, port) in MAKERS {
        let registry = Registry::start(&stage, maker, port);
        let from_skopeo = registry.name("by/skopeo:1");
        let to = format!("docker://{from_skopeo}");
        stage.tool("skopeo", ["copy", "-q", "--dest-tls-verify=false", &archive, &to]).ok();
        let from_podman = registry.name("by/podman:1");
        stage.own_store("podman", ["pull", "-q", &archive]).ok();
        let to = format!("docker://{from_podman}");
        stage.own_store("podman", ["push", "-q", "--tls-verify=false", "busybox", &to]).ok();
        let from_buildah = registry.name("by/buildah:1");
        let to = format!("docker://{from_buildah}");
        stage.own_store("buildah", ["push", "-q", "--tls-verify=false", "localhost/busybox", &to]).ok();
        for name in [&from_skopeo, &from_podman, &from_buildah] {
            let digest = seen(&stage, name);
            let said = stage.dhow(["pull", name]).ok();
            assert!(said.contains(&digest), "{maker:?} {name}: {said}");
            assert!(said.contains("Status: Downloaded newer image for"), "{said}");
            assert_eq!(stage.dhow(["run", "--rm", name, "cat", "/data/seed"]).ok(), "from the image\n");
            let again = stage.dhow(["pull", name]).ok();
            assert!(again.contains("Status: Image is up to date for"), "{again}");
            // What was pulled goes on byte for byte.
            let onward = registry.name("onward:1");
            stage.dhow(["tag", name, &onward]).ok();
            stage.dhow(["push", "-q", &onward]).ok();
            assert_eq!(seen(&stage, &onward), digest);
            stage.dhow(["rmi", name, &onward]).ok();
        }
    }
}

#[test]
fn an_image_is_pulled_when_a_container_needs_it() {
    let stage = Stage::new();
    let registry = Registry::start(&stage, Maker::Debian, 5003);
    let name = registry.name("box:1");
    stage.docker(["tag", "busybox", &name]).ok();
    stage.docker(["push", &name]).ok();
    stage.dhow(["rmi", &name, "busybox"]).ok();
    let run = stage.dhow(["run", "--rm", &name, "echo", "pulled"]);
    assert!(run.err.contains(&format!("Unable to find image '{name}' locally")), "{}", run.err);
    assert_eq!(run.ok(), "pulled\n");
    stage.dhow(["rmi", &name]).ok();
    assert_eq!(stage.docker(["run", "--rm", "-q", &name, "echo", "again"]).ok(), "again\n");
    let digest = seen(&stage, &name);
    let by_digest = format!("{}@{digest}", registry.name("box"));
    assert_eq!(stage.dhow(["run", "--rm", "--pull", "always", "-q", &by_digest, "echo", "exact"]).ok(), "exact\n");
}

#[test]
fn what_is_not_there_is_told_in_dockers_words() {
    let stage = Stage::new();
    let registry = Registry::start(&stage, Maker::Debian, 5004);
    let missing = registry.name("no/such:1");
    let said = stage.docker(["pull", &missing]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains(&format!("manifest for {missing} not found: manifest unknown")), "{}", said.err);
    let said = stage.docker(["push", &missing]);
    assert!(said.err.contains("An image does not exist locally with the tag"), "{}", said.err);
    let nobody = stage.docker(["pull", "127.0.0.1:9/x:1"]);
    assert_eq!(nobody.code, 1);
    assert!(nobody.err.contains("connection refused"), "{}", nobody.err);
    assert_eq!(stage.docker(["pull", "BAD/name"]).code, 1);
}

#[test]
fn an_interrupted_pull_leaves_nothing_and_the_next_one_succeeds() {
    let stage = Stage::bare();
    let registry = Registry::start(&stage, Maker::Own, 5005);
    let before = stage.image_files();
    let name = registry.name("layered:1");
    let archive = format!("docker-archive:{}", it::layered_archive().display());
    stage.tool("skopeo", ["copy", "-q", "--dest-tls-verify=false", &archive, &format!("docker://{name}")]).ok();
    for _ in 0..5 {
        let mut pull = stage.dhow_command(["pull", &name]);
        let mut pull = pull.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        within("something arrives", || stage.image_files() != before || pull.try_wait().unwrap().is_some());
        pull.kill().unwrap();
        pull.wait().unwrap();
        stage.dhow(["rmi", &name]);
        within("nothing is left", || stage.image_files() == before);
    }
    stage.dhow(["pull", "-q", &name]).ok();
    assert_eq!(stage.dhow(["run", "--rm", &name, "ls", "/part11/3"]).ok().lines().count(), 10);
    stage.dhow(["system", "fsck"]).ok();
}

#[test]
fn many_pulls_of_one_image_at_once_bring_it_once() {
    let stage = Stage::bare();
    let registry = Registry::start(&stage, Maker::Own, 5006);
    let archive = format!("docker-archive:{}", it::layered_archive().display());
    let names: Vec<String> = (0..4).map(|index| registry.name(&format!("layered{}:1", index % 2))).collect();
    for name in &names[..2] {
        stage.tool("skopeo", ["copy", "-q", "--dest-tls-verify=false", &archive, &format!("docker://{name}")]).ok();
    }
    let pulls: Vec<_> = names
        .iter()
        .map(|name| stage.dhow_command(["pull", "-q", name]).stdout(Stdio::piped()).spawn().unwrap())
        .collect();
    for pull in pulls {
        let output = pull.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let layers = std::fs::read_dir(stage.data_root().join("layers/sha256")).unwrap().count();
    assert_eq!(layers, 12);
    stage.dhow(["system", "fsck"]).ok();
}

#[test]
fn the_store_is_a_layout_that_other_tools_read() {
    let stage = Stage::new();
    let layout = stage.data_root().join("content").display().to_string();
    let copy = stage.folder().join("copy");
    let from = format!("oci:{layout}:busybox:latest");
    stage.tool("skopeo", ["copy", "-q", &from, &format!("dir:{}", copy.display())]).ok();
    let bundle = stage.folder().join("bundle");
    let words = ["raw", "unpack", "--image", &format!("{layout}:busybox:latest")];
    let unpacked = Command::new("umoci").args(words).arg(&bundle).output().unwrap();
    assert!(unpacked.status.success(), "{}", String::from_utf8_lossy(&unpacked.stderr));
    assert_eq!(std::fs::read_to_string(bundle.join("data/seed")).unwrap(), "from the image\n");
}

#[test]
fn what_is_saved_others_load_and_what_they_save_is_loaded() {
    let stage = Stage::new();
    let file = stage.folder().join("saved.tar").display().to_string();
    stage.dhow(["tag", "busybox", "example.org/other:2"]).ok();
    stage.docker(["save", "-o", &file, "busybox", "example.org/other:2"]).ok();
    stage.own_store("podman", ["load", "-q", "-i", &file]).ok();
    let names = stage.own_store("podman", ["images", "--format", "{{.Repository}}:{{.Tag}}"]).ok();
    assert!(names.contains("busybox:latest") && names.contains("example.org/other:2"), "{names}");
    for format in ["docker-archive", "oci-archive"] {
        let to = stage.folder().join(format);
        let from = if format == "docker-archive" {
            format!("{format}:{file}:busybox:latest")
        } else {
            format!("{format}:{file}:latest")
        };
        stage.tool("skopeo", ["copy", "-q", &from, &format!("dir:{}", to.display())]).ok();
    }
    let id = stage.dhow(["images", "-q", "--no-trunc", "busybox"]).ok();
    stage.dhow(["rmi", "-f", "busybox", "example.org/other:2"]).ok();
    let said = stage.dhow(["load", "-i", &file]).ok();
    assert!(said.contains("Loaded image: busybox:latest") && said.contains("example.org/other:2"), "{said}");
    assert_eq!(stage.dhow(["images", "-q", "--no-trunc", "busybox"]).ok(), id);

    let by_podman = stage.folder().join("podman.tar").display().to_string();
    for format in ["docker-archive", "oci-archive"] {
        let _ = std::fs::remove_file(&by_podman);
        stage.own_store("podman", ["save", "-q", "--format", format, "-o", &by_podman, "busybox"]).ok();
        stage.dhow(["rmi", "-f", "busybox", "example.org/other:2"]);
        stage.dhow(["load", "-q", "-i", &by_podman]).ok();
        let run = stage.dhow(["run", "--rm", "localhost/busybox", "echo", format]);
        assert_eq!(run.ok(), format!("{format}\n"));
        stage.dhow(["rmi", "localhost/busybox"]).ok();
    }
}

#[test]
fn a_machine_feeds_others_with_its_own_images() {
    let stage = Stage::new();
    let mut command = stage.inside(it::binary());
    command.args(["registry", "serve", "--address", "127.0.0.1:5007", "--data-root"]).arg(stage.data_root());
    command.args(["--host", &stage.host()]);
    let mut server = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let here = "docker://127.0.0.1:5007";
    let copy = format!("dir:{}", stage.folder().join("copy").display());
    within("it serves", || {
        let words = ["copy", "-q", "--src-tls-verify=false", &format!("{here}/busybox:latest"), &copy];
        stage.tool("skopeo", words).code == 0
    });
    let archive = format!("docker-archive:{}", it::busybox_archive().display());
    stage.tool("skopeo", ["copy", "-q", "--dest-tls-verify=false", &archive, &format!("{here}/given/box:7")]).ok();
    assert_eq!(stage.dhow(["run", "--rm", "given/box:7", "echo", "fed"]).ok(), "fed\n");
    server.kill().unwrap();
    server.wait().unwrap();
}
