//! Checkpoints, as far as they need no CRIU: names, hostile folders, what is refused and in which words, and who may see the verbs.
//! (What CRIU does is checked in a virtual machine, whose kernel it knows: `cargo xtask vm --machine alone`.)

use it::{Stage, status};
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

const NAMES: [&str; 8] = ["..", ".", "a", "..%2fcanary", "%2fetc", "a%2fb", "x%00y", ".new-one"];

/// Sends JSON; the status and the body.
fn post(stage: &Stage, path: &str, body: &str) -> (u16, String) {
    let mut wire = stage.wire();
    let length = body.len();
    wire.send(format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    ));
    let head = wire.head();
    (status(&head), String::from_utf8_lossy(&wire.rest()).into_owned())
}

/// A container, and the folder of its checkpoints.
fn container(stage: &Stage, flags: &[&str]) -> (String, PathBuf) {
    let words = ["create"].into_iter().chain(flags.iter().copied()).chain(["busybox", "sleep", "1000"]);
    let id = stage.dhow(words).ok().trim().to_owned();
    let folder = stage.data_root().join("containers").join(&id).join("checkpoints");
    (id, folder)
}

/// Something that looks like a checkpoint.
fn feign(folder: &Path, image: &str) {
    fs::create_dir_all(folder).expect("a folder");
    let description = format!(r#"{{"version":1,"container":"someone","image":"{image}"}}"#);
    fs::write(folder.join("description.json"), description).expect("a description");
    fs::write(folder.join("pages-1.img"), "x").expect("an image");
    fs::set_permissions(folder, Permissions::from_mode(0o700)).expect("a mode");
}

fn image_of(stage: &Stage, id: &str) -> String {
    stage.dhow(["inspect", "-f", "{{.Image}}", id]).ok().trim().to_owned()
}

#[test]
fn a_name_is_no_path() {
    let stage = Stage::new();
    let (id, folder) = container(&stage, &[]);
    let canary = stage.data_root().join("containers").join(&id).join("canary");
    feign(&canary, "x");
    for name in NAMES {
        let plain = name.replace("%2f", "/").replace("%00", "\\u0000");
        let (code, said) =
            post(&stage, &format!("/containers/{id}/checkpoints"), &format!(r#"{{"CheckpointID":"{plain}"}}"#));
        assert_eq!(code, 400, "{name}: {said}");
        assert!(said.contains("invalid checkpoint ID"), "{said}");
        let (code, said) = stage.ask("POST", &format!("/containers/{id}/start?checkpoint={name}"));
        assert!(code == 400 && said.contains("invalid checkpoint ID"), "{name}: {code} {said}");
        let (code, said) = stage.ask("DELETE", &format!("/containers/{id}/checkpoints/{name}"));
        assert!((300..500).contains(&code), "{name}: {code} {said}");
    }
    assert!(canary.join("pages-1.img").exists() && !folder.exists());
}

#[test]
fn only_what_runs_can_be_saved() {
    let stage = Stage::new();
    let (id, folder) = container(&stage, &[]);
    let path = format!("/containers/{id}/checkpoints");
    let (code, said) = post(&stage, &path, r#"{"CheckpointID":"one","Exit":true}"#);
    assert_eq!((code, said.trim()), (409, format!(r#"{{"message":"container {id} is not running"}}"#).as_str()));
    assert_eq!(post(&stage, "/containers/nobody/checkpoints", r#"{"CheckpointID":"one"}"#).0, 404);
    assert!(!folder.exists());
    let (code, said) = post(&stage, &path, "{");
    assert!(code == 400 && said.contains("invalid JSON"), "{said}");
    let host = container(&stage, &["--pid=host"]).0;
    stage.dhow(["start", &host]).ok();
    let failed = stage.dhow(["checkpoint", "create", &host, "one"]);
    assert!(failed.code != 0 && failed.err.contains("without a pid namespace of its own"), "{}", failed.err);
    assert_eq!(stage.dhow(["inspect", "-f", "{{.State.Status}}", &host]).ok().trim(), "running");
    assert_eq!(stage.dhow(["checkpoint", "ls", &host]).ok(), "CHECKPOINT NAME\n");
}

#[test]
fn one_that_removes_itself_takes_no_checkpoint_along() {
    let stage = Stage::new();
    let id = stage.dhow(["run", "-d", "--rm", "busybox", "sleep", "1000"]).ok().trim().to_owned();
    let failed = stage.dhow(["checkpoint", "create", &id, "one"]);
    assert!(failed.code != 0 && failed.err.contains("--leave-running"), "{}", failed.err);
    assert_eq!(stage.dhow(["ps", "-q", "--no-trunc"]).ok().trim(), id);
}

#[test]
fn only_checkpoints_are_listed_and_deleted() {
    let stage = Stage::new();
    let (id, folder) = container(&stage, &[]);
    let list = format!("/containers/{id}/checkpoints");
    assert_eq!(stage.ask("GET", &list), (200, "[]\n".into()));
    for name in ["two", "one"] {
        feign(&folder.join(name), "x");
    }
    let canary = stage.folder().join("canary");
    feign(&canary, "x");
    symlink(&canary, folder.join("link")).expect("a link");
    fs::create_dir(folder.join("plain")).expect("a folder");
    fs::write(folder.join("file"), "x").expect("a file");
    assert_eq!(stage.ask("GET", &list), (200, "[{\"Name\":\"one\"},{\"Name\":\"two\"}]\n".into()));
    assert_eq!(stage.dhow(["checkpoint", "ls", &id]).ok(), "CHECKPOINT NAME\none\ntwo\n");
    for name in ["link", "plain", "file", "nothing"] {
        assert_ne!(stage.dhow(["checkpoint", "rm", &id, name]).code, 0, "{name}");
        assert_ne!(stage.dhow(["start", "--checkpoint", name, &id]).code, 0, "{name}");
    }
    assert!(canary.join("pages-1.img").exists() && folder.join("plain").exists() && folder.join("file").exists());
    let (code, said) = stage.ask("DELETE", &format!("{list}/nothing"));
    let words = format!(r#"{{"message":"checkpoint nothing does not exist for container {id}"}}"#);
    assert_eq!((code, said.trim()), (500, words.as_str()));
    stage.dhow(["checkpoint", "rm", &id, "two"]).ok();
    assert_eq!(stage.ask("GET", &list), (200, "[{\"Name\":\"one\"}]\n".into()));
    stage.dhow(["rm", &id]).ok();
    assert!(!folder.exists() && canary.exists());
}

#[test]
fn a_folder_of_the_host_is_looked_into_with_care() {
    let stage = Stage::new();
    let (id, _) = container(&stage, &[]);
    let elsewhere = stage.folder().join("elsewhere");
    let path = elsewhere.display().to_string();
    let list = format!("/containers/{id}/checkpoints?dir={path}");
    let (code, said) = stage.ask("GET", &list);
    assert!(code == 404 && said.contains("does not exist for container"), "{code} {said}");
    let (code, said) = stage.ask("GET", &format!("/containers/{id}/checkpoints?dir=relative"));
    assert!(code == 400 && said.contains("is not an absolute path"), "{code} {said}");
    fs::write(&elsewhere, "").expect("a file");
    let (code, said) = stage.ask("GET", &list);
    assert!(code == 400 && said.contains("exists but is not a directory"), "{code} {said}");
    fs::remove_file(&elsewhere).expect("removed");
    feign(&elsewhere.join("one"), "x");
    fs::write(elsewhere.join("precious"), "x").expect("a file");
    assert_eq!(stage.dhow(["checkpoint", "ls", "--checkpoint-dir", &path, &id]).ok(), "CHECKPOINT NAME\none\n");
    assert_eq!(stage.dhow(["checkpoint", "ls", &id]).ok(), "CHECKPOINT NAME\n");
    stage.dhow(["checkpoint", "rm", "--checkpoint-dir", &path, &id, "one"]).ok();
    assert!(elsewhere.join("precious").exists() && !elsewhere.join("one").exists());
}

#[test]
fn a_hostile_checkpoint_is_not_restored() {
    let stage = Stage::new();
    let (id, folder) = container(&stage, &[]);
    let one = folder.join("one");
    feign(&one, &image_of(&stage, &id));
    let refused = |why: &str| {
        let failed = stage.dhow(["start", "--checkpoint", "one", &id]);
        assert!(failed.code != 0 && failed.err.contains(why), "{why}: {}", failed.err);
        assert_eq!(
            stage.dhow(["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", &id]).ok().trim(),
            "created 0"
        );
    };
    let victim = stage.folder().join("victim");
    fs::write(&victim, "precious").expect("a file");
    for name in ["restore.log", "core-1.img", "stats-restore"] {
        symlink(&victim, one.join(name)).expect("a link");
        refused(&format!("{name} is no plain file"));
        fs::remove_file(one.join(name)).expect("removed");
    }
    fs::set_permissions(one.join("pages-1.img"), Permissions::from_mode(0o666)).expect("a mode");
    refused("pages-1.img is no plain file");
    fs::set_permissions(one.join("pages-1.img"), Permissions::from_mode(0o600)).expect("a mode");
    std::os::unix::fs::chown(one.join("pages-1.img"), Some(1000), None).expect("an owner");
    refused("pages-1.img is no plain file");
    std::os::unix::fs::chown(one.join("pages-1.img"), Some(0), None).expect("an owner");
    for text in [r#"{"version":1,"mounts":{"/data":"/data/../../../etc"}}"#, "[]", r#"{"version":99}"#] {
        fs::write(one.join("description.json"), text).expect("a description");
        refused("is no checkpoint of this engine");
    }
    feign(&one, "sha256:0000");
    refused("it is of another image");
    assert_eq!(fs::read_to_string(victim).expect("the victim"), "precious");
}

#[test]
fn the_verbs_are_dhows_at_any_time_and_dockers_when_it_is_told_so() {
    let mut stage = Stage::new();
    let (id, folder) = container(&stage, &[]);
    feign(&folder.join("one"), "x");
    let hidden = stage.docker(["checkpoint", "ls", &id]);
    assert!(hidden.err.contains("experimental features enabled"), "{}", hidden.err);
    assert_eq!(stage.docker(["info", "-f", "{{.ExperimentalBuild}}"]).ok().trim(), "false");
    assert_eq!(stage.dhow(["checkpoint", "ls", &id]).ok(), "CHECKPOINT NAME\none\n");
    stage.restart_with(&["--experimental"]);
    assert_eq!(stage.docker(["checkpoint", "ls", &id]).ok(), "CHECKPOINT NAME\none\n");
    assert_eq!(stage.docker(["info", "-f", "{{.ExperimentalBuild}}"]).ok().trim(), "true");
    assert_eq!(stage.docker(["version", "-f", "{{.Server.Experimental}}"]).ok().trim(), "true");
    let failed = stage.docker(["start", "--checkpoint", "one", &id]);
    assert!(failed.err.contains("it is of another image"), "{}", failed.err);
    stage.docker(["checkpoint", "rm", &id, "one"]).ok();
    assert!(!folder.join("one").exists());
}

#[test]
fn several_containers_do_not_go_on_from_one_checkpoint() {
    let stage = Stage::new();
    let failed = stage.dhow(["start", "--checkpoint", "one", "a", "b"]);
    assert!(
        failed.code != 0 && failed.err.contains("you cannot restore multiple containers at once"),
        "{}",
        failed.err
    );
    assert!(stage.dhow(["checkpoint", "create", "only"]).err.contains("2 arguments"));
}
