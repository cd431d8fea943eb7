//! What clients, web pages and images may try on the engine itself.

use it::{Stage, Wire, status, within};
use std::fs;

fn post(stage: &Stage, path: &str, kind: &str, body: &str) -> (u16, String) {
    let mut wire = stage.wire();
    let kind = if kind.is_empty() { String::new() } else { format!("Content-Type: {kind}\r\n") };
    let length = body.len();
    wire.send(format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\n{kind}Connection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    ));
    (status(&wire.head()), String::from_utf8_lossy(&wire.rest()).into_owned())
}

#[test]
fn what_a_web_page_can_have_a_browser_send_does_nothing() {
    let stage = Stage::bare();
    stage.dhow(["run", "-d", "--name", "box", "host", "sleep", "1000"]).ok();
    let body = r#"{"Image":"host","Cmd":["true"],"Name":"x","Driver":"bridge","Memory":67108864}"#;
    for path in [
        "/containers/create",
        "/v1.41/containers/create?name=x",
        "/containers/box/exec",
        "/containers/box/update",
        "/exec/x/start",
        "/networks/create",
        "/networks/bridge/connect",
        "/networks/bridge/disconnect",
        "/volumes/create",
        "/auth",
        "/commit?container=box",
    ] {
        for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""] {
            let (code, said) = post(&stage, path, kind, body);
            assert_eq!(code, 400, "{path} {kind:?} {said}");
            assert!(said.contains("Content-Type header"), "{path} {kind:?} {said}");
        }
    }
    assert_eq!(stage.dhow(["ps", "-aq"]).ok().lines().count(), 1);
    assert_eq!(stage.dhow(["volume", "ls", "-q"]).ok(), "");
    assert_eq!(post(&stage, "/volumes/create", "application/json; charset=utf-8", r#"{"Name":"ok"}"#).0, 201);
}

#[test]
fn names_that_are_paths_lead_nowhere() {
    let stage = Stage::bare();
    let canary = stage.folder().join("canary");
    fs::write(&canary, "alive").expect("a file");
    let files = |stage: &Stage| {
        stage
            .shell_inside(&format!("cd {} && find . -maxdepth 2 | grep -v sqlite | sort", stage.folder().display()))
            .out
    };
    let before = files(&stage);
    for name in
        ["..%2f..%2fcanary", "%2e%2e", "..", ".", "%2fetc%2fpasswd", "a%00b", "..%5ccanary", "%252e%252e%252fcanary"]
    {
        for (method, path) in [
            ("POST", format!("/containers/{name}/start")),
            ("DELETE", format!("/containers/{name}?force=1")),
            ("GET", format!("/containers/{name}/json")),
            ("POST", format!("/containers/{name}/rename?name={name}")),
            ("GET", format!("/containers/{name}/logs?stdout=1")),
            ("GET", format!("/exec/{name}/json")),
            ("DELETE", format!("/images/{name}")),
            ("GET", format!("/images/{name}/get")),
            ("POST", format!("/images/host/tag?repo={name}&tag=x")),
            ("GET", format!("/networks/{name}")),
            ("DELETE", format!("/networks/{name}")),
            ("GET", format!("/volumes/{name}")),
            ("DELETE", format!("/volumes/{name}")),
            ("POST", format!("/volumes/{name}/clone?name={name}")),
            ("POST", format!("/containers/x/start?checkpoint={name}")),
            ("DELETE", format!("/containers/x/checkpoints/{name}")),
        ] {
            let (code, said) = stage.ask(method, &path);
            assert!((300..500).contains(&code) || code == 501, "{method} {path}: {code} {said}");
        }
    }
    for name in ["../canary", "..", "a/b", "/etc", "a\\u0000b", ".new-x"] {
        for (path, body) in [
            ("/volumes/create", format!("{{\"Name\":\"{name}\"}}")),
            (
                "/containers/create",
                format!(
                    "{{\"Image\":\"host\",\"HostConfig\":{{\"Mounts\":[{{\"Type\":\"volume\",\"Source\":\"{name}\",\"Target\":\"/x\"}}]}}}}"
                ),
            ),
        ] {
            let (code, said) = post(&stage, path, "application/json", &body);
            assert_eq!(code, 400, "{path} {body}: {said}");
        }
    }
    assert_eq!(fs::read_to_string(&canary).expect("the canary"), "alive");
    assert_eq!(files(&stage), before);
}

#[test]
fn the_engines_own_environment_reaches_no_container() {
    let stage = Stage::bare();
    // The engine has it from this test. A name without a value takes the variable away, and does not look it up (CVE-2026-57231).
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    let body = r#"{"Image":"host","Cmd":["env"],"Env":["CARGO_MANIFEST_DIR","HOME","","=","=x","A=1"]}"#;
    for name in ["one", "two"] {
        let (code, said) = post(&stage, &format!("/containers/create?name={name}"), "application/json", body);
        assert!(code == 201 || code == 400, "{code} {said}");
        if code == 201 {
            let said = stage.dhow(["start", "-a", name]).ok();
            assert!(!said.contains("CARGO"), "{said}");
        }
    }
    assert!(!stage.dhow(["run", "--rm", "host", "env"]).ok().contains("CARGO"));
}

#[test]
fn what_an_image_says_of_itself_changes_nothing_of_the_engine() {
    let mut stage = Stage::new();
    let folder = stage.folder().join("cdi");
    fs::create_dir(&folder).expect("a folder");
    let specification =
        "cdiVersion: '0.6.0'\nkind: acme.com/card\ndevices:\n- name: all\n  containerEdits:\n    env: [CARD=all]\n";
    fs::write(folder.join("card.yaml"), specification).expect("a file");
    stage.restart_with(&["--cdi-spec-dir", &folder.display().to_string()]);
    stage.dhow(["create", "--name", "evil", "busybox"]).ok();
    stage
        .dhow([
            "commit",
            "-c",
            "LABEL dhow.health.on-failure=kill",
            "-c",
            "LABEL io.containerd.log.uri=binary:///bin/true",
            "-c",
            "LABEL cdi.k8s.io/card=acme.com/card=all",
            "-c",
            "ENV NVIDIA_VISIBLE_DEVICES=all",
            "evil",
            "evil",
        ])
        .ok();
    stage
        .dhow([
            "run",
            "-d",
            "--name",
            "box",
            "--annotation",
            "cdi.k8s.io/card=acme.com/card=all",
            "evil",
            "sleep",
            "1000",
        ])
        .ok();
    assert!(!stage.dhow(["exec", "box", "env"]).ok().contains("CARD="));
    let labels = stage.dhow(["inspect", "-f", "{{json .Config.Labels}}", "box"]).ok();
    assert!(!labels.contains("dhow."), "{labels}");
    assert_eq!(stage.dhow(["inspect", "-f", "{{.HostConfig.LogConfig.Type}}", "box"]).ok(), "json-file\n");
}

/// A frame of HTTP/2 (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("a short frame").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), body].concat()
}

