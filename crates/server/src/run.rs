//! The engine as a process: options, listeners, signals, and the end.

use crate::again;
use crate::app::App;
use crate::config_file;
use crate::diary;
use crate::flags::Flags;
use crate::listen::{self, Address, InsecureTcp, ListenError, Listener, Manner};
use crate::metrics;
use crate::options::{Options, OptionsError};
use crate::pid_file::{PidFile, PidFileError};
use crate::serve::{self, Door, Limits};
use crate::signals::{Signals, Told};
use crate::tls::TlsError;
use crate::traces::{self, Traces};
use crate::{notify, registries, reload, routes, version, words};
use clap::error::ErrorKind;
use engine::{Engine, Settings};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// The first host id of those that containers' ids are mapped to.
const ID_BASE: u32 = 0x7000_0000;
/// Sandboxes made ahead.
const POOL: usize = 6;
/// Threads that may block on the kernel at once.
const BLOCKING_THREADS: usize = 256;
/// Bytes of a thread's stack.
const STACK: usize = 1 << 20;
/// How long such a thread waits for more work before it ends.
const IDLE: Duration = Duration::from_secs(2);
/// Heaps of all threads together, and bytes of what is too large to be kept in one: long answers come and go.
const HEAPS: i32 = 2;
const LARGE: i32 = 256 << 10;
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
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    PidFile(#[from] PidFileError),
    #[error("invalid log level {0:?}: use trace, debug, info, warn, error or fatal")]
    LogLevel(String),
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
    let flags = match Flags::read(words) {
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
    let traces = traces::from_environment();
    begin_diary(&options, traces.as_ref())?;
    let addresses = addresses(&options)?;
    options.registries.meant()?;
    options.tls.acceptor()?;
    if flags.validate {
        eprintln!("configuration OK");
        return Ok(ExitCode::SUCCESS);
    }
    config_file::say_what_is_idle(&options.idle);
    options.oldest_version.into_iter().for_each(version::serve_from);
    let inside = match place(&options)? {
        Place::Machine => None,
        Place::Own(inside) => Some(Arc::new(inside)),
        Place::Outside(ended) => return Ok(ended),
    };
    // A socket is made with the mode that this leaves: writable for its owner only, until it is given to its group.
    sys::umask(0o022);
    sys::heap::keep_little(HEAPS, LARGE);
    let workers = std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 4);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_keep_alive(IDLE)
        .thread_stack_size(STACK)
        .enable_all()
        .build()
        .map_err(io("start the threads"))?;
    let exporter = traces.map(|traces| runtime.spawn(traces.export()));
    let ended = runtime.block_on(live(flags, &options, addresses, inside.clone()));
    if let Some(exporter) = exporter {
        runtime.block_on(traces::flush(exporter));
    }
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

fn begin_diary(options: &Options, traces: Option<&Traces>) -> Result<(), RunError> {
    let level = diary::level(&options.log_level, options.debug);
    let level = level.ok_or_else(|| RunError::LogLevel(options.log_level.clone()))?;
    diary::begin(level, options.log_format, traces.map(Traces::layer));
    Ok(())
}

/// Everything that can be said against the addresses before anything is opened.
fn addresses(options: &Options) -> Result<Vec<Address>, RunError> {
    let addresses: Vec<Address> = options.hosts.iter().map(|host| host.parse()).collect::<Result<_, _>>()?;
    for address in &addresses {
        let refused = !options.insecure_tcp && !options.tls.asks_clients();
        if let (Address::Tcp(socket), true) = (address, refused) {
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
        words: words::told,
        cgroup_driver: match options.exec_options.get("native.cgroupdriver").map(String::as_str) {
            Some("systemd") => cgroup::Driver::Systemd,
            _ => cgroup::Driver::Cgroupfs,
        },
        rootless: inside,
        pool: POOL,
        labels: options.labels.clone(),
        registries: options.registries.meant()?,
        disk_budget: options.disk_budget,
        exec_options: options.exec_options.clone(),
        runtimes: options.runtimes.clone(),
        address_pools: network::Pools::new(&options.address_pools).unwrap_or_default(),
        network_options: options.network_options.clone(),
        is_isolated: !options.icc,
        publish_firewall: options.publish_firewall,
        cdi_folders: options.cdi_folders.clone(),
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
    let app = App::new(engine.clone(), options.clone());
    let served = match listen(options, addresses, &app, inside.as_deref()).await {
        Ok(_open) => tokio::select! {
            served = serve_until_told(flags, &app, &mut signals) => served.map(|()| Served::Told),
            () = again::keeper_lost(&engine) => Ok(Served::KeeperLost),
        },
        Err(e) => Err(e),
    };
    notify::service_manager("STOPPING=1");
    let told = app.options();
    if served.is_ok() && !told.live_restore {
        engine.stop_all(told.shutdown_timeout).await;
    }
    let closed = tokio::task::spawn_blocking(move || engine.close()).await;
    closed.map_err(|e| RunError::Io { action: "close the engine", source: std::io::Error::other(e) })?;
    match served? {
        Served::Told => Ok(()),
        Served::KeeperLost => again::begin(inside.as_deref()).map_err(io("begin anew without the lost keeper")),
    }
}

/// Why an engine serves no longer.
enum Served {
    Told,
    KeeperLost,
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
    let host = inside.map(|inside| &*inside.doors);
    let manner = Manner {
        tcp: if options.insecure_tcp { InsecureTcp::Allowed } else { InsecureTcp::Refused },
        tls: options.tls.acceptor()?,
        asks_clients: options.tls.asks_clients(),
        group: options.group.as_deref(),
        host,
    };
    let door = Door {
        router: routes::router(app.clone()),
        limits: Limits::default(),
        meter: app.meter().clone(),
        crowd: Arc::default(),
        experimental: options.experimental,
    };
    let mut open = Open { tasks: Vec::new(), files: Files(Vec::new()) };
    if let Some(socket) = options.metrics {
        let router = metrics::router(app.clone());
        open.tasks.push(tokio::spawn(accept(listen::metrics(socket, host).await?, Door { router, ..door.clone() })));
        tracing::info!("metrics are at http://{socket}/metrics");
    }
    for address in addresses {
        for listener in listen::open(&address, &manner).await? {
            open.tasks.push(tokio::spawn(accept(listener, door.clone())));
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
    let watched = notify::watchdog().map(|every| tokio::spawn(reassure(every)));
    loop {
        match signals.next().await {
            Told::End => break,
            Told::Reload => {
                notify::reloading();
                match reload::reload(flags, app) {
                    Ok(()) => tracing::info!("configuration read again, log level {}", app.options().log_level),
                    Err(error) => tracing::error!("the configuration stays as it was: {}", base::chain(&error)),
                }
                notify::service_manager("READY=1");
            }
            Told::Dump => metrics::say(app),
        }
    }
    watched.iter().for_each(tokio::task::JoinHandle::abort);
    Ok(())
}

/// Tells the service manager again and again that this thread still gets to run.
async fn reassure(every: Duration) {
    let mut ticks = tokio::time::interval(every);
    loop {
        ticks.tick().await;
        notify::service_manager("WATCHDOG=1");
    }
}

async fn accept(listener: Listener, door: Door) {
    loop {
        match listener.accept().await {
            Ok(arrival) => {
                let door = door.clone();
                tokio::spawn(async move {
                    match arrival.conn().await {
                        Ok(conn) => serve::connection(conn, door).await,
                        Err(error) => tracing::info!(%error, "a client is not let in"),
                    }
                });
            }
            Err(error) => {
                // Out of descriptors, most often: others must be closed before it is of use to try again.
                tracing::warn!(%error, "a connection cannot be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_options_can_be_checked_without_an_engine() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let words = ["engine", "--validate", "--config-file", file.path().to_str().expect("a path")];
        assert!(run(&Flags::read(words).expect("flags")).is_ok());
    }

    #[test]
    fn bad_options_end_before_anything_is_opened() {
        let run = |words: &[&str]| run(&Flags::read(["engine"].iter().chain(words)).expect("flags"));
        let empty = tempfile::NamedTempFile::new().expect("a file");
        let file = empty.path().to_str().expect("a path");
        for words in [
            &["-H", "nonsense"][..],
            &["--registry-mirror", "x"],
            &["--max-concurrent-downloads", "0"],
            &["-H", "tcp://127.0.0.1:0"],
            &["-l", "loud"],
            &["--tlsverify", "--tlscert", "/nowhere/cert.pem", "-H", "tcp://127.0.0.1:0"],
        ] {
            let words: Vec<&str> = ["--config-file", file].iter().chain(words).copied().collect();
            assert!(run(&words).is_err(), "{words:?}");
        }
    }
}
