//! The engine as a process: options, listeners, signals, and the end.

use crate::app::App;
use crate::config_file::{self, Options, OptionsError};
use crate::diary;
use crate::flags::Flags;
use crate::listen::{self, Address, InsecureTcp, ListenError, Listener};
use crate::{notify, registries, routes, serve};
use axum::Router;
use clap::Parser;
use clap::error::ErrorKind;
use engine::{Engine, Settings};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The first host id of those that containers' ids are mapped to.
const ID_BASE: u32 = 0x7000_0000;
/// Sandboxes made ahead.
const POOL: usize = 6;
/// Threads that may block on the kernel at once.
const BLOCKING_THREADS: usize = 256;
/// Bytes of a thread's stack.
const STACK: usize = 1 << 20;
/// How long the last answers may take at the end.
const GRACE: Duration = Duration::from_millis(500);

/// Why the engine does not run.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error(transparent)]
    Options(#[from] OptionsError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Rootless(#[from] rootless::Error),
    #[error("invalid log level {0:?}: use trace, debug, info, warn, error or fatal")]
    LogLevel(String),
    #[error("cannot write the pid file {path}: process {pid} is still running")]
    StillRunning { path: PathBuf, pid: u32 },
    #[error("cannot open the engine")]
    Open(#[from] engine::Error),
    #[error("cannot {action}")]
    Io { action: &'static str, source: std::io::Error },
}

fn io(action: &'static str) -> impl Fn(std::io::Error) -> RunError {
    move |source| RunError::Io { action, source }
}

/// Runs `dhow engine ARGS...` (without argv 0 and `engine`) until it is told to end.
pub fn main(args: Vec<OsString>) -> ExitCode {
    let words = std::iter::once(OsString::from("dhow engine")).chain(args);
    let flags = match Flags::try_parse_from(words) {
        Ok(flags) => flags,
        Err(error) => {
            let _ = error.print();
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return if asked { ExitCode::SUCCESS } else { ExitCode::from(125) };
        }
    };
    match run(&flags) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("dhow engine: {}", base::chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(flags: &Flags) -> Result<ExitCode, RunError> {
    let options = config_file::load(flags)?;
    set_level(&options)?;
    let addresses = addresses(&options)?;
    options.registries.meant()?;
    let inside = match place(&options)? {
        Place::Machine => None,
        Place::Own(inside) => Some(Arc::new(inside)),
        Place::Outside(ended) => return Ok(ended),
    };
    // A socket is made with the mode that this leaves: writable for its owner only, until it is given to its group.
    sys::umask(0o022);
    let workers = std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 4);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_stack_size(STACK)
        .enable_all()
        .build()
        .map_err(io("start the threads"))?;
    let ended = runtime.block_on(live(flags, &options, addresses, inside.clone()));
    runtime.shutdown_timeout(GRACE);
    inside.iter().for_each(|inside| inside.end());
    ended.map(|()| ExitCode::SUCCESS)
}

/// Where this process runs the engine, if it does.
enum Place {
    /// With root's rights over the machine.
    Machine,
    /// In namespaces of a user's own.
    Own(rootless::Inside),
    /// It was the host side of an engine that has ended.
    Outside(ExitCode),
}

/// An ordinary user's engine goes into namespaces of its own, as long as this process has one thread.
fn place(options: &Options) -> Result<Place, RunError> {
    if !rootless::is_ordinary_user() {
        return Ok(Place::Machine);
    }
    let folders = rootless::Folders::find();
    if options.exec_root.starts_with(&folders.runtime) {
        folders.secure()?;
    }
    Ok(match rootless::enter(&options.exec_root)? {
        rootless::Side::Ended(code) => Place::Outside(code),
        rootless::Side::Engine(inside) => Place::Own(inside),
    })
}

fn set_level(options: &Options) -> Result<(), RunError> {
    let level = diary::level(&options.log_level, options.debug);
    diary::set_level(level.ok_or_else(|| RunError::LogLevel(options.log_level.clone()))?);
    Ok(())
}

/// Everything that can be said against the addresses before anything is opened.
fn addresses(options: &Options) -> Result<Vec<Address>, RunError> {
    let addresses: Vec<Address> = options.hosts.iter().map(|host| host.parse()).collect::<Result<_, _>>()?;
    for address in &addresses {
        if let (Address::Tcp(socket), false) = (address, options.insecure_tcp) {
            return Err(ListenError::Insecure(*socket).into());
        }
    }
    Ok(addresses)
}

fn settings(options: &Options, inside: Option<Arc<rootless::Inside>>) -> Result<Settings, RunError> {
    let binary = std::env::current_exe().map_err(io("find this program"))?;
    let own_folder = PathBuf::from("/etc/dhow");
    Ok(Settings {
        data_root: options.data_root.clone(),
        exec_root: options.exec_root.clone(),
        bip: options.bip,
        bridge: options.bridge.clone(),
        mtu: options.mtu,
        binary,
        hidden: options.file.iter().cloned().chain([own_folder]).chain(registries::hosts_folders()).collect(),
        id_base: if inside.is_some() { 0 } else { ID_BASE },
        rootless: inside,
        pool: POOL,
        labels: options.labels.clone(),
        registries: options.registries.meant()?,
        disk_budget: options.disk_budget,
    })
}

async fn live(
    flags: &Flags,
    options: &Options,
    addresses: Vec<Address>,
    inside: Option<Arc<rootless::Inside>>,
) -> Result<(), RunError> {
    let mut signals = Signals::catch().map_err(io("catch signals"))?;
    let _pidfile = options.pidfile.as_deref().map(PidFile::write).transpose()?;
    inside.iter().for_each(|inside| inside.warn());
    let settings = settings(options, inside.clone())?;
    let opened = tokio::task::spawn_blocking(move || Engine::open(settings)).await;
    let engine = opened.map_err(|e| RunError::Io { action: "open the engine", source: std::io::Error::other(e) })??;
    let app = App::new(engine.clone(), options.debug);
    let served = match listen(options, addresses, &app, inside.as_deref()).await {
        Ok(_open) => serve_until_told(flags, &app, &mut signals).await,
        Err(e) => Err(e),
    };
    notify::service_manager("STOPPING=1");
    let closed = tokio::task::spawn_blocking(move || engine.close()).await;
    closed.map_err(|e| RunError::Io { action: "close the engine", source: std::io::Error::other(e) })?;
    served
}

/// What takes connections until it is dropped.
struct Open {
    tasks: Vec<tokio::task::JoinHandle<()>>,
    files: Files,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

async fn listen(
    options: &Options,
    addresses: Vec<Address>,
    app: &App,
    inside: Option<&rootless::Inside>,
) -> Result<Open, RunError> {
    let tcp = if options.insecure_tcp { InsecureTcp::Allowed } else { InsecureTcp::Refused };
    let router = routes::router(app.clone());
    let mut open = Open { tasks: Vec::new(), files: Files(Vec::new()) };
    for address in addresses {
        for listener in listen::open(&address, tcp, inside.map(|inside| &*inside.doors)).await? {
            open.tasks.push(tokio::spawn(accept(listener, router.clone())));
        }
        tracing::info!("API listen on {address}");
        if let Address::Unix(path) = &address {
            if inside.is_some() {
                tracing::info!(
                    "for docker: docker context create dhow --docker host={address}; docker context use dhow"
                );
            }
            open.files.0.push(path.clone());
        }
    }
    Ok(open)
}

async fn serve_until_told(flags: &Flags, app: &App, signals: &mut Signals) -> Result<(), RunError> {
    notify::service_manager("READY=1");
    if let Some(number) = flags.ready_fd {
        notify::parent(number).map_err(io("write to --ready-fd"))?;
    }
    while signals.next().await == Told::Reload {
        reload(flags, app);
    }
    Ok(())
}

async fn accept(listener: Listener, router: Router) {
    loop {
        match listener.accept().await {
            Ok(conn) => {
                tokio::spawn(serve::connection(conn, router.clone()));
            }
            Err(error) => {
                // Out of descriptors, most often: others must be closed before it is of use to try again.
                tracing::warn!(%error, "a connection cannot be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Takes a new log level, and how registries are reached, from the configuration file; all else needs a new start.
fn reload(flags: &Flags, app: &App) {
    let again = config_file::load(flags).map_err(RunError::from).and_then(|options| {
        set_level(&options)?;
        app.engine.set_registries(options.registries.meant()?);
        app.set_debug(options.debug);
        Ok(options.log_level)
    });
    match again {
        Ok(level) => tracing::info!("configuration read again, log level {level}"),
        Err(error) => tracing::error!("the configuration stays as it was: {}", base::chain(&error)),
    }
}

/// What a signal asks for.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    End,
    Reload,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn catch() -> std::io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::End,
            _ = self.interrupt.recv() => Told::End,
            _ = self.hang_up.recv() => Told::Reload,
        }
    }
}

/// Sockets that go when the engine does.
struct Files(Vec<PathBuf>);

impl Drop for Files {
    fn drop(&mut self) {
        for path in &self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// A file with this process's id, removed at the end.
#[derive(Debug)]
struct PidFile(PathBuf);

impl PidFile {
    fn write(path: &Path) -> Result<PidFile, RunError> {
        let own = std::process::id();
        let before = std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<u32>().ok());
        if let Some(pid) = before.filter(|pid| *pid != own && Path::new(&format!("/proc/{pid}")).exists()) {
            return Err(RunError::StillRunning { path: path.to_owned(), pid });
        }
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(io("make the pid file's folder"))?;
        }
        std::fs::write(path, own.to_string()).map_err(io("write the pid file"))?;
        Ok(PidFile(path.to_owned()))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_of_a_living_process_is_respected() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("deep/pid");
        drop(PidFile::write(&path).expect("written"));
        assert!(!path.exists());
        std::fs::write(&path, "1\n").expect("a file");
        assert!(matches!(PidFile::write(&path), Err(RunError::StillRunning { pid: 1, .. })));
        std::fs::write(&path, "4000000000").expect("a file");
        assert!(PidFile::write(&path).is_ok());
    }

    #[test]
    fn bad_options_end_before_anything_is_opened() {
        let run = |words: &[&str]| run(&Flags::try_parse_from(["engine"].iter().chain(words)).expect("flags"));
        let empty = tempfile::NamedTempFile::new().expect("a file");
        let file = empty.path().to_str().expect("a path");
        for words in [
            &["-H", "nonsense"][..],
            &["--registry-mirror", "x"],
            &["--max-concurrent-downloads", "0"],
            &["-H", "tcp://127.0.0.1:0"],
            &["-l", "loud"],
        ] {
            let words: Vec<&str> = ["--config-file", file].iter().chain(words).copied().collect();
            assert!(run(&words).is_err(), "{words:?}");
        }
    }
}