const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;
const CONTINUATION: u8 = 9;
/// `:method: GET`, `:scheme: http`, `:path: /_ping`, by HPACK's static table (RFC 7541).
const ASK: &[u8] = b"\x82\x86\x04\x06/_ping";

fn http2(stage: &Stage) -> Wire {
    let mut wire = stage.wire();
    wire.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    wire.send(frame(SETTINGS, 0, 0, &[]));
    wire
}

/// Whether the server says that it goes, or is gone.
fn is_sent_away(wire: &mut Wire) -> bool {
    loop {
        let head = wire.take(9);
        let [_, a, b, kind, ..] = *head.as_slice() else { return true };
        wire.take(usize::from(a) << 8 | usize::from(b));
        if kind == GO_AWAY {
            return true;
        }
    }
}

#[test]
fn floods_of_http2_are_cut_off() {
    let stage = Stage::bare();
    let before = stage.engine_memory();
    // Streams that are opened and reset at once (CVE-2023-44487).
    let rapid: Vec<u8> = (0..2000u32)
        .flat_map(|n| [frame(HEADERS, 0x5, 2 * n + 1, ASK), frame(RESET, 0, 2 * n + 1, &[0, 0, 0, 8])].concat())
        .collect();
    let endless = [frame(HEADERS, 0x1, 1, ASK), frame(CONTINUATION, 0, 1, &[0; 16_000]).repeat(100)].concat();
    let broken = [frame(CONTINUATION, 4, 1, ASK), frame(PING, 0, 0, &[0; 8])].concat();
    for flood in [rapid, endless, broken] {
        let mut wire = http2(&stage);
        // The rest of it has nobody to read it.
        wire.send_while_heard(&flood);
        assert!(is_sent_away(&mut wire));
    }
    within("the engine is well", || stage.ask("GET", "/_ping") == (200, "OK".to_owned()));
    assert!(stage.engine_memory() < before + (32 << 20), "{before}");
}

#[test]
fn clients_that_go_away_leave_nothing() {
    let stage = Stage::new();
    stage.dhow(["run", "-d", "--name", "box", "busybox", "sleep", "100000"]).ok();
    let attach = |count: usize| {
        for _ in 0..count {
            let (wire, head) = stage.hijack("/containers/box/attach?stream=1&stdout=1&stderr=1");
            assert_eq!(status(&head), 101);
            drop(wire);
        }
    };
    attach(500);
    let (memory, open) = (stage.engine_memory(), stage.engine_fds());
    attach(5000);
    within("their descriptors are closed", || stage.engine_fds() <= open + 8);
    assert!(stage.engine_memory() < memory + (8 << 20), "{memory} {}", stage.engine_memory());
}

#[test]
fn what_is_mounted_in_a_volume_outlives_it() {
    let stage = Stage::new();
    let place = stage.folder().join("place");
    let sub = place.join("sub");
    let lines = format!(
        "mkdir -p {sub} && mount -t tmpfs shared {place} && mount --make-shared {place} && mkdir {sub} \
         && mount -t tmpfs deep {sub} && touch {sub}/keep",
        place = place.display(),
        sub = sub.display()
    );
    stage.shell_inside(&lines).ok();
    let device = format!("device={}", place.display());
    // What is mounted below a shared mount went with a recursive bind of it (umount(8), "lazy").
    stage.dhow(["volume", "create", "-o", "type=none", "-o", "o=rbind", "-o", &device, "deep"]).ok();
    assert_eq!(stage.dhow(["run", "--rm", "-v", "deep:/v", "busybox", "ls", "/v/sub"]).ok(), "keep\n");
    stage.dhow(["volume", "rm", "deep"]).ok();
    stage.shell_inside(&format!("test -e {}/keep", sub.display())).ok();
    // Somebody mounted something into a volume by hand: that is not the volume's to delete.
    stage.dhow(["volume", "create", "plain"]).ok();
    let inside = stage.data_root().join("volumes/plain/_data/inside");
    stage.shell_inside(&format!("mkdir {0} && mount --bind {1} {0}", inside.display(), sub.display())).ok();
    assert_ne!(stage.dhow(["volume", "rm", "plain"]).code, 0);
    stage.shell_inside(&format!("test -e {}/keep", sub.display())).ok();
    stage.shell_inside("for at in $(grep -o '/[^ ]*/_data/inside' /proc/self/mounts); do umount $at; done").ok();
    stage.shell_inside(&format!("umount {} && umount {}", sub.display(), place.display())).ok();
}
