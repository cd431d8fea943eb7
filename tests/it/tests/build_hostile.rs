//! Dockerfiles, contexts, repositories and images that want what is not theirs: files of the machine, rights, a place in the cache.

use it::{Stage, within};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

const SECRET: &str = "only the machine's";

/// A folder of the machine's that nobody may see or change, with a file `canary` and an empty one, `stub`.
fn guarded(stage: &Stage) -> PathBuf {
    let folder = stage.folder().join("guarded");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("canary"), SECRET).expect("written");
    std::fs::write(folder.join("stub"), "").expect("written");
    folder
}

#[track_caller]
fn assert_unharmed(guarded: &Path) {
    assert_eq!(std::fs::read_to_string(guarded.join("canary")).expect("still there"), SECRET);
    assert_eq!(std::fs::read_to_string(guarded.join("stub")).expect("still there"), "");
    assert_eq!(std::fs::read_dir(guarded).expect("still there").count(), 2);
}

/// A folder with a Dockerfile.
fn context(stage: &Stage, text: &str) -> PathBuf {
    let folder = stage.folder().join("context");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("Dockerfile"), text).expect("written");
    folder
}

fn build(stage: &Stage, context: &Path, flags: &[&str]) -> it::Output {
    let path = context.display().to_string();
    let words = [&["build", "--progress=plain", "-t", "hostile"], flags, &[&path]].concat();
    stage.dhow(words)
}

