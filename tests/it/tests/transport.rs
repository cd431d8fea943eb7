//! Ways to the engine: sockets and their owners, TLS, ssh, contexts, HTTP in its forms, and bodies that make no sense.

use it::{Another, Certificates, Stage, again, binary, status, within};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::process::Stdio;

const TCP: &str = "tcp://127.0.0.1:2376";

#[test]
fn tcp_with_tls_lets_in_only_who_has_a_certificate() {
    let mut stage = Stage::bare();
    let certificates = Certificates::make(&stage.folder().join("certificates"));
    let mut flags = vec!["-H".to_owned(), TCP.to_owned()];
    flags.extend(certificates.flags("server"));
    stage.restart_with(&flags.iter().map(String::as_str).collect::<Vec<_>>());
    let client = |program: &Path, host: &str, flags: &[String], words: &[&str]| {
        let mut command = stage.inside(program);
        command.env("DOCKER_CONFIG", stage.folder().join("config")).arg("-H").arg(host).args(flags).args(words);
        stage.output_of(command)
    };
    let own = certificates.flags("client");
    for program in [Path::new("docker"), &binary()] {
        assert_eq!(client(program, TCP, &own, &["run", "--rm", "host", "echo", "hello"]).ok(), "hello\n");
        let by_name = client(program, "tcp://localhost:2376", &own, &["version", "--format", "{{.Server.Os}}"]);
        assert_eq!(by_name.ok(), "linux\n");
        // Any engine, but no certificate of the client's; and no TLS at all.
        assert_ne!(client(program, TCP, &["--tls".to_owned()], &["ps"]).code, 0, "{}", program.display());
        assert_ne!(client(program, TCP, &[], &["ps"]).code, 0, "{}", program.display());
    }
    let stranger = Certificates::make(&stage.folder().join("stranger"));
    assert_ne!(client(&binary(), TCP, &stranger.flags("client"), &["ps"]).code, 0);
    let half_closed = format!(
        "printf abc | {} -H {TCP} {} run -i --rm host sh -c 'cat; echo done'",
        binary().display(),
        own.join(" ")
    );
    assert_eq!(stage.shell_inside(&half_closed).ok(), "abcdone\n");
}

#[test]
fn tcp_without_tls_is_refused_unless_it_is_asked_for() {
    let mut stage = Stage::bare();
    let mut refused = Another::start(&stage, "exec $ENGINE -H tcp://127.0.0.1:2375", Stdio::null());
    assert_eq!(refused.code(), 1);
    assert!(refused.log().contains("cannot listen on 127.0.0.1:2375 without --tlsverify"), "{}", refused.log());
    // Nothing listens on TCP by default (CVE-2025-9074).
    assert_eq!(stage.shell_inside("cat /proc/net/tcp /proc/net/tcp6 | awk '$4 == \"0A\"'").ok(), "");
    stage.restart_with(&["-H", "tcp://127.0.0.1:2375", "--tls=false"]);
    assert_eq!(stage.shell_inside("docker -H tcp://127.0.0.1:2375 ps -q").ok(), "");
    assert!(stage.log_text().contains("root access to this machine"));
}

#[test]
fn roots_and_sockets_are_for_their_owners() {
    let mut stage = Stage::bare();
    let mode = |path: &Path| std::fs::metadata(path).expect("a file").permissions().mode() & 0o777;
    for root in [stage.data_root(), stage.folder().join("run")] {
        assert_eq!(mode(&root) & 0o007, 0, "{}", root.display());
    }
    let socket = stage.folder().join("dhow.sock");
    assert_eq!(mode(&socket), 0o660);
    stage.restart_with(&["--group", "4711"]);
    assert_eq!(std::fs::metadata(&socket).expect("a socket").gid(), 4711);
    // Abstract sockets have no owner, and containers with the host's network reach them (CVE-2020-15257).
    assert_eq!(stage.shell_inside("grep ' @' /proc/net/unix || true").ok(), "");
    let mut wrong = Another::start(&stage, "exec $ENGINE -G no-such-group", Stdio::null());
    assert_eq!(wrong.code(), 1);
    assert!(wrong.log().contains("there is no such group"), "{}", wrong.log());
}

