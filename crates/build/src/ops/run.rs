//! `RUN`: a program in a container above the layers so far; what it writes is the next layer.

use super::agent;
use super::origin::{Origin, origin};
use super::stubs::Stubs;
use super::workdir::absolute;
use super::{At, copy, place, transfer};
use crate::cache::Parts;
use crate::context::{Stopped, Unpacked, of_texts};
use crate::mounts::{Beginning, Fresh, Taken};
use crate::progress::{Cached, Event};
use crate::request::Granted;
use crate::solve::{Build, Keyed};
use crate::state::State;
use crate::{Error, Result};
use base::Digest;
use container::{Config, LogConfig, MountRequest, MountSource, NetworkMode};
use dockerfile::mount::{Cache, Secret, Sharing, Ssh};
use dockerfile::{Invocation, Mount, MountKind, Network, Resolved, Run, Security};
use engine::{Step, StepNews};
use layer::Adopted;
use serde_json::json;
use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// Where a script of a heredoc lies while it runs.
const PIPES: &str = "/dev/pipes";

/// A mount with what it shows found out.
struct Shown<'a> {
    mount: &'a Mount,
    /// Absolute.
    target: String,
    /// Of a bind, and of a cache that begins with something.
    origin: Option<Origin>,
    /// What of it counts for the key.
    meaning: String,
}

pub(crate) fn run(
    build: &Build<'_>,
    state: &mut State,
    at: At<'_>,
    (run, resolved): (&Run, &Resolved),
) -> Result<Cached> {
    if run.network == Network::Host && build.request.entitlements.host_network == Granted::No {
        return Err(Error::NotEntitled("network.host"));
    }
    if run.security == Security::Insecure && build.request.entitlements.insecure == Granted::No {
        return Err(Error::NotEntitled("security.insecure"));
    }
    let created_by = state.created_by(resolved);
    let invocation = run.invocation(&state.shell());
    let working_dir = state.working_dir();
    let shown = resolved.mounts.iter().map(|mount| show(build, at, mount, &working_dir));
    let shown: Vec<Shown<'_>> = shown.collect::<Result<_>>()?;
    let meaning = meaning(build, state, run, (&invocation, &shown));
    let key = state.of_this_time(of_texts([&b"run"[..], state.stack().as_bytes(), meaning.as_bytes()]));
    note(build, run, &shown);
    let parts = || parts(build, state, (&at, run), (&invocation, &shown));
    let keyed = Keyed::of(key, at, &created_by).of_parts(&parts);
    let (outcome, cached) = {
        let running = Running { build, state, at, run, invocation: &invocation, shown: &shown };
        build.outcome(&keyed, &mut || running.go())?
    };
    state.advance(created_by, &outcome);
    Ok(cached)
}

/// What of a step its provenance tells, whether it runs now or ran before.
fn note(build: &Build<'_>, run: &Run, shown: &[Shown<'_>]) {
    for shown in shown {
        match &shown.mount.kind {
            MountKind::Secret(secret) => build.notes.secret(&secret.id, !secret.required),
            MountKind::Ssh(ssh) => build.notes.agent(&ssh.id, !ssh.required),
            _ => {}
        }
    }
    if run.network != Network::None {
        build.notes.network();
    }
}

/// All that decides what a program finds, but for its layers. Proxies are left out: they are ways, and change nothing.
fn meaning(build: &Build<'_>, state: &State, run: &Run, (invocation, shown): (&Invocation, &[Shown<'_>])) -> String {
    let request = &build.request.steps;
    json!({
        "argv": invocation.argv,
        "file": invocation.file.as_ref().map(|file| (&file.name, &file.content)),
        "env": state.scope.variables().words(),
        "user": state.image.config.user,
        "folder": state.working_dir(),
        "mounts": shown.iter().map(|shown| &shown.meaning).collect::<Vec<_>>(),
        "network": format!("{:?} {:?}", run.network, request.network),
        "security": format!("{:?} {:?} {:?}", run.security, request.seccomp, request.apparmor),
        "hosts": request.extra_hosts,
        "hostname": request.hostname,
        "devices": run.devices.iter().map(|device| &device.name).collect::<Vec<_>>(),
    })
    .to_string()
}

