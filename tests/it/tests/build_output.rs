//! Where a build's result goes: archives that others read, files, registries, what is said of it, and the same digest each time.

use it::{Maker, Registry, Stage};
use serde_json::Value;
use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

const DOCKERFILE: &str = "FROM busybox\nARG WHO=nobody\nRUN mkdir /d && echo made > /d/x && chmod 4755 /d/x && ln /d/x /d/y\n\
    COPY --chmod=640 f /d/\nRUN rm /bin/base64; touch /bin/new\nENV A=b\n";

/// A context with a Dockerfile.
fn context(stage: &Stage, dockerfile: &str, files: &[(&str, &str)]) -> PathBuf {
    let path = stage.folder().join("context");
    for (file, text) in files.iter().chain(&[("Dockerfile", dockerfile), ("f", "file")]) {
        let file = path.join(file);
        std::fs::create_dir_all(file.parent().expect("a parent")).expect("a folder");
        std::fs::write(file, text).expect("a file");
    }
    path
}

fn build(stage: &Stage, flags: &[&str], context: &Path) -> it::Output {
    let context = context.display().to_string();
    stage.dhow(["build", "--progress=plain"].iter().chain(flags).copied().chain([context.as_str()]))
}

/// Builds, and what `--metadata-file` says of it.
fn told(stage: &Stage, flags: &[&str], context: &Path) -> Value {
    let file = stage.folder().join("told.json");
    let mut all = vec!["--metadata-file", file.to_str().expect("a name")];
    all.extend(flags);
    build(stage, &all, context).ok();
    json(&std::fs::read(&file).expect("what a build tells"))
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("json")
}

/// The files of a tar, unpacked.
fn unpacked(stage: &Stage, archive: &Path) -> PathBuf {
    let folder = archive.with_extension("d");
    std::fs::create_dir_all(&folder).expect("a folder");
    let words = ["-xf", archive.to_str().expect("a name"), "-C", folder.to_str().expect("a name")];
    stage.tool("tar", words).ok();
    folder
}

fn blob(layout: &Path, digest: &Value) -> Value {
    let hex = digest.as_str().expect("a digest").trim_start_matches("sha256:");
    json(&std::fs::read(layout.join("blobs/sha256").join(hex)).expect("a blob"))
}

/// The manifests below the only entry of a layout.
fn root(layout: &Path) -> (Value, Value) {
    let index = json(&std::fs::read(layout.join("index.json")).expect("an index"));
    let entry = index["manifests"][0].clone();
    let root = blob(layout, &entry["digest"]);
    (entry, root)
}

