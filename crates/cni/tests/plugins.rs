//! Plugins made by the test: scripts that write down how they are called.

use cni::{Attachment, Cache, Error, List, PortMapping, Runtime};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

/// Folders with programs, configurations and what is kept; the log of all calls.
struct Scene {
    folder: tempfile::TempDir,
    runtime: Runtime,
    cache: Cache,
}

const GOOD: &str = r#"echo '{"cniVersion":"1.1.0","interfaces":[{"name":"eth0","mac":"aa","sandbox":"x"}],"ips":[{"address":"10.1.0.2/24","gateway":"10.1.0.1","interface":0}]}'"#;

impl Scene {
    fn new() -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let runtime = Runtime { folders: vec![folder.path().join("bin")], patience: Duration::from_secs(60) };
        fs::create_dir(folder.path().join("bin")).unwrap();
        let cache = Cache::open(folder.path().join("kept")).unwrap();
        Scene { folder, runtime, cache }
    }

    /// A program that writes its variables and configuration down, and says `add` to ADD; `other` is run at any other command.
    fn plugin(&self, name: &str, add: &str, other: &str) {
        let log = self.log_path();
        let script = format!(
            "#!/bin/sh\nread -r conf\n\
             echo \"{name} $CNI_COMMAND $CNI_CONTAINERID $CNI_IFNAME $CNI_ARGS $conf\" >> {log}\n\
             case $CNI_COMMAND in\n\
             VERSION) echo '{{\"cniVersion\":\"1.1.0\",\"supportedVersions\":[\"0.4.0\",\"1.0.0\",\"1.1.0\"]}}' ;;\n\
             ADD) {add} ;;\n*) {other} ;;\nesac\n",
            log = log.display(),
        );
        let path = self.folder.path().join("bin").join(name);
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// The commands that were called, `plugin COMMAND`.
    fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.log_path()).unwrap_or_default();
        text.lines().map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect()
    }

    fn line(&self, start: &str) -> String {
        let text = fs::read_to_string(self.log_path()).unwrap();
        text.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{start}: {text}")).to_owned()
    }

    fn list(&self, version: &str, plugins: &str) -> List {
        let path = self.folder.path().join("net.conflist");
        fs::write(&path, format!(r#"{{"name":"net","cniVersion":"{version}","plugins":[{plugins}]}}"#)).unwrap();
        List::read(&path).unwrap()
    }
}

fn attachment() -> Attachment {
    Attachment { container: "abc".into(), netns: "/run/x".into(), link: "eth0".into(), ..Attachment::default() }
}

#[test]
fn plugins_are_called_in_turn_with_the_result_so_far_and_taken_back_the_other_way() {
    let scene = Scene::new();
    scene.plugin("one", GOOD, "true");
    scene.plugin("two", GOOD, "true");
    let list = scene.list("1.1.0", r#"{"type":"one","capabilities":{"portMappings":true}},{"type":"two","own":7}"#);
    scene.runtime.verify(&list).unwrap();
    let port = PortMapping { host_port: 8080, container_port: 80, protocol: "tcp".into(), host_ip: None };
    let wanted = Attachment { ports: vec![port], arguments: vec![("A".into(), "1".into())], ..attachment() };
    let outcome = scene.runtime.add(&list, wanted, &scene.cache).unwrap();
    assert_eq!(outcome.address(true).unwrap().address.to_string(), "10.1.0.2/24");
    let one = scene.line("one ADD abc eth0 A=1 ");
    assert!(one.contains(r#""runtimeConfig":{"portMappings":[{"#) && one.contains(r#""hostPort":8080"#), "{one}");
    assert!(!one.contains("prevResult") && !one.contains("capabilities"), "{one}");
    let two = scene.line("two ADD ");
    assert!(
        two.contains(r#""prevResult":{"#) && two.contains(r#""own":7"#) && two.contains(r#""name":"net""#),
        "{two}"
    );
    assert!(!two.contains("runtimeConfig"), "only who has the capability is told: {two}");
    let cached = scene.cache.get("abc", "eth0").unwrap().unwrap();
    scene.runtime.check(&cached).unwrap();
    scene.runtime.collect(&list, std::slice::from_ref(&cached.attachment)).unwrap();
    scene.runtime.delete(&cached, &scene.cache).unwrap();
    assert_eq!(scene.cache.get("abc", "eth0").unwrap(), None);
    let status = ["one VERSION", "two VERSION", "one STATUS", "two STATUS"];
    let life = ["one ADD", "two ADD", "one CHECK", "two CHECK", "one GC", "two GC", "two DEL", "one DEL"];
    assert_eq!(scene.calls(), [status.as_slice(), &life].concat());
    assert!(scene.line("one GC ").contains(r#""cni.dev/valid-attachments":[{"containerID":"abc","ifname":"eth0"}]"#));
    assert!(scene.line("one DEL ").contains("prevResult"));
}

#[test]
fn a_plugin_that_refuses_is_quoted_and_what_was_done_is_taken_back() {
    let scene = Scene::new();
    scene.plugin("one", GOOD, "true");
    scene.plugin("bad", r#"echo '{"code":11,"msg":"later","details":"busy"}'; exit 1"#, "true");
    let list = scene.list("1.0.0", r#"{"type":"one"},{"type":"bad"}"#);
    let error = scene.runtime.add(&list, attachment(), &scene.cache).unwrap_err();
    assert_eq!(error.to_string(), r#"the CNI plugin "bad" cannot ADD: later: busy (code 11)"#);
    assert_eq!(scene.calls(), ["one ADD", "bad ADD", "bad DEL", "one DEL"]);
    assert!(scene.cache.all().is_empty());
}

#[test]
fn what_cannot_be_taken_back_is_remembered() {
    let scene = Scene::new();
    scene.plugin("one", GOOD, "echo sorry >&2; exit 3");
    scene.plugin("two", GOOD, "true");
    let list = scene.list("0.4.0", r#"{"type":"one"},{"type":"two"}"#);
    scene.runtime.add(&list, attachment(), &scene.cache).unwrap();
    let cached = scene.cache.all().remove(0);
    let error = scene.runtime.delete(&cached, &scene.cache).unwrap_err();
    assert!(error.to_string().starts_with(r#"the CNI plugin "one" cannot DEL: sorry (exit status: 3)"#), "{error}");
    assert_eq!(scene.calls(), ["one ADD", "two ADD", "two DEL", "one DEL"]);
    assert_eq!(scene.cache.all().len(), 1);
}

#[test]
fn a_plugin_that_hangs_is_killed_with_what_it_started() {
    let mut scene = Scene::new();
    let pid = scene.folder.path().join("pid");
    scene.plugin("slow", &format!("sleep 100000 & echo $! > {}; wait", pid.display()), "true");
    scene.runtime.patience = Duration::from_secs(3);
    let list = scene.list("1.0.0", r#"{"type":"slow"}"#);
    let error = scene.runtime.add(&list, attachment(), &scene.cache).unwrap_err();
    assert!(matches!(error, Error::Hung { .. }), "{error}");
    let pid = fs::read_to_string(pid).unwrap();
    let proc = PathBuf::from(format!("/proc/{}/cmdline", pid.trim()));
    // Whoever reaps it may take a moment; a process without arguments is one that has ended.
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while fs::read(&proc).is_ok_and(|words| !words.is_empty()) {
        assert!(std::time::Instant::now() < deadline, "sleep lives on");
        std::thread::yield_now();
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let scene = Scene::new();
    scene.plugin("mute", "true", "true");
    scene.plugin("old", r#"echo '{"cniVersion":"0.1.0"}'"#, "true");
    scene.plugin("long", "head -c 3000000 /dev/zero | tr '\\0' x", "true");
    for plugin in ["mute", "old", "long"] {
        let list = scene.list("1.0.0", &format!(r#"{{"type":"{plugin}"}}"#));
        assert!(scene.runtime.add(&list, attachment(), &scene.cache).is_err(), "{plugin}");
    }
    let missing = scene.list("1.0.0", r#"{"type":"missing"}"#);
    assert!(matches!(scene.runtime.verify(&missing), Err(Error::NoPlugin { .. })));
    let newer = scene.list("1.0.1", r#"{"type":"mute"}"#);
    let error = scene.runtime.verify(&newer).unwrap_err().to_string();
    assert_eq!(error, r#"the CNI plugin "mute" speaks 0.4.0, 1.0.0, 1.1.0, and the configuration is of version 1.0.1"#);
    let plain = scene.list("1.0.0", r#"{"type":"mute"}"#);
    let wanted = Attachment { mac: Some("02:00:00:00:00:01".into()), ..attachment() };
    let error = scene.runtime.add(&plain, wanted, &scene.cache).unwrap_err().to_string();
    assert!(error.ends_with(r#"no plugin of the CNI network "net" has the capability "mac""#), "{error}");
    assert!(scene.cache.all().is_empty());
}

#[test]
fn a_plugin_that_is_being_written_is_waited_for() {
    let scene = Scene::new();
    scene.plugin("new", GOOD, "true");
    let list = scene.list("1.0.0", r#"{"type":"new"}"#);
    let writer = fs::File::options().write(true).open(scene.folder.path().join("bin/new")).unwrap();
    let ready = std::thread::spawn(move || {
        std::thread::park_timeout(Duration::from_millis(50));
        drop(writer);
    });
    scene.runtime.add(&list, attachment(), &scene.cache).unwrap();
    ready.join().unwrap();
}