/// The same, one by one.
fn parts(
    build: &Build<'_>,
    state: &State,
    (at, run): (&At<'_>, &Run),
    (invocation, shown): (&Invocation, &[Shown<'_>]),
) -> Parts {
    let request = &build.request.steps;
    let file = invocation.file.as_ref().map(|file| file.content.as_str()).unwrap_or_default();
    let mut parts = state.parts(at, &format!("{}{file}", invocation.argv.join(" ")));
    for word in state.scope.variables().words() {
        parts.variable(&word);
    }
    let mut set = |name: &str, value: String| parts.settings.insert(name.to_owned(), value);
    set("the user", state.image.config.user.clone());
    set("the working directory", state.working_dir());
    set("the network", format!("{:?} {:?}", run.network, request.network));
    set("what it is allowed", format!("{:?} {:?} {:?}", run.security, request.seccomp, request.apparmor));
    set("further hosts", format!("{:?}", request.extra_hosts));
    set("the host name", format!("{:?}", request.hostname));
    for shown in shown {
        set(&format!("the mount at {}", shown.target), shown.meaning.clone());
    }
    parts
}

fn show<'a>(build: &Build<'_>, at: At<'_>, mount: &'a Mount, working_dir: &str) -> Result<Shown<'a>> {
    let target = absolute(working_dir, &mount.target);
    let found = |from: &Option<String>, source: &str| {
        let wanted = [source.to_owned()];
        origin(build, (at.stage, at.number), from.as_deref(), &wanted)
    };
    let (origin, meaning) = match &mount.kind {
        MountKind::Bind { from, source } => {
            let origin = found(from, source)?;
            let digest = origin.open(build)?.digest_of(build, source)?;
            (Some(origin), format!("bind {target} {source} {} {digest}", mount.read_only))
        }
        MountKind::Cache(cache) => {
            let origin = cache.from.as_ref().map(|_| found(&cache.from, &cache.source)).transpose()?;
            (origin, format!("cache {target} {}", cache.id))
        }
        MountKind::Tmpfs { size } => (None, format!("tmpfs {target} {size}")),
        MountKind::Secret(secret) => (None, format!("secret {} {:?} {:?}", secret.id, secret.target, secret.env)),
        MountKind::Ssh(ssh) => (None, format!("ssh {} {:?}", ssh.id, ssh.target)),
    };
    Ok(Shown { mount, target, origin, meaning })
}

/// A step that is about to run.
struct Running<'a> {
    build: &'a Build<'a>,
    state: &'a State,
    at: At<'a>,
    run: &'a Run,
    invocation: &'a Invocation,
    shown: &'a [Shown<'a>],
}

/// The name of a cache mount: builds of one engine can be kept apart by a namespace (BuildKit's argument).
fn mount_id(build: &Build<'_>, cache: &Cache) -> String {
    match build.request.arguments.get("BUILDKIT_CACHE_MOUNT_NS").filter(|space| !space.is_empty()) {
        Some(space) => format!("{}/{}", space.trim_end_matches('/'), cache.id.trim_start_matches('/')),
        None => cache.id.clone(),
    }
}

/// What a step needs while it runs: mounts, variables, and what holds them.
#[derive(Default)]
struct Needs<'a> {
    mounts: Vec<MountRequest>,
    env: Vec<String>,
    /// What no record may keep.
    secret_env: Vec<String>,
    /// Cache mounts in use, by their names.
    taken: BTreeMap<String, Taken<'a>>,
    /// What is written into binds, and thrown away.
    scratch: Vec<Unpacked>,
}

