//! Against Debian's docker-registry, with skopeo as the witness. Needs root and both programs.

mod fake;

use archive::fixture::Tar;
use fake::{config_of, until};
use image::pull::Pull;
use image::push::Push;
use image::{HostMask, Reference, Store};
use registry::{Cancel, Client, Credentials, Settings};
use serde_json::json;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

struct Registry(Child);

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn registry(folder: &Path, host: &str) -> Registry {
    let settings = json!({
        "version": 0.1,
        "storage": { "filesystem": { "rootdirectory": folder.join("data") } },
        "http": { "addr": host },
    });
    let path = folder.join("registry.yml");
    std::fs::write(&path, settings.to_string()).unwrap();
    let mut command = Command::new("docker-registry");
    command.arg("serve").arg(&path).stdout(Stdio::null()).stderr(Stdio::null());
    let registry = Registry(command.spawn().unwrap());
    until("the registry answers", || TcpStream::connect(host).is_ok());
    registry
}

fn free_port() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
#[ignore = "needs docker-registry and skopeo"]
fn images_go_to_a_real_registry_and_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let host = free_port();
    let _registry = registry(folder.path(), &host);
    let a = Tar::new().folder("bin", 0o755).file("bin/sh", &vec![7; 3_000_000]).finish();
    let b = Tar::new().file("etc/b", b"b").finish();
    let listing =
        json!([{ "Config": "c.json", "RepoTags": [format!("{host}/x/app:1")], "Layers": ["a.tar", "b.tar"] }]);
    let archive = Tar::new()
        .file("c.json", &config_of(&[&a, &b]))
        .file("a.tar", &a)
        .file("b.tar", &b)
        .file("manifest.json", listing.to_string().as_bytes())
        .finish();
    let open = |name: &str| Store::open(&folder.path().join(name), HostMask::default()).unwrap();
    let (first, second) = (open("first"), open("second"));
    first.load(&mut &archive[..], &mut |_| {}).unwrap();
    let client = Client::new(Settings::default());
    let (credentials, cancel) = (Credentials::default(), Cancel::default());
    let push = |store: &Store, rest: &str| {
        let reference = Reference::parse(&format!("{host}/{rest}")).unwrap();
        let push = Push {
            reference: &reference,
            registry: &client,
            credentials: &credentials,
            cancel: &cancel,
            platform: None,
            uploads: 5,
        };
        store.push(&push, &|_| {}).unwrap()
    };
    let pull = |store: &Store, rest: &str| {
        let reference = Reference::parse(&format!("{host}/{rest}")).unwrap();
        let pull = Pull {
            reference: &reference,
            platform: None,
            registry: &client,
            credentials: &credentials,
            cancel: &cancel,
            downloads: 3,
        };
        store.pull(&pull, &|_| {}).unwrap()
    };
    let pushed = push(&first, "x/app:1");
    // skopeo verifies digests, sizes and, on the way into an archive, diffIDs; docker-registry converts nothing.
    let skopeo = |arguments: &[&str]| {
        let status = Command::new("skopeo").args(arguments).stdout(Stdio::null()).status().unwrap();
        assert!(status.success(), "skopeo {arguments:?}");
    };
    let source = format!("docker://{host}/x/app:1");
    let copied = folder.path().join("copied.tar").display().to_string();
    skopeo(&["copy", "--src-tls-verify=false", &source, &format!("docker-archive:{copied}:x:1")]);
    let pulled = pull(&second, "x/app:1");
    assert_eq!((pulled.id, pulled.digest), (first.get(&format!("{host}/x/app:1")).unwrap().id, pushed.digest));
    // From here as Docker's schema 2 to another repository, pulled, and pushed on byte for byte.
    let target = format!("docker://{host}/y/app:2");
    let tls = ["--src-tls-verify=false", "--dest-tls-verify=false"];
    skopeo(&["copy", "--format", "v2s2", tls[0], tls[1], &source, &target]);
    let schema2 = pull(&first, "y/app:2");
    assert_ne!(schema2.digest, pushed.digest);
    first.tag(&format!("{host}/y/app:2"), &format!("{host}/z/app:3")).unwrap();
    assert_eq!(push(&first, "z/app:3").digest, schema2.digest);
    assert!(!pull(&first, "z/app:3").newer);
}