fn shell(folder: &Path, line: &str) {
    let output = Command::new("sh").args(["-ec", line]).current_dir(folder).output().expect("sh(1) runs");
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

/// CVE-2024-23651: what a cache mount shows is looked up while another step swaps it for a link.
#[test]
fn a_cache_mount_that_is_swapped_shows_nothing_of_the_machine() {
    let stage = Stage::new();
    let guarded = guarded(&stage);
    let steps: String = (0..12)
        .map(|number| {
            format!(
                "RUN --mount=type=cache,id=x,source=d,target=/seen cat /seen/canary /seen/d/canary 2>/dev/null > /{number}; \
                 touch /seen/touched /seen/d/touched 2>/dev/null; true\n"
            )
        })
        .collect();
    let text = format!(
        "FROM busybox AS swap\nRUN --mount=type=cache,id=x,target=/c for n in $(seq 3000); do \
         rm -rf /c/d; mkdir /c/d; rm -rf /c/d; ln -s {} /c/d; done; echo done > /done\n\
         FROM busybox AS look\n{steps}FROM busybox\nCOPY --from=swap /done /\nCOPY --from=look / /all/\n",
        guarded.display()
    );
    build(&stage, &context(&stage, &text), &[]);
    let seen = stage.dhow(["run", "--rm", "hostile", "sh", "-c", "cat /all/[0-9]*"]);
    assert!(!seen.out.contains(SECRET), "{}", seen.out);
    assert_unharmed(&guarded);
}

/// CVE-2024-23652: what was made to be mounted on is taken away after the step, through a link that the step put there.
#[test]
fn nothing_outside_is_taken_away_with_the_places_of_mounts() {
    let stage = Stage::new();
    let guarded = guarded(&stage);
    let target = guarded.display();
    let text = format!(
        "FROM busybox\nRUN --mount=type=tmpfs,target=/v/w/stub mv /v/w /v/x; rm -rf /v/w; ln -s {target} /v/w; true\n\
         RUN --mount=type=cache,target=/y/stub mv /y /z; ln -s {target} /y; true\n"
    );
    build(&stage, &context(&stage, &text), &[]);
    assert_unharmed(&guarded);
}

/// CVE-2024-23653: whatever is asked for, all rights are only for those who were given them.
#[test]
fn no_value_of_an_entitlement_is_one_by_mistake() {
    let stage = Stage::new();
    for flag in
        ["--security=insecure", "--security=Insecure", "--security=2", "--security=-1", "--security=", "--network=host"]
    {
        let text = format!("FROM busybox\nRUN {flag} grep CapEff /proc/self/status; ls /sys/class/net\n");
        let built = build(&stage, &context(&stage, &text), &[]);
        assert_ne!(built.code, 0, "{flag}: {}{}", built.out, built.err);
        assert!(!built.err.contains("CapEff:"), "{flag}: {}", built.err);
    }
}

/// CVE-2024-1753, CVE-2024-9407, CVE-2024-9675, CVE-2024-11218: sources, targets, names and options of mounts.
#[test]
fn no_mount_of_a_step_leads_out() {
    let stage = Stage::new();
    let guarded = guarded(&stage);
    let path = guarded.display().to_string();
    let up = format!("../../../../../../../..{path}");
    let mut mounts = Vec::new();
    for source in [&path, &up, &"link".to_owned(), &"link/canary".to_owned(), &"up".to_owned(), &"d/link".to_owned()] {
        mounts.push(format!("type=bind,source={source},target=/m"));
        mounts.push(format!("type=bind,source={source},target=/m,rw"));
        mounts.push(format!("type=bind,from=base,source={source},target=/m,rw"));
        mounts.push(format!("type=cache,id=a{},source={source},from=base,target=/m", mounts.len()));
        mounts.push(format!("type=cache,id=b{},source={source},target=/m", mounts.len()));
    }
    for id in [&path, &up, &"..".to_owned(), &".".to_owned(), &"../../guarded".to_owned(), &"/".to_owned()] {
        mounts.push(format!("type=cache,id={id},target=/m"));
    }
    for target in ["/", "../..", "/m/../../..", "/proc", "/proc/self/cwd", "/dev/fd/7", "/link"] {
        mounts.push(format!("type=tmpfs,target={target}"));
        mounts.push(format!("type=cache,id=t,target={target}"));
    }
    for option in
        ["bind-propagation=shared", "bind-propagation=rshared", "bind-propagation=bogus", "shared", "suid", "dev"]
    {
        mounts.push(format!("type=bind,target=/m,rw,{option}"));
        mounts.push(format!("type=cache,target=/m,{option}"));
    }
    let folder = context(&stage, "");
    symlink(&path, folder.join("link")).expect("a link");
    symlink("../guarded", folder.join("up")).expect("a link");
    std::fs::create_dir(folder.join("d")).expect("a folder");
    symlink(&path, folder.join("d/link")).expect("a link");
    for mount in &mounts {
        let text = format!(
            "FROM busybox AS base\nRUN ln -s {path} /link && ln -s ../../..{path} /up && mkdir /d && ln -s {path} /d/link\n\
             FROM base\nRUN --mount={mount} cat /m/canary /m /link/canary 2>/dev/null; \
             echo gone > /m/canary; echo gone > /m; rm -f /m/stub /m/canary; touch /m/new; true\n"
        );
        std::fs::write(folder.join("Dockerfile"), text).expect("written");
        let built = build(&stage, &folder, &[]);
        assert!(!built.err.contains(SECRET) && !built.out.contains(SECRET), "{mount}: {}", built.err);
        assert_unharmed(&guarded);
    }
}

/// CVE-2019-13139, CVE-2026-33748, and what git itself was told before: addresses that are options, folders and modules that
/// lead elsewhere.
#[test]
fn a_repository_gives_its_own_files_and_runs_nothing() {
    let stage = Stage::new();
    let guarded = guarded(&stage);
    let path = guarded.display();
    let place = stage.folder().join("served");
    std::fs::create_dir(&place).expect("a folder");
    let git = "git -c user.name=n -c user.email=e@example.org -c init.defaultBranch=main -c protocol.file.allow=always";
    shell(
        &place,
        &format!(
            "mkdir work && cd work && {git} init -q && mkdir sub && echo mine > sub/f && ln -s {path} out && ln -s ../../../..{path} up \
             && ln -s {path}/canary file && {git} add -A && {git} commit -qm one && {git} branch -- plain && {git} update-ref refs/heads/-x HEAD \
             && printf '[submodule \"m\"]\\n\\tpath = m\\n\\turl = ext::sh -c touch%% {path}/new\\n' > .gitmodules \
             && {git} update-index --add --cacheinfo 160000,$({git} rev-parse HEAD),m && {git} add .gitmodules && {git} commit -qm two \
             && cd .. && {git} clone -q --bare work r.git && cd r.git && {git} update-server-info"
        ),
    );
    let port = "18700";
    let mut command = stage.inside("python3");
    let server = command.args(["-m", "http.server", "--bind", "127.0.0.1", "--directory"]).arg(&place).arg(port);
    let mut server =
        server.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().expect("python3");
    within("the repository is served", || {
        let script = format!("import socket; socket.create_connection(('127.0.0.1', {port}), 2)");
        stage.tool("python3", ["-c", &script]).code == 0
    });
    let address = format!("http://127.0.0.1:{port}/r.git");
    let add =
        |source: &str| build(&stage, &context(&stage, &format!("FROM busybox\nADD {source} /x/\n")), &["--no-cache"]);
    let good = add(&format!("{address}#plain:sub"));
    assert_eq!(good.code, 0, "{}", good.err);
    assert_eq!(stage.dhow(["run", "--rm", "hostile", "cat", "/x/f"]).ok(), "mine\n");
    let links = add(&format!("{address}#plain"));
    assert_eq!(links.code, 0, "{}", links.err);
    let read = stage.dhow(["run", "--rm", "hostile", "sh", "-c", "readlink /x/file; cat /x/file /x/out/canary"]);
    assert!(read.out.contains("canary") && !read.out.contains(SECRET), "{}", read.out);
    for fragment in ["plain:out", "plain:up", "plain:..", "plain:../../guarded", "plain:sub/../../..", "plain:file"] {
        let refused = add(&format!("{address}#{fragment}"));
        assert!(refused.code != 0 && !refused.err.contains(SECRET), "{fragment}: {}", refused.err);
    }
    let touch = format!("--upload-pack=touch${{IFS}}{path}/new");
    for source in [
        format!("{address}#{touch}"),
        format!("{address}#-x"),
        format!("{address}#plain:--help"),
        format!("{address}#main"),
        format!("git@127.0.0.1:{touch}"),
        format!("ssh://-oProxyCommand=touch${{IFS}}{path}/new/r"),
    ] {
        let refused = add(&source);
        assert_ne!(refused.code, 0, "{source}: {}", refused.err);
        assert_unharmed(&guarded);
    }
    server.kill().expect("killed");
    server.wait().expect("waited");
}

/// A trigger names the last of many stages that nobody else needs, each of which stands on the one before.
#[test]
fn a_long_chain_of_stages_is_no_deep_one() {
    const STAGES: usize = 1500;
    let stage = Stage::new();
    let trigger = format!("FROM busybox\nONBUILD COPY --from={STAGES} /f /from-the-last\n");
    build(&stage, &context(&stage, &trigger), &["-t", "trigger"]).ok();
    let chain: String = (1..=STAGES).map(|number| format!("FROM s{} AS s{number}\n", number - 1)).collect();
    let text = format!("FROM busybox AS s0\nRUN echo deep > /f\n{chain}FROM trigger\n");
    build(&stage, &context(&stage, &text), &[]).ok();
    assert_eq!(stage.dhow(["run", "--rm", "hostile", "cat", "/from-the-last"]).ok(), "deep\n");
}

/// CVE-2024-24557: an image that comes from elsewhere says what its layers were made by, and is believed nothing of it.
#[test]
fn an_image_from_elsewhere_is_no_cache() {
    let elsewhere = Stage::new();
    let text = "FROM busybox\nRUN cat /proc/sys/kernel/random/uuid > /id\n";
    build(&elsewhere, &context(&elsewhere, text), &[]).ok();
    let id = elsewhere.dhow(["run", "--rm", "hostile", "cat", "/id"]).ok();
    let archive = elsewhere.folder().join("image.tar").display().to_string();
    elsewhere.dhow(["save", "-o", &archive, "hostile"]).ok();
    let stage = Stage::new();
    stage.dhow(["load", "-i", &archive]).ok();
    assert_eq!(stage.dhow(["run", "--rm", "hostile", "cat", "/id"]).ok(), id);
    build(&stage, &context(&stage, text), &[]).ok();
    assert_ne!(stage.dhow(["run", "--rm", "hostile", "cat", "/id"]).ok(), id);
    let own = context(&stage, text).display().to_string();
    let mut classic = stage.docker_command(["build", "-t", "classic", &own]);
    assert!(classic.env("DOCKER_BUILDKIT", "0").output().expect("docker runs").status.success());
    assert_ne!(stage.dhow(["run", "--rm", "classic", "cat", "/id"]).ok(), id);
}

/// A context that is sent: entries that are to lie elsewhere.
#[test]
fn a_context_is_unpacked_where_it_belongs() {
    let stage = Stage::new();
    let guarded = guarded(&stage);
    let script = "\
import io, sys, tarfile
path, kind, guarded = sys.argv[1:]
tar = tarfile.open(path, 'w')
def add(name, text='', **more):
    entry = tarfile.TarInfo(name)
    for key, value in more.items():
        setattr(entry, key, value)
    data = text.encode()
    entry.size = len(data)
    tar.addfile(entry, io.BytesIO(data))
if kind == 'up':
    add('../' * 12 + guarded.lstrip('/') + '/canary', 'gone')
elif kind == 'absolute':
    add(guarded + '/canary', 'gone')
elif kind == 'through':
    add('link', type=tarfile.SYMTYPE, linkname=guarded)
    add('link/canary', 'gone')
elif kind == 'hard':
    add('hard', type=tarfile.LNKTYPE, linkname=guarded + '/canary')
    add('hard', 'gone')
elif kind == 'dockerfile':
    add('Dockerfile', type=tarfile.SYMTYPE, linkname=guarded + '/canary')
elif kind == 'device':
    add('device', type=tarfile.BLKTYPE, devmajor=254, devminor=0)
if kind != 'dockerfile':
    add('Dockerfile', 'FROM busybox\\nCOPY . /all/\\nRUN cat /all/hard /all/link/canary; ls -R /all\\n')
";
    for kind in ["up", "absolute", "through", "hard", "dockerfile", "device"] {
        let tar = stage.folder().join(format!("{kind}.tar"));
        let made = Command::new("python3").args(["-c", script]).arg(&tar).arg(kind).arg(&guarded).status();
        assert!(made.expect("python3 runs").success());
        let mut classic = stage.docker_command(["build", "-t", "classic", "-"]);
        let input = std::fs::File::open(&tar).expect("a tar");
        let said = classic.env("DOCKER_BUILDKIT", "0").stdin(input).output().expect("docker runs");
        let text = [said.stdout, said.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        assert!(!text.contains(SECRET), "{kind}: {text}");
        assert_unharmed(&guarded);
    }
}