impl Running<'_> {
    fn go(&self) -> Result<Option<Adopted>> {
        let folder = Unpacked::make(&self.build.house.private())?;
        let own = std::fs::Permissions::from_mode(0o711);
        std::fs::set_permissions(folder.path(), own).map_err(Error::io("open a folder to a step"))?;
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let mut needs = Needs { taken: self.caches()?, ..Needs::default() };
            let mut served = Vec::new();
            for (number, shown) in self.shown.iter().enumerate() {
                let place = folder.path().join(number.to_string());
                match &shown.mount.kind {
                    MountKind::Bind { source, .. } => self.bind(shown, source, &mut needs)?,
                    MountKind::Cache(cache) => self.cache(shown, cache, &mut needs)?,
                    MountKind::Tmpfs { size } => needs.mounts.push(tmpfs(&shown.target, *size)),
                    MountKind::Secret(secret) => self.secret(secret, &place, &mut needs)?,
                    MountKind::Ssh(ssh) => {
                        let Some(target) = self.agent(ssh, number, &mut needs)? else { continue };
                        let whom = (ssh.id.clone(), ssh.mode);
                        served.push(agent::serve(scope, self.build.sources, whom, &place, &ended)?);
                        chown(&place, Some(ssh.uid), Some(ssh.gid)).map_err(Error::io("give an agent to its user"))?;
                        needs.mounts.push(bind(&place, &target, false));
                    }
                }
            }
            if let Some(file) = &self.invocation.file {
                let place = folder.path().join("script");
                write(&place, file.content.as_bytes(), (0o755, 0, 0))?;
                needs.mounts.push(bind(&place, &format!("{PIPES}/{}", file.name), true));
            }
            let done = self.in_container(needs);
            drop(served);
            done
        })
    }

    fn in_container(&self, needs: Needs<'_>) -> Result<Option<Adopted>> {
        let build = self.build;
        build.bring(&self.state.layers)?;
        let targets: Vec<&str> = needs.mounts.iter().map(|mount| mount.target.as_str()).collect();
        let stubs = self.stubs(&targets)?;
        let step = Step { config: self.config(&needs), image: self.state.id()?, cancel: build.cancel.clone() };
        let number = self.at.number;
        let mut tell = |news: StepNews| match news {
            StepNews::Begun(id) => build.watch.tell(Event::Container { step: number, id }),
            StepNews::Output(chunk) => {
                build.watch.tell(Event::Output { step: number, stream: chunk.stream, bytes: chunk.bytes });
            }
        };
        let ended = build.house.engine.run_step(step, &mut tell, &|upper| stubs.clear(upper));
        let end = ended.map_err(|error| self.foreign(error))?;
        if end.exit_code != 0 {
            let failed = Error::Exit { command: self.invocation.argv.join(" "), code: end.exit_code };
            self.examine(&needs, &failed)?;
            return Err(failed);
        }
        Ok(end.layer)
    }

    /// A program that the kernel does not know how to run may be one for another platform.
    fn foreign(&self, error: engine::Error) -> Error {
        let why = self.build.house.engine.why_foreign(&error, &self.state.image);
        why.map_or_else(|| error.into(), Error::Invalid)
    }

    /// Lets the client look around where the step stood, with all that it had.
    fn examine(&self, needs: &Needs<'_>, why: &Error) -> Result<()> {
        let shell = self.state.shell().first().cloned().unwrap_or_else(|| "/bin/sh".to_owned());
        let config = Config { cmd: Some(vec![shell]), ..self.config(needs) };
        let cancel = self.build.cancel.clone();
        let stopped = Stopped { step: Step { config, image: self.state.id()?, cancel }, title: self.at.title, why };
        match self.build.sources.examine(stopped) {
            Err(error) if !error.is_cancelled() => {
                let text = format!("no shell for the step that failed: {}", base::chain(&error));
                self.build.watch.tell(Event::Warning { lines: None, text });
                Ok(())
            }
            done => done,
        }
    }

    /// What the mounts need to be mounted on, and the tree does not have.
    fn stubs(&self, targets: &[&str]) -> Result<Stubs> {
        let kernel = |target: &str| ["/dev/", "/proc/", "/sys/"].iter().any(|made| target.starts_with(made));
        let targets: Vec<&str> = targets.iter().copied().filter(|target| !kernel(target)).collect();
        if targets.is_empty() {
            return Ok(Stubs::default());
        }
        let tree = Origin::Layers(self.state.layers.clone()).open(self.build)?;
        Stubs::missing(tree.root(), &targets)
    }

    fn config(&self, needs: &Needs<'_>) -> Config {
        let (request, image) = (&self.build.request.steps, &self.state.image.config);
        let network = match self.run.network {
            Network::Default => request.network.clone(),
            Network::None => NetworkMode::None,
            Network::Host => NetworkMode::Host,
        };
        let mut env = self.state.scope.environment();
        env.extend(needs.env.iter().cloned());
        Config {
            image: self.state.base.map_or_else(|| "scratch".to_owned(), |base| base.to_string()),
            entrypoint: Some(Vec::new()),
            cmd: Some(self.invocation.argv.clone()),
            env,
            secret_env: needs.secret_env.clone(),
            working_dir: self.state.working_dir(),
            user: image.user.clone(),
            mounts: needs.mounts.clone(),
            network,
            privileged: self.run.security == Security::Insecure,
            log: LogConfig { driver: "none".to_owned(), ..LogConfig::default() },
            layers: Some(self.state.layers.clone()),
            ..request.clone()
        }
    }

    /// Files of a stage or of the client: as layers, which many steps may have mounted at once.
    fn bind(&self, shown: &Shown<'_>, source: &str, needs: &mut Needs<'_>) -> Result<()> {
        let Some(origin) = &shown.origin else { return Ok(()) };
        let (layers, subpath) = match origin {
            Origin::Layers(layers) => {
                self.build.bring(layers)?;
                (layers.clone(), crate::context::cleaned(source))
            }
            Origin::Client(_) => self.snapshot(origin, source)?,
        };
        if layers.is_empty() {
            return Err(Error::Invalid(format!("there is nothing to be mounted at {}", shown.target)));
        }
        let scratch = match shown.mount.read_only {
            true => None,
            false => {
                let scratch = Unpacked::make(&self.build.house.contexts())?;
                let path = scratch.path().display().to_string();
                needs.scratch.push(scratch);
                Some(path)
            }
        };
        let subpath = Some(subpath).filter(|path| !path.is_empty());
        let source = MountSource::Layers { layers, subpath, scratch };
        needs.mounts.push(MountRequest { target: shown.target.clone(), readonly: shown.mount.read_only, source });
        Ok(())
    }

    /// A client's folder as a layer of its own: with the ids that a copy would have, and without what is ignored. A file lies in it
    /// by its name.
    fn snapshot(&self, origin: &Origin, source: &str) -> Result<(Vec<Digest>, String)> {
        let build = self.build;
        let tree = origin.open(build)?;
        let digest = tree.digest_of(build, source)?;
        let key = of_texts([&b"snapshot"[..], digest.as_bytes()]);
        let title = format!("load build context {source}");
        let keyed = Keyed::of(key, At { title: &title, ..self.at }, "");
        let scope = tree.scope(None);
        let chosen = copy::sources(scope, source, copy::Parents::No)?;
        let is_folder = chosen.1.first().is_some_and(|chosen| chosen.look.kind == rustix::fs::FileType::Directory);
        let mut make = || -> Result<Option<Adopted>> {
            let layers = build.house.engine.image_store().layers();
            let work = layers.begin(&[])?;
            let manner = copy::Manner {
                owner: None,
                chmod: None,
                parents: copy::Parents::No,
                attributes: transfer::keep(&tree),
                cancel: build.cancel.clone(),
            };
            let into = if is_folder { "/tree" } else { "/file" };
            if is_folder {
                place::folder(work.root(), b"tree", place::Owner::default(), 0o755)?;
            }
            copy::copy(work.root(), scope, &chosen, into, &manner)?;
            Ok(layers.finish(work)?)
        };
        let is_so = || -> Result<bool> { Ok(!tree.may_change() || tree.digest_of(build, source)? == digest) };
        let (outcome, _) = build.outcome_if(&keyed, &mut make, &is_so)?;
        let layers = outcome.layer.map(|made| made.diff_id).into_iter().collect();
        Ok((layers, if is_folder { "tree".to_owned() } else { "file".to_owned() }))
    }

    /// The cache mounts that it names, each once, and in the same order as every other step: two of them never wait for each
    /// other.
    fn caches(&self) -> Result<BTreeMap<String, Taken<'_>>> {
        let strictness = |cache: &Cache| match cache.sharing {
            Sharing::Locked => 0,
            Sharing::Private => 1,
            Sharing::Shared => 2,
        };
        let mut wanted: Vec<(String, &Cache)> = Vec::new();
        for shown in self.shown {
            if let MountKind::Cache(cache) = &shown.mount.kind {
                wanted.push((mount_id(self.build, cache), cache));
            }
        }
        wanted.sort_by(|(one, first), (other, second)| (one, strictness(first)).cmp(&(other, strictness(second))));
        wanted.dedup_by(|(later, _), (before, _)| later == before);
        let mut taken = BTreeMap::new();
        for (id, cache) in wanted {
            let (mode, uid, gid) = (cache.mode.unwrap_or(0o755), cache.uid.unwrap_or(0), cache.gid.unwrap_or(0));
            let mounts = &self.build.house.mounts;
            let mount = mounts.take(&id, cache.sharing, Beginning { mode, uid, gid }, &self.build.cancel)?;
            taken.insert(id, mount);
        }
        Ok(taken)
    }

    fn cache(&self, shown: &Shown<'_>, cache: &Cache, needs: &mut Needs<'_>) -> Result<()> {
        let build = self.build;
        let Some(taken) = needs.taken.get_mut(&mount_id(build, cache)) else { return Ok(()) };
        if let (Some(origin), Fresh::Yes) = (&shown.origin, taken.is_new) {
            let tree = origin.open(build)?;
            let manner = copy::Manner {
                owner: None,
                chmod: None,
                parents: copy::Parents::No,
                attributes: transfer::keep(&tree),
                cancel: build.cancel.clone(),
            };
            let chosen = copy::sources(tree.scope(None), &cache.source, copy::Parents::No)?;
            let root = std::fs::File::open(taken.tree()).map_err(Error::io("open a cache mount"))?;
            let copied = copy::copy(std::os::fd::AsFd::as_fd(&root), tree.scope(None), &chosen, "/", &manner);
            if let Err(error) = copied {
                // The next one begins with all of it.
                let _ = base::tree::remove(&taken.tree());
                return Err(error);
            }
            taken.is_new = Fresh::No;
        }
        needs.mounts.push(bind(&taken.tree(), &shown.target, shown.mount.read_only));
        Ok(())
    }

    fn secret(&self, secret: &Secret, place: &Path, needs: &mut Needs<'_>) -> Result<()> {
        let Some(value) = self.build.sources.secret(&secret.id)? else {
            return if secret.required { Err(Error::NoSecret(secret.id.clone())) } else { Ok(()) };
        };
        if let Some(name) = &secret.env {
            needs.secret_env.push(format!("{name}={}", String::from_utf8_lossy(&value)));
        }
        if let Some(target) = &secret.target {
            write(place, &value, (secret.mode, secret.uid, secret.gid))?;
            let target = absolute(&self.state.working_dir(), target);
            needs.mounts.push(bind(place, &target, true));
        }
        Ok(())
    }

    /// Where the socket of an agent goes; `None` when the client has none and none is required.
    fn agent(&self, ssh: &Ssh, number: usize, needs: &mut Needs<'_>) -> Result<Option<String>> {
        if self.build.sources.agent(&ssh.id)?.is_none() {
            return if ssh.required { Err(Error::NoAgent(ssh.id.clone())) } else { Ok(None) };
        }
        let before = self.shown[..number].iter().filter(|shown| matches!(shown.mount.kind, MountKind::Ssh(_))).count();
        let target = ssh.target.clone().unwrap_or_else(|| format!("/run/buildkit/ssh_agent.{before}"));
        let target = absolute(&self.state.working_dir(), &target);
        if before == 0 {
            needs.env.push(format!("SSH_AUTH_SOCK={target}"));
        }
        Ok(Some(target))
    }
}

fn bind(path: &Path, target: &str, readonly: bool) -> MountRequest {
    let source = MountSource::Bind {
        path: path.display().to_string(),
        create: false,
        recursive: false,
        propagation: String::new(),
        recursive_readonly: false,
    };
    MountRequest { target: target.to_owned(), readonly, source }
}

fn tmpfs(target: &str, size: u64) -> MountRequest {
    let source = MountSource::Tmpfs { size: Some(size).filter(|size| *size > 0), mode: None, options: Vec::new() };
    MountRequest { target: target.to_owned(), readonly: false, source }
}

/// A small file for a step alone.
fn write(path: &Path, bytes: &[u8], (mode, uid, gid): (u32, u32, u32)) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let failed = || Error::io("write a file for a step");
    let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = made.map_err(failed())?;
    file.write_all(bytes).map_err(failed())?;
    chown(path, Some(uid), Some(gid)).map_err(failed())?;
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).map_err(failed())
}
