//! docker-compose, unmodified, against this engine: Debian's 1.29, or the program that `DHOW_COMPOSE` names.

use it::{Output, Stage, within};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

/// A project on an engine of its own.
struct Project {
    stage: Stage,
    file: &'static str,
}

impl Project {
    fn new(file: &'static str) -> Project {
        Project { stage: Stage::new(), file }
    }

    fn command(&self, words: &[&str]) -> Command {
        let program = std::env::var("DHOW_COMPOSE").unwrap_or_else(|_| "docker-compose".to_owned());
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("stacks").join(self.file);
        let mut command = Command::new(program);
        command.args(["-p", "shop", "-f"]).arg(file).args(words);
        command.env("DOCKER_HOST", self.stage.host()).env("DOCKER_CONFIG", self.stage.folder().join("config"));
        // Names as 1.29 makes them: shop_web_1.
        command.env("COMPOSE_COMPATIBILITY", "true");
        command.stdin(Stdio::null());
        command
    }

    fn compose(&self, words: &[&str]) -> Output {
        let output = self.command(words).output().expect("docker-compose runs: apt-get install docker-compose");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Output { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// What a program says in a service's container.
    fn exec(&self, service: &str, words: &[&str]) -> String {
        self.compose(&[&["exec", "-T", service], words].concat()).ok()
    }

    /// The page at a URL, as a service's container sees it.
    fn page(&self, service: &str, url: &str) -> String {
        self.exec(service, &["wget", "-q", "-O", "-", url])
    }

    /// The addresses of a name, as a service's container is told.
    fn lookup(&self, service: &str, name: &str) -> Vec<String> {
        let said = self.exec(service, &["sh", "-c", &format!("nslookup {name} 127.0.0.11 || true")]);
        let answers = said.lines().skip_while(|line| !line.starts_with("Name:"));
        answers.filter_map(|line| line.strip_prefix("Address: ")).map(str::to_owned).collect()
    }

    fn down(&self) {
        self.compose(&["down", "-v", "--remove-orphans"]).ok();
        assert_eq!(self.stage.docker(["ps", "-aq"]).ok(), "");
        assert_eq!(self.stage.docker(["network", "ls", "-q", "-f", "type=custom"]).ok(), "");
        assert_eq!(self.stage.docker(["volume", "ls", "-q"]).ok(), "");
    }
}

#[test]
fn a_stack_comes_up_in_order_and_its_services_find_each_other() {
    let shop = Project::new("shop.yml");
    shop.compose(&["up", "-d"]).ok();
    // worker was started when db was healthy, so it found it.
    within("worker has found db", || shop.compose(&["logs", "--no-color", "worker"]).ok().contains("found ready"));
    for name in ["db", "database", "shop_db_1", "DB", "database.shop_back", "shop_db_1.shop_back"] {
        assert_eq!(shop.page("web", &format!("http://{name}:5432/state")), "ready\n", "{name}");
    }
    let id = shop.compose(&["ps", "-q", "db"]).ok();
    assert_eq!(shop.page("worker", &format!("http://{}:5432/state", &id[..12])), "ready\n");
    assert_eq!(shop.page("worker", "http://web/"), "hello from web\n");
    assert_eq!(shop.stage.shell_inside("curl -s http://127.0.0.1:18080/").ok(), "hello from web\n");
    assert_eq!(shop.compose(&["port", "web", "80"]).ok(), "0.0.0.0:18080\n");
    let resolv = shop.exec("web", &["cat", "/etc/resolv.conf"]);
    assert!(resolv.contains("nameserver 127.0.0.11\n") && resolv.contains("ndots:0"), "{resolv}");
    shop.down();
}

#[test]
fn a_scaled_service_has_all_its_addresses() {
    let shop = Project::new("shop.yml");
    shop.compose(&["up", "-d", "--scale", "worker=3"]).ok();
    assert_eq!(shop.lookup("web", "worker").len(), 3);
    shop.compose(&["up", "-d", "--scale", "worker=1"]).ok();
    assert_eq!(shop.lookup("web", "worker").len(), 1);
    shop.compose(&["stop", "worker"]).ok();
    assert_eq!(shop.lookup("web", "worker").len(), 0);
    shop.down();
}

#[test]
fn services_are_restarted_stopped_paused_and_run_once() {
    let shop = Project::new("shop.yml");
    shop.compose(&["up", "-d"]).ok();
    shop.compose(&["restart", "db"]).ok();
    assert_eq!(shop.exec("db", &["cat", "/data/starts"]), "up\nup\n");
    within("db answers again", || {
        shop.compose(&["exec", "-T", "web", "wget", "-q", "-O", "-", "http://db:5432/state"]).code == 0
    });
    shop.compose(&["stop", "web"]).ok();
    shop.compose(&["start", "web"]).ok();
    within("web answers again", || {
        shop.stage.shell_inside("curl -s http://127.0.0.1:18080/").out == "hello from web\n"
    });
    shop.compose(&["pause", "db"]).ok();
    shop.compose(&["unpause", "db"]).ok();
    assert_eq!(shop.compose(&["run", "--rm", "--no-deps", "-T", "worker", "echo", "once"]).ok(), "once\n");
    let file = shop.stage.folder().join("given");
    std::fs::write(&file, "given\n").expect("a file can be written");
    shop.stage.docker(["cp", &file.display().to_string(), "shop_db_1:/data/given"]).ok();
    assert_eq!(shop.page("web", "http://db:5432/given"), "given\n");
    // Nothing has changed, so nothing is made anew; what is removed by hand is.
    let before = shop.compose(&["ps", "-q"]).ok();
    shop.compose(&["up", "-d"]).ok();
    assert_eq!(shop.compose(&["ps", "-q"]).ok(), before);
    shop.stage.docker(["rm", "-f", "shop_web_1"]).ok();
    shop.compose(&["up", "-d"]).ok();
    assert_eq!(shop.page("worker", "http://web/"), "hello from web\n");
    shop.down();
}

#[test]
fn logs_are_followed_until_the_service_ends() {
    let shop = Project::new("shop.yml");
    shop.compose(&["up", "-d"]).ok();
    let mut follow = shop.command(&["logs", "-f", "--no-color", "worker"]);
    let mut follow = follow.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("docker-compose runs");
    let mut lines = BufReader::new(follow.stdout.take().expect("a pipe")).lines();
    let found = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("found ready")));
    assert!(found.is_some());
    shop.compose(&["stop", "worker"]).ok();
    lines.for_each(drop);
    within("following ends", || follow.try_wait().expect("a child").is_some());
    shop.down();
}

#[test]
fn names_are_answered_after_a_crash_of_the_engine() {
    let mut shop = Project::new("shop.yml");
    shop.compose(&["up", "-d"]).ok();
    shop.stage.kill_engine();
    shop.stage.start_engine();
    assert_eq!(shop.page("web", "http://database:5432/state"), "ready\n");
    assert_eq!(shop.page("worker", "http://web/"), "hello from web\n");
    shop.compose(&["up", "-d", "--scale", "worker=2"]).ok();
    assert_eq!(shop.lookup("web", "worker").len(), 2);
    shop.down();
}