#[test]
fn a_service_manager_gives_the_socket_and_hears_of_everything() {
    let stage = Stage::bare();
    let socket = stage.folder().join("given.sock");
    let listener = UnixListener::bind(&socket).expect("a socket");
    let notices = stage.folder().join("notify.sock");
    let manager = UnixDatagram::bind(&notices).expect("a socket");
    manager.set_read_timeout(Some(std::time::Duration::from_secs(30))).expect("a time");
    let line = format!(
        "exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1 WATCHDOG_USEC=200000 NOTIFY_SOCKET={}; exec $ENGINE -H fd://",
        notices.display()
    );
    let another = Another::start(&stage, &line, Stdio::from(OwnedFd::from(listener)));
    let hear = || {
        let mut buffer = [0; 256];
        let count = again(|| manager.recv(&mut buffer)).expect("a datagram in time");
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    };
    assert_eq!(hear(), "READY=1");
    assert_eq!(hear(), "WATCHDOG=1");
    let mut command = stage.inside(binary());
    command.arg("-H").arg(format!("unix://{}", socket.display())).args(["run", "--rm", "host", "echo", "given"]);
    assert_eq!(stage.output_of(command).ok(), "given\n");
    rustix::process::kill_process(another.pid(), rustix::process::Signal::HUP).expect("told");
    let until = |wanted: &str| {
        let mut heard = hear();
        while heard == "WATCHDOG=1" {
            heard = hear();
        }
        assert!(heard.starts_with(wanted), "{heard}");
    };
    until("RELOADING=1\nMONOTONIC_USEC=");
    until("READY=1");
    another.stop();
    until("STOPPING=1");
    assert!(socket.exists(), "the socket is the service manager's");
}