#[test]
fn archives_are_read_by_others_and_loaded_by_another_engine() {
    let stage = Stage::new();
    let context = context(&stage, DOCKERFILE, &[]);
    let path = |name: &str| stage.folder().join(name).display().to_string();
    let other = Stage::bare();
    for (kind, reader, name) in [("docker", "docker-archive", "as:docker"), ("oci", "oci-archive", "as:oci")] {
        let archive = path(&format!("{kind}.tar"));
        let output = format!("type={kind},dest={archive},name={name}");
        let told = told(&stage, &["-o", &output], &context);
        let seen = stage.tool("skopeo", ["inspect", "--config", &format!("{reader}:{archive}")]).ok();
        assert!(seen.contains(r#""A=b""#), "{seen}");
        assert_eq!(told["image.name"], format!("docker.io/library/{name}"));
        let said = other.dhow(["load", "-i", &archive]).ok();
        assert!(said.contains(name), "{said}");
        let look = "cat /d/y /d/f; stat -c %a /d/x /d/f; test -e /bin/base64 || echo gone";
        assert_eq!(other.dhow(["run", "--rm", name, "sh", "-c", look]).ok(), "made\nfile4755\n640\ngone\n");
    }
    let digest = |name: &str| other.dhow(["inspect", "-f", "{{.Id}}", name]).ok();
    assert_eq!(digest("as:docker"), digest("as:oci"));
    // Nothing of it is an image here.
    assert!(!stage.dhow(["images", "-q", "as"]).ok().contains("sha"));
    stage.dhow(["system", "fsck"]).ok();
}

#[test]
fn layers_are_compressed_as_it_is_asked() {
    let stage = Stage::new();
    let context = context(&stage, DOCKERFILE, &[]);
    for (attributes, ends) in [
        ("compression=uncompressed,force-compression=true", "tar"),
        ("compression=gzip,compression-level=9,force-compression=true", "tar+gzip"),
        ("compression=zstd,force-compression=true", "tar+zstd"),
        ("oci-mediatypes=false", "tar.gzip"),
    ] {
        let archive = stage.folder().join(format!("{ends}.tar"));
        build(&stage, &["-o", &format!("type=oci,dest={},{attributes}", archive.display())], &context).ok();
        let layout = unpacked(&stage, &archive);
        let (_, manifest) = root(&layout);
        let types: Vec<&str> = manifest["layers"]
            .as_array()
            .expect("layers")
            .iter()
            .map(|layer| layer["mediaType"].as_str().expect("a type"))
            .collect();
        assert!(types.len() == 4 && types.iter().all(|kind| kind.ends_with(ends)), "{attributes}: {types:?}");
        let to = stage.folder().join(format!("{ends}.copy"));
        let words = ["copy", "-q", &format!("oci-archive:{}", archive.display()), &format!("dir:{}", to.display())];
        stage.tool("skopeo", words).ok();
    }
    for (attributes, why) in [
        ("compression=estargz", "use gzip, zstd or uncompressed"),
        ("compresion=gzip", "unknown attribute"),
        ("compression=zstd,oci-mediatypes=false", "conflicts with"),
    ] {
        let archive = stage.folder().join("refused.tar");
        let refused = build(&stage, &["-o", &format!("type=oci,dest={},{attributes}", archive.display())], &context);
        assert!(refused.code != 0 && refused.err.contains(why), "{attributes}: {}", refused.err);
        assert!(!archive.exists());
    }
}

#[test]
fn files_go_into_a_folder_or_a_tar() {
    let stage = Stage::new();
    let text = "FROM busybox AS make\nRUN mkdir -p /o/s && echo a > /o/s/a && chmod 755 /o/s/a && ln -s s/a /o/l\n\
        FROM scratch\nCOPY --from=make /o/ /\n";
    let context = context(&stage, text, &[]);
    let folder = stage.folder().join("files");
    build(&stage, &["-o", &folder.display().to_string(), "--build-arg", "SOURCE_DATE_EPOCH=1000000000"], &context).ok();
    assert_eq!(std::fs::read_to_string(folder.join("s/a")).expect("a file"), "a\n");
    let look = std::fs::metadata(folder.join("s/a")).expect("a file");
    assert_eq!((look.permissions().mode() & 0o7777, look.mtime()), (0o755, 1_000_000_000));
    assert_eq!(std::fs::read_link(folder.join("l")).expect("a link"), Path::new("s/a"));

    let tar = stage.folder().join("files.tar");
    build(&stage, &["-o", &format!("type=tar,dest={}", tar.display())], &context).ok();
    let listed = stage.tool("tar", ["-tf", tar.to_str().expect("a name")]).ok();
    assert_eq!(listed, "l\ns/\ns/a\n");

    // What is said of files lies beside them.
    let with = stage.folder().join("with");
    let output = format!("type=local,dest={},attestation-prefix=out-", with.display());
    build(&stage, &["-o", &output, "--provenance=mode=min"], &context).ok();
    let said = json(&std::fs::read(with.join("out-provenance.json")).expect("a statement"));
    let names: Vec<&Value> = said["subject"].as_array().expect("subjects").iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["s/a"]);
}

#[test]
fn what_is_said_of_an_image_stands_beside_it() {
    let stage = Stage::new();
    let files = [
        ("status", "Package: tool\nStatus: install ok installed\nVersion: 1:2-3\nArchitecture: amd64\n"),
        ("METADATA", "Metadata-Version: 2.1\nName: Some_Thing\nVersion: 4.5\n"),
        ("package-lock.json", r#"{"lockfileVersion":3,"packages":{"node_modules/@a/b":{"version":"6.0.0"}}}"#),
    ];
    let text = "FROM busybox\nARG SECRET\nCOPY status /var/lib/dpkg/status\n\
        COPY METADATA /usr/lib/python3/dist-packages/some_thing-4.5.dist-info/\nCOPY package-lock.json /srv/\n";
    let context = context(&stage, text, &files);
    let archive = stage.folder().join("said.tar");
    let output = format!("type=oci,dest={},name=said:1", archive.display());
    let flags = [
        "-o",
        &output,
        "--build-arg",
        "SECRET=hidden",
        "--sbom=true",
        "--attest",
        "type=provenance,mode=min,version=v1",
    ];
    build(&stage, &flags, &context).ok();
    let layout = unpacked(&stage, &archive);
    let (_, index) = root(&layout);
    let (image, said) = (&index["manifests"][0], &index["manifests"][1]);
    assert_eq!(said["platform"]["os"], "unknown");
    assert_eq!(said["annotations"]["vnd.docker.reference.digest"], image["digest"]);
    assert_eq!(said["annotations"]["vnd.docker.reference.type"], "attestation-manifest");
    let manifest = blob(&layout, &said["digest"]);
    let mut statements = BTreeMap::new();
    for layer in manifest["layers"].as_array().expect("statements") {
        let statement = blob(&layout, &layer["digest"]);
        assert_eq!(layer["annotations"]["in-toto.io/predicate-type"], statement["predicateType"]);
        assert_eq!(statement["subject"][0]["name"], "pkg:docker/said@1?platform=linux%2Famd64");
        let hex = image["digest"].as_str().expect("a digest").trim_start_matches("sha256:");
        assert_eq!(statement["subject"][0]["digest"]["sha256"], hex);
        statements.insert(statement["predicateType"].as_str().expect("a type").to_owned(), statement);
    }
    let made = &statements["https://slsa.dev/provenance/v1"]["predicate"];
    assert!(!made.to_string().contains("hidden"), "{made}");
    let materials = made["buildDefinition"]["resolvedDependencies"].to_string();
    assert!(materials.contains("pkg:docker/busybox@latest"), "{materials}");
    let packages = &statements["https://spdx.dev/Document"]["predicate"]["packages"];
    let urls: Vec<&str> = packages
        .as_array()
        .expect("packages")
        .iter()
        .map(|package| package["externalRefs"][0]["referenceLocator"].as_str().expect("a url"))
        .collect();
    assert_eq!(urls, ["pkg:deb/debian/tool@1:2-3?arch=amd64", "pkg:npm/%40a/b@6.0.0", "pkg:pypi/some-thing@4.5"]);

    // In the store it disturbs nobody.
    build(&stage, &["-t", "said:2", "--sbom=true", "--provenance=mode=max"], &context).ok();
    assert_eq!(stage.dhow(["images", "-q", "said"]).ok().lines().count(), 1);
    assert_eq!(stage.dhow(["run", "--rm", "said:2", "cat", "/srv/package-lock.json"]).ok(), files[2].1);
    stage.dhow(["system", "fsck"]).ok();
    stage.dhow(["rmi", "said:2"]).ok();
    stage.dhow(["system", "fsck"]).ok();
    let scanner = build(&stage, &["--attest", "type=sbom,generator=some/scanner"], &context);
    assert!(scanner.code != 0 && scanner.err.contains("leave the generator out"), "{}", scanner.err);
}

#[test]
fn a_result_is_pushed_as_it_is_asked() {
    let stage = Stage::new();
    let context = context(&stage, DOCKERFILE, &[]);
    for (maker, port) in [(Maker::Debian, 5031), (Maker::Own, 5032)] {
        let registry = Registry::start(&stage, maker, port);
        let raw = |name: &str| {
            let from = format!("docker://{name}");
            json(stage.tool("skopeo", ["inspect", "--raw", "--tls-verify=false", &from]).ok().as_bytes())
        };
        let name = registry.name("p/plain:1");
        let plain = told(&stage, &["--push", "-t", &name], &context);
        let manifest = raw(&name);
        assert_eq!(manifest["config"]["digest"], plain["containerimage.config.digest"]);
        let known = stage.dhow(["inspect", "-f", "{{join .RepoDigests \" \"}}", &name]).ok();
        assert!(known.contains(plain["containerimage.digest"].as_str().expect("a digest")), "{known}");

        let name = registry.name("p/zstd:1");
        let output =
            format!("type=image,name={name},push=true,store=false,compression=zstd,annotation.org.example.a=b");
        build(&stage, &["-o", &output], &context).ok();
        let manifest = raw(&name);
        assert_eq!(manifest["annotations"]["org.example.a"], "b");
        let last = &manifest["layers"][3]["mediaType"];
        assert!(last.as_str().expect("a type").ends_with("zstd"), "{last}");
        assert_eq!(stage.dhow(["images", "-q", &name]).ok(), "");

        let name = registry.name("p/said:1");
        let said = told(&stage, &["--push", "-t", &name, "--provenance=mode=max"], &context);
        assert_eq!(raw(&name)["manifests"].as_array().map(Vec::len), Some(2));
        stage.dhow(["rmi", &name]).ok();
        let pulled = stage.dhow(["pull", &name]).ok();
        assert!(pulled.contains(said["containerimage.digest"].as_str().expect("a digest")), "{pulled}");
        assert_eq!(stage.dhow(["run", "--rm", &name, "cat", "/d/x"]).ok(), "made\n");

        let name = registry.name("p/nameless");
        let output = format!("type=image,name={name},push=true,push-by-digest=true");
        let nameless = told(&stage, &["-o", &output], &context);
        let digest = nameless["containerimage.digest"].as_str().expect("a digest");
        assert_eq!(raw(&format!("{name}@{digest}"))["config"]["digest"], plain["containerimage.config.digest"]);
        let tags = stage.tool("skopeo", ["list-tags", "--tls-verify=false", &format!("docker://{name}")]);
        assert!(tags.code != 0 || !tags.out.contains("latest"), "{}", tags.out);
    }
    let refused = build(&stage, &["-o", "type=image,push=true"], &context);
    assert!(refused.code != 0 && refused.err.contains("tag is needed when pushing to registry"), "{}", refused.err);
}

#[test]
fn two_engines_that_build_the_same_come_to_one_digest() {
    let digests: Vec<(String, Vec<u8>)> = (0..2)
        .map(|_| {
            let stage = Stage::new();
            let context = context(&stage, DOCKERFILE, &[]);
            let archive = stage.folder().join("same.tar");
            let output = format!("type=oci,dest={},name=same:1,rewrite-timestamp=true", archive.display());
            let flags =
                ["-o", &output, "--build-arg", "SOURCE_DATE_EPOCH=1700000000", "--provenance=mode=max", "--sbom=true"];
            let told = told(&stage, &flags, &context);
            let layout = unpacked(&stage, &archive);
            let (entry, _) = root(&layout);
            assert_eq!(entry["annotations"]["org.opencontainers.image.created"], "2023-11-14T22:13:20Z");
            let store =
                ["-o", "type=image,name=same:1,rewrite-timestamp=true", "--build-arg", "SOURCE_DATE_EPOCH=1700000000"];
            build(&stage, &store, &context).ok();
            assert_eq!(stage.dhow(["run", "--rm", "same:1", "stat", "-c", "%Y", "/bin/new"]).ok(), "1700000000\n");
            stage.dhow(["system", "fsck"]).ok();
            (told["containerimage.digest"].to_string(), std::fs::read(&archive).expect("an archive"))
        })
        .collect();
    assert_eq!(digests[0].0, digests[1].0);
    assert!(digests[0].1 == digests[1].1, "the archives differ");
}
