//! Logs: drivers, bounds, rotation under a follower, times, what entries say, and where they are sent.

use it::{Stage, again, within};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

fn id_of(stage: &Stage, name: &str) -> String {
    stage.dhow(["inspect", "-f", "{{.Id}}", name]).ok().trim().to_owned()
}

/// The files of a container's log, newest first by name.
fn files(stage: &Stage, name: &str, log: &str) -> Vec<PathBuf> {
    let folder = stage.data_root().join("containers").join(id_of(stage, name));
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .expect("the container's folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().contains(log)))
        .collect();
    files.sort();
    files
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |meta| meta.len())
}

#[test]
fn a_log_is_bounded_by_itself() {
    let stage = Stage::new();
    // 120 MB as entries, of which 5 times 20 MiB may stay.
    let script = "yes 0123456789012345678901234567890123456789 | head -n 1100000";
    stage.dhow(["run", "-d", "--name", "box", "busybox", "sh", "-c", script]).ok();
    stage.dhow(["wait", "box"]).ok();
    let files = files(&stage, "box", "-json.log");
    assert!(files.len() <= 5, "{files:?}");
    let whole: u64 = files.iter().map(|file| size(file)).sum();
    assert!(whole < 106 << 20, "{whole} bytes");
    let shown = stage.dhow(["inspect", "-f", "{{.HostConfig.LogConfig.Type}} {{.HostConfig.LogConfig.Config}}", "box"]);
    assert_eq!(shown.ok(), "json-file map[]\n");
}

#[test]
fn rotated_files_are_compressed_and_read_back() {
    let stage = Stage::new();
    for (driver, file) in [("json-file", "-json.log"), ("local", "container.log")] {
        stage.dhow(["rm", "-f", "box"]);
        let options = ["--log-opt", "max-size=20k", "--log-opt", "max-file=50", "--log-opt", "compress=true"];
        let words = ["run", "--name", "box", "--log-driver", driver].into_iter().chain(options);
        let seen = stage.dhow(words.chain(["busybox", "seq", "1", "5000"])).ok();
        within("full files are compressed", || {
            let files = files(&stage, "box", file);
            let small = files.iter().filter(|path| path.extension().is_some_and(|end| end == "gz")).count();
            files.len() > 3 && small == files.len() - 1
        });
        assert_eq!(stage.dhow(["logs", "box"]).ok(), seen);
        for tail in [0, 1, 1000, 4999, 5000, 6000] {
            let lines = stage.dhow(["logs", "-n", &tail.to_string(), "box"]).ok();
            let expected: String = (5001 - tail.min(5000)..=5000).map(|number| format!("{number}\n")).collect();
            assert!(lines == expected, "{driver}: tail {tail} gave {} lines", lines.lines().count());
        }
        let path = stage.dhow(["inspect", "-f", "{{.LogPath}}", "box"]).ok();
        assert_eq!(path.trim().is_empty(), driver == "local", "{path}");
    }
}

/// Runs `logs -f` and gives its lines.
fn follow(stage: &Stage, words: &[&str]) -> (Child, BufReader<impl Read>) {
    let words = ["logs", "-f"].iter().chain(words);
    let mut child = stage.docker_command(words).stdout(Stdio::piped()).spawn().expect("docker runs");
    let out = child.stdout.take().expect("a pipe");
    (child, BufReader::new(out))
}

#[test]
fn a_follower_sees_every_line_once_through_many_rotations() {
    let stage = Stage::new();
    for driver in ["json-file", "local"] {
        stage.dhow(["rm", "-f", "box"]);
        let script = "read x; for i in $(seq 1 20); do seq 1 500; usleep 2000; done";
        let words = [
            "run",
            "-di",
            "--name",
            "box",
            "--log-driver",
            driver,
            "--log-opt",
            "max-size=30k",
            "--log-opt",
            "max-file=100",
        ];
        stage.dhow(words.into_iter().chain(["busybox", "sh", "-c", script])).ok();
        let (mut early, mut lines) = follow(&stage, &["box"]);
        let (mut tail, tail_lines) = follow(&stage, &["--tail", "0", "box"]);
        let (mut wire, _) = stage.hijack("/containers/box/attach?stream=1&stdin=1");
        wire.send("go\n");
        let mut seen = String::new();
        lines.read_to_string(&mut seen).expect("lines");
        let once: String = (1..=500).map(|number| format!("{number}\n")).collect();
        assert!(seen == once.repeat(20), "{driver}: {} lines", seen.lines().count());
        assert!(tail_lines.lines().count() <= 20 * 500);
        assert!(early.wait().expect("a child").success() && tail.wait().expect("a child").success());
    }
}