#[test]
fn a_client_that_closed_its_sending_side_gets_its_answer_and_one_that_left_is_forgotten() {
    let stage = Stage::new();
    stage.dhow(["create", "--name", "box", "busybox", "sleep", "1000"]).ok();
    let asked = |request: &str| {
        let mut wire = stage.wire();
        wire.send(request);
        wire.half_close();
        wire
    };
    let simple = |method: &str, path: &str| format!("{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    for (method, path, code) in [
        ("GET", "/_ping", 200),
        ("GET", "/containers/json?all=1", 200),
        ("POST", "/containers/box/start", 204),
        ("POST", "/containers/box/restart?t=0", 204),
        ("GET", "/no/such/page", 404),
    ] {
        let head = asked(&simple(method, path)).head();
        assert_eq!(status(&head), code, "{method} {path}: {head}");
    }
    let body = r#"{"image":"busybox","cmd":["true"],"hostconfig":{"networkmode":"none"},"labels":{"image":"own"}}"#;
    let length = body.len();
    let create = |length: usize| {
        format!(
            "POST /containers/create?name=half HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )
    };
    // What ends before its end is no request.
    assert_ne!(status(&String::from_utf8_lossy(&asked(&create(length + 1)).rest())), 201);
    assert_eq!(status(&asked(&create(length)).head()), 201);
    // Its fields were read as Go reads them, and what is the client's own stayed.
    let format = "{{.Config.Image}} {{.Config.Cmd}} {{.HostConfig.NetworkMode}} {{.Config.Labels.image}}";
    assert_eq!(stage.dhow(["inspect", "-f", format, "half"]).ok(), "busybox [true] none own\n");

    let mut waiting = asked(&simple("POST", "/containers/box/wait"));
    assert_eq!(status(&waiting.head()), 200);
    let mut left = asked(&simple("POST", "/containers/box/wait?condition=removed"));
    assert_eq!(status(&left.head()), 200);
    // Not its other descriptors: those of containers come and go.
    let sockets = || stage.engine_files().iter().filter(|file| file.starts_with("socket:")).count();
    let both = sockets();
    drop(left);
    it::within("who left is forgotten", || sockets() + 2 <= both);
    stage.dhow(["kill", "box"]).ok();
    assert!(String::from_utf8_lossy(&waiting.rest()).contains("\"StatusCode\":137"));
}

#[test]
fn what_somebody_typed_is_taken_as_gos_server_takes_it() {
    let stage = Stage::bare();
    stage.dhow(["create", "--name", "one", "--label", "a=<b>", "host", "true"]).ok();
    stage.dhow(["create", "--name", "two", "host", "true"]).ok();
    for filter in [r#"{"name":["one"]}"#, r#"{"label":["a=<b>"]}"#, r#"{"name":{"one":true}}"#] {
        let (code, body) = stage.ask("GET", &format!("/containers/json?all=1&filters={filter}"));
        assert_eq!((code, body.matches("\"Names\"").count()), (200, 1), "{filter}: {body}");
    }
    let (code, body) = stage.ask("GET", r#"/containers/json?filters={"nosuch":["`#é"]}"#);
    assert_eq!(code, 400);
    assert!(body.contains("invalid filter"), "{body}");
    // The second request of a connection, too, and nothing but request lines.
    let mut wire = stage.wire();
    wire.send("GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!((status(&wire.head()), wire.take(2)), (200, b"OK".to_vec()));
    wire.send("GET /v1.41/containers/json?all=1&filters={\"name\":[\"two\"]} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_eq!(status(&wire.head()), 200);
    assert!(String::from_utf8_lossy(&wire.rest()).contains("/two"));
    // Of a field that stands there twice the last one counts.
    let body = r#"{"Image":"host","Cmd":["false"],"cmd":["echo","\"<x>\""],"Labels":{"a":"1"},"labels":{"b":"2"}}"#;
    let length = body.len();
    let mut wire = stage.wire();
    wire.send(format!(
        "POST /containers/create?name=twice HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Connection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    ));
    assert_eq!(status(&wire.head()), 201);
    let format = "{{.Config.Cmd}} {{.Config.Labels.a}} {{.Config.Labels.b}}";
    assert_eq!(stage.dhow(["inspect", "-f", format, "twice"]).ok(), "[echo \"<x>\"] 1 2\n");
}

/// Stands for ssh(1): forgets its own options and the host, and runs the rest here.
const SSH: &str =
    "#!/bin/sh\nwhile [ \"$1\" != -- ]; do echo \"$1\" >> \"$SSH_LOG\"; shift; done\nshift 2\nexec sh -c \"$*\"\n";

#[test]
fn ssh_reaches_the_engine_through_dial_stdio() {
    let stage = Stage::bare();
    let programs = stage.folder().join("bin");
    std::fs::create_dir(&programs).expect("a folder");
    std::fs::write(programs.join("ssh"), SSH).expect("a script");
    std::fs::set_permissions(programs.join("ssh"), std::fs::Permissions::from_mode(0o755)).expect("a program");
    // On the other side docker calls `docker`, and we call `dhow`; both are ours there.
    symlink(binary(), programs.join("dhow")).expect("a link");
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
    let run = |program: &str, host: &str, words: &[&str]| {
        let mut command = stage.inside(program);
        command.arg("-H").arg(host).args(words).env("PATH", &path).env("DHOW_HOST", stage.host());
        command.env("SSH_LOG", stage.folder().join("ssh.log")).env("DOCKER_CONFIG", stage.folder().join("config"));
        stage.output_of(command)
    };
    let dhow = binary().display().to_string();
    assert_eq!(run(&dhow, "ssh://me@far.example:22", &["run", "--rm", "host", "echo", "far"]).ok(), "far\n");
    let words = std::fs::read_to_string(stage.folder().join("ssh.log")).expect("ssh ran");
    assert!(words.contains("-l\nme\n-p\n22\n"), "{words}");
    let socket = stage.folder().join("dhow.sock");
    let with_path = format!("ssh://far.example{}", socket.display());
    assert_eq!(run(&dhow, &with_path, &["ps", "-q"]).ok(), "");
    let failed = run(&dhow, "ssh://-oProxyCommand=touch", &["ps"]);
    assert_ne!(failed.code, 0);
    // docker over ssh, with this program as the docker of the other side: it dials with our own command line.
    std::fs::write(programs.join("docker"), format!("#!/bin/sh\nexec {dhow} \"$@\"\n")).expect("a script");
    std::fs::set_permissions(programs.join("docker"), std::fs::Permissions::from_mode(0o755)).expect("a program");
    let docker = ["/usr/bin/docker", "/usr/local/bin/docker"].into_iter().find(|path| Path::new(path).exists());
    let docker = docker.expect("the docker command line is installed");
    assert_eq!(run(docker, "ssh://far.example", &["run", "--rm", "host", "echo", "far"]).ok(), "far\n");
}

#[test]
fn contexts_are_shared_with_docker() {
    let stage = Stage::bare();
    let config = stage.folder().join("config");
    let run = |program: &Path, words: &[&str]| {
        let mut command = stage.inside(program);
        for name in ["DOCKER_HOST", "DHOW_HOST", "DOCKER_CONTEXT"] {
            command.env_remove(name);
        }
        command.env("DOCKER_CONFIG", &config).args(words);
        stage.output_of(command)
    };
    let (dhow, docker) = (binary(), Path::new("docker"));
    let endpoint = format!("host={}", stage.host());
    let made = run(&dhow, &["context", "create", "ours", "--docker", &endpoint, "--description", "an engine"]);
    assert_eq!((made.out.as_str(), made.err.as_str()), ("ours\n", "Successfully created context \"ours\"\n"));
    assert_eq!(run(docker, &["--context", "ours", "ps", "-q"]).ok(), "");
    run(docker, &["context", "create", "theirs", "--docker", &endpoint]).ok();
    run(&dhow, &["context", "use", "theirs"]).ok();
    assert_eq!(run(docker, &["context", "show"]).ok(), "theirs\n");
    assert_eq!(run(&dhow, &["run", "--rm", "host", "echo", "there"]).ok(), "there\n");
    assert_eq!(run(&dhow, &["-c", "ours", "ps", "-q"]).ok(), "");
    for words in
        [&["context", "inspect", "ours"][..], &["context", "inspect", "ours", "theirs"], &["context", "ls", "-q"]]
    {
        assert_eq!(run(&dhow, words).ok(), run(docker, words).ok(), "{words:?}");
    }
    for words in [
        &["context", "use", "nope"][..],
        &["context", "rm", "nope"],
        &["context", "rm", "default"],
        &["context", "rm", "theirs"],
        &["context", "create", "ours", "--docker", "host=unix:///x"],
        &["context", "create", "default"],
        &["context", "create", "x"],
        &["context", "create", "xx", "--docker", "foo=bar"],
        &["context", "update", "nope", "--description", "x"],
        &["context", "inspect", "nope"],
    ] {
        let (ours, theirs) = (run(&dhow, words), run(docker, words));
        assert_eq!((ours.code, &ours.err), (theirs.code, &theirs.err), "{words:?}");
    }
    run(&dhow, &["context", "rm", "-f", "theirs", "ours"]).ok();
    assert_eq!(run(docker, &["context", "ls", "-q"]).ok(), "default\n");
}

#[test]
fn one_connection_serves_many_requests_of_every_form() {
    let stage = Stage::bare();
    let mut wire = stage.wire();
    for _ in 0..3 {
        wire.send("GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(status(&wire.head()), 200);
        assert_eq!(wire.take(2), b"OK");
    }
    // A client that waits to be told to go on (RFC 9110, 10.1.1).
    wire.send("POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(status(&wire.head()), 100);
    wire.send("{}");
    assert_eq!(status(&wire.head()), 400);
    let mut chunked = stage.wire();
    chunked.send("POST /containers/create?name=chunked HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
    for piece in ["{\"Image\":\"host\",", "\"Cmd\":[\"true\"]}"] {
        chunked.send(format!("{:x}\r\n{piece}\r\n", piece.len()));
    }
    chunked.send("0\r\n\r\n");
    assert_eq!(status(&chunked.head()), 201);
    assert_eq!(stage.dhow(["ps", "-a", "--format", "{{.Names}}"]).ok(), "chunked\n");
    // HTTP/2 without TLS, by those who know that it is spoken.
    let socket = stage.folder().join("dhow.sock").display().to_string();
    let words = ["-s", "--http2-prior-knowledge", "-w", " %{http_version}", "--unix-socket", &socket, "http://x/_ping"];
    assert_eq!(stage.tool("curl", words).ok(), "OK 2");
}

#[test]
fn bodies_that_make_no_sense_make_nothing() {
    let stage = Stage::bare();
    let too_long = format!("{{\"Image\":\"host\",\"Env\":[\"{}\"]}}", "a".repeat(17 << 20));
    let deep = format!("{{\"Image\":\"host\",\"Labels\":{}{}}}", "[".repeat(5000), "]".repeat(5000));
    for body in [
        "",
        "   ",
        "{}",
        "[]",
        "null",
        "7",
        "{\"Image\":\"host\"",
        // Two readers of one body must not see two different ones (CVE-2024-41110, CVE-2026-34040).
        "{\"Image\":\"host\",\"Image\":\"host\"}",
        "{\"Image\":\"host\",\"HostConfig\":{\"Privileged\":false,\"Privileged\":true}}",
        "{\"Image\":\"host\"}{\"HostConfig\":{\"Privileged\":true}}",
        "{\"Image\":\"host\"} x",
        "\u{0}",
        &too_long,
        &deep,
    ] {
        let mut wire = stage.wire();
        let head = "POST /containers/create?name=x HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
        wire.send(format!("{head}Content-Length: {}\r\n\r\n", body.len()));
        wire.send_while_heard(body.as_bytes());
        let answer = status(&wire.head());
        assert_eq!(answer, 400, "{}", &body[..body.len().min(80)]);
    }
    // A header without an end, and one that says two things about its body (request smuggling).
    let mut wire = stage.wire();
    // It is answered, and no more read, before all of it was sent.
    let long = "a".repeat((1 << 20) + 60_000);
    wire.send_while_heard(format!("GET /_ping HTTP/1.1\r\nHost: x\r\nX: {long}\r\n\r\n").as_bytes());
    assert_eq!(status(&wire.head()), 431);
    let mut wire = stage.wire();
    wire.send("POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 2\r\n\r\n{}");
    assert_eq!(status(&wire.head()), 400);
    assert_eq!(stage.dhow(["ps", "-aq"]).ok(), "");
    within("the engine is well", || stage.dhow(["run", "--rm", "host", "true"]).code == 0);
}

#[test]
fn every_spelling_of_a_mount_meets_the_same_checks() {
    let stage = Stage::bare();
    for (bind, mount) in [
        ("/etc:/", r#"{"Type":"bind","Source":"/etc","Target":"/"}"#),
        ("/etc:/x/..", r#"{"Type":"bind","Source":"/etc","Target":"/x/.."}"#),
        ("/etc:relative", r#"{"Type":"bind","Source":"/etc","Target":"relative"}"#),
    ] {
        for host in [format!("{{\"Binds\":[{bind:?}]}}"), format!("{{\"Mounts\":[{mount}]}}")] {
            let body = format!("{{\"Image\":\"host\",\"Cmd\":[\"true\"],\"HostConfig\":{host}}}");
            let mut wire = stage.wire();
            wire.send(format!(
                "POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ));
            assert_eq!(status(&wire.head()), 400, "{host}");
        }
    }
}
