//! What users of Testcontainers for Rust do: databases, networks, files, waiting; nothing is left when the values are dropped.

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use testcontainers::core::{ExecCommand, IntoContainerPort, Mount, WaitFor};
use testcontainers::runners::SyncRunner;
use testcontainers::{Container, ContainerRequest, GenericImage, ImageExt};

type Outcome = Result<(), Box<dyn Error>>;

fn main() {
    let tests: [(&str, fn() -> Outcome); 6] = [
        ("rust_postgres_answers_queries", postgres),
        ("rust_redis_answers", redis),
        ("rust_several_at_a_time_have_ports_of_their_own", several),
        ("rust_containers_of_a_network_find_each_other", network),
        ("rust_environment_command_logs_and_exit", logs),
        ("rust_files_and_volumes", files),
    ];
    for (name, test) in tests {
        match test() {
            Ok(()) => println!("test_{name} ... ok"),
            Err(error) => println!("{name}: {error:?}\ntest_{name} ... FAIL"),
        }
    }
}

fn redis_image() -> GenericImage {
    GenericImage::new("redis", "7")
        .with_exposed_port(6379.tcp())
        .with_wait_for(WaitFor::message_on_stdout("Ready to accept connections"))
}

fn sleeper() -> ContainerRequest<GenericImage> {
    GenericImage::new("testcontainers-base", "latest").with_cmd(["sleep", "1000"])
}

fn same<T: PartialEq + std::fmt::Debug>(got: T, wanted: T) -> Outcome {
    if got == wanted { Ok(()) } else { Err(format!("{got:?} is not {wanted:?}").into()) }
}

/// Exit code and output of a command inside.
fn said(container: &Container<GenericImage>, words: &[&str]) -> Result<(Option<i64>, String), Box<dyn Error>> {
    let mut run = container.exec(ExecCommand::new(words.iter().copied()))?;
    let text = String::from_utf8(run.stdout_to_vec()?)?;
    Ok((run.exit_code()?, text))
}

/// What Redis answers to a line, through its published port.
fn ask(container: &Container<GenericImage>, line: &str) -> Result<String, Box<dyn Error>> {
    let port = container.get_host_port_ipv4(6379)?;
    let mut stream = TcpStream::connect((container.get_host()?.to_string(), port))?;
    writeln!(stream, "{line}\r")?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(answer.trim_end().to_owned())
}

fn postgres() -> Outcome {
    let container = GenericImage::new("postgres", "15")
        .with_exposed_port(5432.tcp())
        .with_wait_for(WaitFor::message_on_stderr("database system is ready to accept connections"))
        .with_env_var("POSTGRES_USER", "alice")
        .with_env_var("POSTGRES_PASSWORD", "secret")
        .with_env_var("POSTGRES_DB", "shop")
        .start()?;
    TcpStream::connect(("127.0.0.1", container.get_host_port_ipv4(5432)?))?;
    let words = ["env", "PGPASSWORD=secret", "psql", "-h", "127.0.0.1", "-U", "alice", "-At", "shop", "-c"];
    let query = [&words[..], &["select sum(n) from generate_series(1, 1000) n"]].concat();
    same(said(&container, &query)?, (Some(0), "500500\n".to_owned()))
}

fn redis() -> Outcome {
    let container = redis_image().start()?;
    same(ask(&container, "SET key value")?, "+OK".to_owned())?;
    same(ask(&container, "EXISTS key")?, ":1".to_owned())
}

fn several() -> Outcome {
    let (one, two) = (redis_image().start()?, redis_image().start()?);
    same(one.get_host_port_ipv4(6379)? == two.get_host_port_ipv4(6379)?, false)?;
    same(ask(&one, "SET key one")?, "+OK".to_owned())?;
    same(ask(&two, "EXISTS key")?, ":0".to_owned())
}

fn network() -> Outcome {
    let _store = redis_image().with_network("rust-session").with_container_name("rust-store").start()?;
    let client = sleeper().with_network("rust-session").start()?;
    same(said(&client, &["redis-cli", "-h", "rust-store", "ping"])?, (Some(0), "PONG\n".to_owned()))
}

fn logs() -> Outcome {
    let container = GenericImage::new("testcontainers-base", "latest")
        .with_wait_for(WaitFor::message_on_stdout("hello out"))
        .with_env_var("GREETING", "hello")
        .with_cmd(["sh", "-c", "echo err >&2; echo \"$GREETING out\"; exec sleep 1000"])
        .start()?;
    same(container.stdout_to_vec()?, b"hello out\n".to_vec())?;
    same(container.stderr_to_vec()?, b"err\n".to_vec())?;
    same(said(&container, &["sh", "-c", "echo in; exit 3"])?, (Some(3), "in\n".to_owned()))?;
    container.stop_with_timeout(Some(0))?;
    same(container.is_running()?, false)?;
    same(container.exit_code()?, Some(137))
}

fn files() -> Outcome {
    let folder = std::env::temp_dir().join("rust-session");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("file"), "from the host\n")?;
    let container = sleeper()
        .with_copy_to("/tmp/given", b"given\n".to_vec())
        .with_mount(Mount::bind_mount(folder.display().to_string(), "/mnt"))
        .start()?;
    same(said(&container, &["cat", "/tmp/given", "/mnt/file"])?, (Some(0), "given\nfrom the host\n".to_owned()))?;
    container.rm()?;
    Ok(std::fs::remove_dir_all(folder)?)
}