#[test]
fn a_follower_ends_when_its_container_is_removed() {
    let stage = Stage::new();
    stage.dhow(["run", "-d", "--name", "box", "busybox", "sh", "-c", "echo here; exec sleep 1000"]).ok();
    let (mut child, mut lines) = follow(&stage, &["box"]);
    let mut line = String::new();
    lines.read_line(&mut line).expect("a line");
    assert_eq!(line, "here\n");
    stage.dhow(["rm", "-f", "box"]).ok();
    let mut rest = String::new();
    lines.read_to_string(&mut rest).expect("the end");
    assert_eq!((rest.as_str(), child.wait().expect("a child").success()), ("", true));
}

#[test]
fn entries_say_what_was_asked_besides_their_line() {
    let stage = Stage::new();
    for driver in ["json-file", "local"] {
        stage.dhow(["rm", "-f", "box"]);
        let words = [
            "run",
            "-d",
            "--name",
            "box",
            "--log-driver",
            driver,
            "--label",
            "app=a b",
            "--label",
            "com.x=1",
            "-e",
            "KEY=v,w",
            "-e",
            "OTHER=1",
        ];
        let options = [
            "--log-opt",
            "labels=app,none",
            "--log-opt",
            "labels-regex=^com",
            "--log-opt",
            "env=KEY",
            "--log-opt",
            "tag={{.Name}}/{{.ImageName}}",
        ];
        stage.dhow(words.into_iter().chain(options).chain(["busybox", "echo", "hello"])).ok();
        stage.dhow(["wait", "box"]).ok();
        let said = stage.docker(["logs", "--details", "box"]).ok();
        assert_eq!(said, "KEY=v%2Cw,app=a+b,com.x=1,tag=box%2Fbusybox hello\n", "{driver}");
        let stamped = stage.docker(["logs", "--details", "-t", "box"]).ok();
        assert_eq!(stamped.get(30..), Some(&*format!(" {said}")), "{stamped}");
    }
}

#[test]
fn options_are_checked_when_docker_checks_them() {
    let stage = Stage::new();
    for (driver, option, why) in [
        ("json-file", "nope=1", "unknown log opt 'nope' for json-file log driver"),
        ("local", "nope=1", "unknown log opt 'nope' for log driver local"),
        ("nope", "a=b", "error looking up logging plugin nope: plugin \"nope\" not found"),
        ("json-file", "mode=never", "logger: logging mode not supported: never"),
        ("syslog", "syslog-address=http://x", "unsupported scheme: 'http'"),
        ("gelf", "tag=x", "gelf-address is a required parameter"),
    ] {
        let said = stage.docker(["create", "--log-driver", driver, "--log-opt", option, "busybox"]);
        assert_eq!((said.code, said.err.contains(why)), (1, true), "{}", said.err);
    }
    for (driver, option, why) in [
        ("json-file", "max-size=x", "invalid size: 'x'"),
        ("json-file", "compress=true", "compress cannot be true when max-file is less than 2 or max-size is not set"),
        ("syslog", "syslog-address=tcp://127.0.0.1:1", "dial tcp 127.0.0.1:1: connect: connection refused"),
        ("fluentd", "fluentd-address=127.0.0.1:1", "dial tcp 127.0.0.1:1: connect: connection refused"),
    ] {
        let said = stage.docker(["run", "--name", "box", "--log-driver", driver, "--log-opt", option, "busybox"]);
        let expected = format!("failed to initialize logging driver: {why}");
        assert_eq!((said.code, said.err.contains(&expected)), (125, true), "{}", said.err);
        stage.dhow(["rm", "box"]).ok();
    }
}

