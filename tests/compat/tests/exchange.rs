//! dockerd and dhow give each other images: through dhow's registry, and through archives.

use compat::{Dockerd, REGISTRY_PORT, Seat};
use it::{Maker, Registry, Stage};
use std::path::PathBuf;
use std::process::Command;

/// Folders of test images; dropped last, they are deleted.
struct Fixture(&'static [fn() -> &'static std::path::Path]);

impl Drop for Fixture {
    fn drop(&mut self) {
        for archive in self.0 {
            let _ = std::fs::remove_dir_all(archive().parent().expect("an archive is in a folder"));
        }
    }
}

/// What a command line that must succeed says.
#[track_caller]
fn said(seat: &Seat, line: &str) -> String {
    let answer = seat.run(line);
    assert_eq!(answer.code, 0, "{line}\n{}{}", answer.out, answer.err);
    answer.out
}

/// The digest that a push or a pull tells.
#[track_caller]
fn digest(text: &str) -> &str {
    let at = text.find("sha256:").unwrap_or_else(|| panic!("no digest in {text}"));
    &text[at..at + "sha256:".len() + 64]
}

/// Where a registry keeps its data.
fn registry_root(seat: &Seat) -> PathBuf {
    seat.data_root.with_file_name(format!("registry-{REGISTRY_PORT}"))
}

fn seat_of(stage: &Stage) -> Seat {
    Seat { host: stage.host(), data_root: stage.data_root() }
}

#[test]
fn what_dockerd_pushes_to_our_registry_it_pulls_by_the_same_digest() {
    let _fixture = Fixture(&[it::busybox_archive, it::layered_archive]);
    let dockerd = Dockerd::start();
    let seat = dockerd.seat();
    let registry = dockerd.registry(Maker::Own);
    said(&seat, &format!("docker load -q -i {}", it::layered_archive().display()));
    let names = [registry.name("a/layered:1"), registry.name("b/layered:1")];
    let mut pushed = Vec::new();
    for name in &names {
        said(&seat, &format!("docker tag layered {name}"));
        pushed.push(said(&seat, &format!("docker push {name}")));
    }
    assert!(pushed[1].contains("Mounted from a/layered"), "{}", pushed[1]);
    assert_eq!(digest(&pushed[0]), digest(&pushed[1]));
    let id = said(&seat, "docker images -q --no-trunc layered");
    said(&seat, &format!("docker rmi layered {}", names.join(" ")));
    for name in &names {
        let pulled = said(&seat, &format!("docker pull {name}"));
        assert_eq!(digest(&pulled), digest(&pushed[0]), "{pulled}");
        assert_eq!(said(&seat, &format!("docker images -q --no-trunc {name}")), id);
    }
    assert_eq!(said(&seat, &format!("docker run --rm {} cat /data/seed", names[0])), "from the image\n");

    // dhow takes the same from the same data.
    let stage = Stage::bare();
    let copied = Command::new("cp").arg("-r").arg(registry_root(&seat)).arg(stage.folder()).status().expect("cp(1)");
    assert!(copied.success());
    let _registry = Registry::start(&stage, Maker::Own, REGISTRY_PORT);
    let ours = seat_of(&stage);
    let pulled = said(&ours, &format!("docker pull {}", names[1]));
    assert_eq!(digest(&pulled), digest(&pushed[0]), "{pulled}");
    assert_eq!(said(&ours, &format!("docker images -q --no-trunc {}", names[1])), id);
    assert_eq!(said(&ours, &format!("docker run --rm {} cat /data/seed", names[1])), "from the image\n");
}

#[test]
fn an_archive_of_one_is_loaded_by_the_other() {
    let _fixture = Fixture(&[it::busybox_archive]);
    let dockerd = Dockerd::start();
    let stage = Stage::new();
    let seats = [dockerd.seat(), seat_of(&stage)];
    for (index, (from, to)) in [(&seats[0], &seats[1]), (&seats[1], &seats[0])].into_iter().enumerate() {
        let (base, changed) = (format!("given/base:{index}"), format!("given/changed:{index}"));
        let line = "echo changed > /data/seed; rm -r /home; mkdir -m 700 /made; ln /data/seed /made/link";
        said(from, &format!("docker run --name maker busybox sh -c '{line}'"));
        said(from, &format!("docker commit -c 'CMD [\"cat\",\"/made/link\"]' maker {changed} && docker rm maker"));
        said(from, &format!("docker tag busybox {base}"));
        let file = stage.folder().join(format!("{index}.tar")).display().to_string();
        said(from, &format!("docker save -o {file} {base} {changed}"));
        let loaded = said(to, &format!("docker load -i {file}"));
        for name in [&base, &changed] {
            assert!(loaded.contains(&format!("Loaded image: {name}\n")), "{loaded}");
            let id = format!("docker images -q --no-trunc {name}");
            assert_eq!(said(to, &id), said(from, &id));
        }
        assert_eq!(said(to, &format!("docker run --rm {changed}")), "changed\n");
        let look = "test ! -e /home && stat -c %a /made && cat /data/seed";
        assert_eq!(said(to, &format!("docker run --rm {changed} sh -c '{look}'")), "700\nchanged\n");
        assert_eq!(said(to, &format!("docker run --rm {base} cat /data/seed")), "from the image\n");
    }
}
