//! Docker's own builders' clients, unmodified, on dhow: `docker buildx` and `docker compose build`.
//!
//! Debian 12 has no package of them: `cargo xtask conformance buildx DIR` runs these tests with the plugins in DIR.

use it::{Output, Stage};
use std::path::PathBuf;

/// A plugin of the docker command.
fn plugin(name: &str) -> PathBuf {
    let folder = std::env::var_os("DHOW_DOCKER_PLUGINS").expect("DHOW_DOCKER_PLUGINS names their folder");
    let path = PathBuf::from(folder).join(name);
    assert!(path.is_file(), "{} is missing", path.display());
    path
}

struct Client {
    stage: Stage,
    config: PathBuf,
}

impl Client {
    fn new() -> Client {
        let stage = Stage::new();
        let config = stage.folder().join("client");
        let plugins = config.join("cli-plugins");
        std::fs::create_dir_all(&plugins).expect("a folder");
        for name in ["docker-buildx", "docker-compose"] {
            std::os::unix::fs::symlink(plugin(name), plugins.join(name)).expect("a link");
        }
        Client { stage, config }
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.stage.folder().join("work").join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }

    fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.stage.folder().join("work").join(path)).expect("a file")
    }

    fn docker(&self, words: &str) -> Output {
        let mut command = self.stage.docker_command(words.split_whitespace());
        command.env("DOCKER_CONFIG", &self.config).current_dir(self.stage.folder().join("work"));
        let output = command.output().expect("docker runs");
        Output {
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
            code: output.status.code().unwrap_or(-1),
        }
    }

    fn run(&self, image: &str, line: &str) -> String {
        self.stage.dhow(["run", "--rm", image, "sh", "-c", line]).ok()
    }
}

#[test]
#[ignore = "needs docker-buildx and docker-compose: cargo xtask conformance buildx DIR"]
fn buildx_builds_with_secrets_caches_and_contexts_into_images_and_folders() {
    let client = Client::new();
    let text = "FROM busybox AS base\nARG WHO=nobody\nENV WHO=$WHO\n\
        RUN --mount=type=secret,id=s cat /run/secrets/s > /secret\n\
        RUN --mount=type=cache,target=/c touch /c/kept && ls /c > /list\n\
        FROM base\nCOPY --from=other f /f\nCOPY . /all/\n\
        FROM scratch AS files\nCOPY --from=base /secret /list /\n";
    client.write("c/Dockerfile", &text.replace("FROM base\n", "FROM base AS last\n"));
    client.write("c/.dockerignore", "*.log\n");
    client.write("c/a.log", "no");
    client.write("other/f", "named");
    client.write("s", "secret");
    let flags = "--progress=plain --secret id=s,src=s --build-context other=other --build-arg WHO=me";
    let built = client.docker(&format!("buildx build {flags} --target last -t app --metadata-file m --iidfile i c"));
    assert_eq!(built.code, 0, "{}", built.err);
    assert!(built.err.contains("[base 2/3] RUN --mount=type=secret"), "{}", built.err);
    let seen = client.run("app", "cat /secret /list /f; ls /all; echo $WHO");
    assert_eq!(seen, "secretkept\nnamedDockerfile\nme\n");
    let id = client.stage.dhow(["inspect", "-f", "{{.Id}}", "app"]).ok();
    assert_eq!(client.read("i"), id.trim());
    assert!(client.read("m").contains("buildx.build.provenance"));
    let again = client.docker(&format!("buildx build {flags} --target last -t app c"));
    assert_eq!(again.err.matches(" CACHED").count(), 4, "{}", again.err);
    let local = client.docker(&format!("buildx build {flags} -o type=local,dest=out c"));
    assert_eq!(local.code, 0, "{}", local.err);
    assert_eq!((client.read("out/secret"), client.read("out/list")), ("secret".to_owned(), "kept\n".to_owned()));
    let listed = client.docker("buildx history ls").ok();
    assert_eq!(listed.matches("Completed").count(), 3, "{listed}");
    assert_eq!(client.stage.dhow(["ps", "-aq"]).ok(), "");
}

#[test]
#[ignore = "needs docker-buildx and docker-compose: cargo xtask conformance buildx DIR"]
fn buildx_shows_where_a_build_failed_and_what_is_wrong_with_a_dockerfile() {
    let client = Client::new();
    client.write("c/Dockerfile", "FROM busybox\nRUN exit 3\n");
    let failed = client.docker("buildx build --progress=plain c");
    assert_ne!(failed.code, 0);
    for part in [
        "   2 | >>> RUN exit 3",
        "failed to solve: process \"/bin/sh -c exit 3\" did not complete successfully: exit code: 3",
    ] {
        assert!(failed.err.contains(part), "{part} is not in {}", failed.err);
    }
    client.write("c/Dockerfile", "FROM busybox\nMAINTAINER x\n");
    let checked = client.docker("buildx build --check c");
    assert!(checked.out.contains("WARNING: MaintainerDeprecated"), "{}{}", checked.out, checked.err);
    assert_eq!(checked.code, 1);
}

#[test]
#[ignore = "needs docker-buildx and docker-compose: cargo xtask conformance buildx DIR"]
fn compose_builds_services_one_on_the_other() {
    let client = Client::new();
    client.write("a/Dockerfile", "FROM busybox\nARG X\nRUN echo $X > /x\n");
    client.write("b/Dockerfile", "FROM base\nRUN cat /x > /y\n");
    client.write(
        "compose.yaml",
        "name: p\nservices:\n  a:\n    build: {context: a, args: {X: made}}\n  b:\n    build:\n      context: b\n      \
         additional_contexts: {base: \"service:a\"}\n",
    );
    let built = client.docker("compose build");
    assert_eq!(built.code, 0, "{}", built.err);
    assert_eq!(client.run("p-b", "cat /y"), "made\n");
}