#[test]
fn a_container_without_a_log_says_so() {
    let stage = Stage::new();
    stage.dhow(["run", "--name", "box", "--log-driver", "none", "busybox", "echo", "unseen"]).ok();
    let (code, body) = stage.ask("GET", "/containers/box/logs?stdout=1");
    assert_eq!((code, body.trim()), (501, r#"{"message":"configured logging driver does not support reading"}"#));
    let (code, body) = stage.ask("GET", "/containers/box/logs");
    assert_eq!((code, body.contains("Bad parameters: you must choose at least one stream")), (400, true), "{body}");
}

#[test]
fn a_terminals_log_is_raw_and_long_lines_are_whole() {
    let stage = Stage::new();
    stage.dhow(["run", "-dt", "--name", "box", "busybox", "sh", "-c", "echo one; printf two"]).ok();
    stage.dhow(["wait", "box"]).ok();
    assert_eq!(stage.docker(["logs", "box"]).ok(), "one\r\ntwo");
    let script = "head -c 50000 /dev/zero | tr '\\0' x; echo; echo after";
    stage.dhow(["run", "-d", "--name", "long", "busybox", "sh", "-c", script]).ok();
    stage.dhow(["wait", "long"]).ok();
    assert_eq!(stage.docker(["logs", "long"]).ok(), format!("{}\nafter\n", "x".repeat(50_000)));
}

/// What is sent is also kept, and `logs` reads it.
fn check_cache(stage: &Stage, name: &str, text: &str) {
    assert_eq!(stage.docker(["logs", name]).ok(), text);
}

#[test]
fn syslog_gets_every_line_with_its_severity() {
    let stage = Stage::new();
    let path = stage.folder().join("log");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    let address = format!("syslog-address=unixgram://{}", path.display());
    let options = ["--log-opt", &address, "--log-opt", "tag=web/{{.Name}}", "--log-opt", "syslog-facility=local3"];
    let words = ["run", "-d", "--name", "box", "--log-driver", "syslog"].into_iter().chain(options);
    stage.dhow(words.chain(["busybox", "sh", "-c", "echo one; echo two >&2; echo; echo three"])).ok();
    let mut said: Vec<String> = (0..3).map(|_| datagram(&socket)).collect();
    said.sort();
    let mut ends: Vec<&str> = said.iter().map(|line| line.split(' ').next_back().unwrap_or_default()).collect();
    ends.sort_unstable();
    assert_eq!(ends, ["one\n", "three\n", "two\n"]);
    assert!(said.iter().all(|line| line.contains(" web/box[")), "{said:?}");
    assert_eq!(said.iter().filter(|line| line.starts_with("<158>")).count(), 2, "{said:?}");
    assert_eq!(said.iter().filter(|line| line.starts_with("<155>") && line.ends_with("two\n")).count(), 1, "{said:?}");
    stage.dhow(["wait", "box"]).ok();
    assert_eq!(stage.docker(["logs", "box"]).ok().lines().count(), 3);
}

fn datagram(socket: &UnixDatagram) -> String {
    let mut buffer = [0; 64 << 10];
    let length = again(|| socket.recv(&mut buffer)).expect("a message");
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

#[test]
fn what_could_not_be_sent_is_sent_later_even_by_another_engine() {
    let mut stage = Stage::new();
    let path = stage.folder().join("log");
    let address = format!("syslog-address=unix://{}", path.display());
    let listener = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
    let words = ["run", "-di", "--name", "box", "--log-driver", "syslog", "--log-opt", &address, "--log-opt", "tag=t"];
    stage.dhow(words.into_iter().chain(["busybox", "cat"])).ok();
    let (mut wire, _) = stage.hijack("/containers/box/attach?stream=1&stdin=1&stdout=1");
    wire.send("one\n");
    // The first connection only asks whether somebody is there.
    let mut far = accept_with_text(&listener, "one");
    wire.send("two\n");
    until(&mut far, "two");
    drop((far, listener));
    fs::remove_file(&path).expect("the socket is deleted");
    wire.send("three\n");
    wire.until("three\n");
    stage.kill_engine();
    let listener = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
    stage.start_engine();
    let mut far = accept_with_text(&listener, "three");
    let (mut wire, _) = stage.hijack("/containers/box/attach?stream=1&stdin=1&stdout=1");
    wire.send("four\n");
    until(&mut far, "four");
    check_cache(&stage, "box", "one\ntwo\nthree\nfour\n");
}

fn accept(listener: &std::os::unix::net::UnixListener) -> std::os::unix::net::UnixStream {
    listener.set_nonblocking(true).expect("it does not wait");
    let mut accepted = None;
    within("the engine connects", || {
        accepted = listener.accept().ok();
        accepted.is_some()
    });
    let (stream, _) = accepted.expect("a connection");
    stream.set_nonblocking(false).expect("it waits");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    stream
}

type Far = BufReader<std::os::unix::net::UnixStream>;

fn accept_with_text(listener: &std::os::unix::net::UnixListener, text: &str) -> Far {
    loop {
        let stream = accept(listener);
        let mut far = BufReader::new(stream);
        let mut line = String::new();
        while far.read_line(&mut line).expect("a line") > 0 {
            if line.trim_end().ends_with(text) {
                return far;
            }
            line.clear();
        }
    }
}

fn until(far: &mut Far, text: &str) {
    let mut line = String::new();
    while !line.trim_end().ends_with(text) {
        line.clear();
        assert!(far.read_line(&mut line).expect("a line") > 0, "{text} did not come");
    }
}

#[test]
fn the_last_words_of_a_container_that_removes_itself_are_sent() {
    let stage = Stage::new();
    let path = stage.folder().join("log");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    let address = format!("syslog-address=unixgram://{}", path.display());
    let words =
        ["run", "--rm", "--log-driver", "syslog", "--log-opt", &address, "--log-opt", "syslog-format=rfc5424micro"];
    // The kernel keeps few datagrams that nobody takes (net.unix.max_dgram_qlen), and a removal waits a moment only.
    let heard = std::thread::spawn(move || (0..101).map(|_| datagram(&socket)).collect());
    stage.dhow(words.into_iter().chain(["busybox", "sh", "-c", "seq 1 100; echo last"])).ok();
    let said: Vec<String> = heard.join().expect("all came");
    assert!(said[100].ends_with(" - last\n") && said[0].starts_with("<30>1 20"), "{:?} {:?}", said[0], said[100]);
}

#[test]
fn the_journal_gets_dockers_fields() {
    let stage = Stage::new();
    let said = stage.docker(["run", "--name", "box", "--log-driver", "journald", "busybox", "true"]);
    if !Path::new("/run/systemd/journal/socket").exists() {
        assert!(
            said.err.contains("failed to initialize logging driver: journald is not enabled on this host"),
            "{}",
            said.err
        );
    }
    stage.dhow(["rm", "-f", "box"]);
    // A journal of the engine's mount namespace.
    stage.tool("mkdir", ["-p", "/run/systemd/journal"]);
    stage.tool("mount", ["-t", "tmpfs", "none", "/run/systemd/journal"]).ok();
    let path = format!("/proc/{}/root/run/systemd/journal/socket", stage.holder_pid());
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    let words =
        ["run", "--name", "box", "--log-driver", "journald", "--log-opt", "labels=my.app", "--label", "my.app=x"];
    stage.docker(words.into_iter().chain(["busybox", "sh", "-c", "echo hello >&2"])).ok();
    let said = datagram(&socket);
    let id = id_of(&stage, "box");
    for field in [
        &*format!("CONTAINER_ID={}", &id[..12]),
        &*format!("CONTAINER_ID_FULL={id}"),
        "CONTAINER_NAME=box",
        &*format!("CONTAINER_TAG={}", &id[..12]),
        "IMAGE_NAME=busybox",
        "MY_APP=x",
        "MESSAGE=hello",
        "PRIORITY=3",
        "CONTAINER_LOG_ORDINAL=1",
    ] {
        assert!(said.lines().any(|line| line == field), "{field} is missing in {said}");
    }
    let read = stage.docker(["logs", "box"]);
    assert_eq!((read.code, read.err.as_str()), (0, "hello\n"));
}

#[test]
fn gelf_and_fluentd_get_their_own_forms() {
    let stage = Stage::new();
    let path = stage.folder().join("fluent");
    let listener = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
    let address = format!("fluentd-address=unix://{}", path.display());
    stage
        .dhow([
            "run",
            "-d",
            "--name",
            "box",
            "--log-driver",
            "fluentd",
            "--log-opt",
            &address,
            "--log-opt",
            "tag=t",
            "busybox",
            "echo",
            "hello",
        ])
        .ok();
    let found = loop {
        let mut stream = accept(&listener);
        let mut bytes = vec![0; 4096];
        let length = again(|| stream.read(&mut bytes)).expect("read");
        if length > 0 {
            break bytes[..length].to_vec();
        }
    };
    assert_eq!(found[..7], *b"\x93\xdb\0\0\0\x01t");
    let text = String::from_utf8_lossy(&found).into_owned();
    for word in ["container_name", "/box", "log", "hello", "source", "stdout"] {
        assert!(text.contains(word), "{word} is missing in {text:?}");
    }
    // Nobody hears a datagram: a container starts all the same.
    let closed = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
    let address = format!("gelf-address=udp://{closed}");
    let said =
        stage.dhow(["run", "--rm", "--log-driver", "gelf", "--log-opt", &address, "busybox", "echo", "hello"]).ok();
    assert_eq!(said, "hello\n");
}
