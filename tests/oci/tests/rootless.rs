//! The runtime as an ordinary user with one mapped id, on ours and on the reference.

use oci_tests::{Case, Output, Runtime, within};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;

/// Nobody that the machine knows.
const USER: u32 = 54_321;

macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod ours { $(#[test] fn $name() { super::$name(&oci_tests::Runtime::ours()); })* }
        mod runc { $(#[test] fn $name() { super::$name(&oci_tests::Runtime::runc()); })* }
    };
}

on_both!(
    a_container_runs_as_root_of_its_own_namespace,
    the_whole_life_works,
    exec_and_pid_file_work,
    control_groups_of_the_host_cannot_be_written,
    limits_without_a_delegated_group_are_an_error,
);

/// A case of the ordinary user: everything belongs to it.
struct Own(Case);

impl Own {
    fn new(runtime: &Runtime, args: &[&str]) -> Own {
        let mut case = Case::new(runtime, args);
        let config = &mut case.bundle.config;
        let map = json!([{"containerID": 0, "hostID": USER, "size": 1}]);
        config["linux"]["uidMappings"] = map.clone();
        config["linux"]["gidMappings"] = map;
        let linux = config["linux"].as_object_mut().unwrap();
        linux.remove("cgroupsPath");
        linux.remove("resources");
        let namespaces = linux["namespaces"].as_array_mut().unwrap();
        namespaces.push(json!({"type": "user"}));
        for mount in config["mounts"].as_array_mut().unwrap() {
            let options = mount["options"].as_array_mut().unwrap();
            options.retain(|option| option != "gid=5");
        }
        config["mounts"].as_array_mut().unwrap().retain(|mount| mount["type"] != "cgroup");
        give(case.path());
        fs::set_permissions(case.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Own(case)
    }

    fn call(&self, words: &[&str]) -> Output {
        let mut command = self.0.command(words);
        command.uid(USER).gid(USER).env_remove("XDG_RUNTIME_DIR").env("HOME", self.0.path());
        self.0.finish(command, words)
    }

    fn run(&self) -> Output {
        self.0.bundle.save().unwrap();
        self.call(&["run", &self.0.id])
    }

    fn status(&self) -> String {
        let state: Value = serde_json::from_str(&self.call(&["state", &self.0.id]).ok()).unwrap();
        state["status"].as_str().unwrap().to_owned()
    }
}

/// The user may not delete what root would not have let it make.
impl Drop for Own {
    fn drop(&mut self) {
        let _ = self.call(&["delete", "-f", &self.0.id]);
    }
}

fn give(path: &Path) {
    let _ = std::os::unix::fs::lchown(path, Some(USER), Some(USER));
    if path.is_dir() && !path.is_symlink() {
        fs::read_dir(path).unwrap().for_each(|entry| give(&entry.unwrap().path()));
    }
}

fn a_container_runs_as_root_of_its_own_namespace(runtime: &Runtime) {
    let own = Own::new(
        runtime,
        &["sh", "-c", "id -u; hostname; cat /proc/self/uid_map | tr -s ' '; touch /made; echo x > /dev/null"],
    );
    let out = own.run().ok();
    assert_eq!(out, format!("0\nbox\n 0 {USER} 1\n"));
    let made = fs::metadata(own.0.bundle.root().join("made")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&made), USER);
}

fn the_whole_life_works(runtime: &Runtime) {
    let own = Own::new(runtime, &["sleep", "1000"]);
    own.0.bundle.save().unwrap();
    own.call(&["create", &own.0.id]).ok();
    assert_eq!(own.status(), "created");
    own.call(&["start", &own.0.id]).ok();
    assert_eq!(own.status(), "running");
    own.call(&["kill", &own.0.id, "KILL"]).ok();
    within("it is stopped", || own.status() == "stopped");
    own.call(&["delete", &own.0.id]).ok();
}

fn exec_and_pid_file_work(runtime: &Runtime) {
    let own = Own::new(runtime, &["sleep", "1000"]);
    own.0.bundle.save().unwrap();
    let file = own.0.path().join("pid").display().to_string();
    own.call(&["run", "-d", "--pid-file", &file, &own.0.id]).ok();
    assert!(fs::read_to_string(&file).unwrap().parse::<i32>().unwrap() > 0);
    assert_eq!(own.call(&["exec", &own.0.id, "sh", "-c", "echo in; cat /proc/1/comm; exit 3"]).out, "in\nsleep\n");
    assert_eq!(own.call(&["exec", &own.0.id, "sh", "-c", "exit 3"]).code(), Some(3));
    own.call(&["kill", &own.0.id, "KILL"]).ok();
    within("it is stopped", || own.status() == "stopped");
}

/// CVE-2023-25809: the host's cgroup namespace is not writable from inside.
fn control_groups_of_the_host_cannot_be_written(runtime: &Runtime) {
    let script = "for d in /sys/fs/cgroup /sys/fs/cgroup/*; do mkdir $d/made && echo made $d; done 2>/dev/null; true";
    let mut own = Own::new(runtime, &["sh", "-c", script]);
    let mounts = own.0.bundle.config["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| mount["destination"] != "/sys");
    own.0.bundle.mount("bind", "/sys", "/sys", &["rbind", "nosuid", "noexec", "nodev", "ro"]);
    assert_eq!(own.run().ok(), "");
}

fn limits_without_a_delegated_group_are_an_error(runtime: &Runtime) {
    let mut own = Own::new(runtime, &["true"]);
    own.0.bundle.config["linux"]["resources"] = json!({"memory": {"limit": 33_554_432}});
    let refused = own.run().fails();
    assert!(!refused.trim().is_empty());
    let _ = chown(own.0.path(), Some(0), Some(0));
}
