//! The registry as a process: from flags to listeners, and to the end.

use crate::access::Access;
use crate::engine::Engine;
use crate::flags::{Command, Flags, FlagsError, Plan, Source, Verb};
use crate::folder::{Folder, OpenError};
use crate::htpasswd::{Htpasswd, HtpasswdError};
use crate::proxy::Proxy;
use crate::proxy::upstream::Remote;
use crate::routes::App;
use crate::serve::Server;
use crate::storage::Storage;
use crate::tls::{self, TlsError};
use clap::Parser;
use clap::error::ErrorKind;
use std::ffi::OsString;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Threads that may block on the disk at once.
const BLOCKING_THREADS: usize = 256;
/// Between two sweeps.
const SWEEP: Duration = Duration::from_secs(3600);
/// How long the last answers may take at the end.
const GRACE: Duration = Duration::from_secs(10);

/// Why the registry does not run.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error(transparent)]
    Flags(#[from] FlagsError),
    #[error(transparent)]
    Folder(#[from] OpenError),
    #[error(transparent)]
    Users(#[from] HtpasswdError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("cannot read the password in {path}")]
    Password { path: PathBuf, source: io::Error },
    #[error("cannot listen on {address}")]
    Bind { address: SocketAddr, source: io::Error },
    #[error("cannot {action}")]
    Io { action: &'static str, source: io::Error },
}

fn io(action: &'static str) -> impl Fn(io::Error) -> RunError {
    move |source| RunError::Io { action, source }
}

/// `dhow registry ARGS...`
pub fn main(args: Vec<OsString>) -> ExitCode {
    let words = std::iter::once(OsString::from("dhow registry")).chain(args);
    let flags = match Command::try_parse_from(words) {
        Ok(Command { verb: Verb::Serve(flags) }) => flags,
        Err(error) => {
            let _ = error.print();
            let asked = matches!(
                error.kind(),
                ErrorKind::DisplayHelp
                    | ErrorKind::DisplayVersion
                    | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            );
            return if asked { ExitCode::SUCCESS } else { ExitCode::from(125) };
        }
    };
    match run(&flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dhow registry: {}", base::chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(flags: &Flags) -> Result<(), RunError> {
    let plan = flags.plan()?;
    begin_log();
    let workers = std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 4);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .build()
        .map_err(io("start the threads"))?;
    let ended = runtime.block_on(live(flags, plan));
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

fn begin_log() {
    let quiet = ["hyper", "hyper_util", "h2", "mio", "rustls", "reqwest", "hickory_resolver", "hickory_proto"];
    let targets =
        Targets::new().with_default(LevelFilter::INFO).with_targets(quiet.map(|name| (name, LevelFilter::WARN)));
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_target(false).with_ansi(false);
    // Whoever has begun one already keeps it.
    let _ = tracing_subscriber::registry().with(targets).with(lines).try_init();
}

async fn live(flags: &Flags, plan: Plan) -> Result<(), RunError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(io("catch signals"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(io("catch signals"))?;
    let server = server(flags, &plan)?;
    for address in &plan.addresses {
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|source| RunError::Bind { address: *address, source })?;
        announce(flags, listener.local_addr().unwrap_or(*address));
        tokio::spawn(server.clone().listen(listener));
    }
    tokio::spawn(sweep(Arc::clone(&server.app), server.stop.clone()));
    if let Some(number) = flags.ready_fd {
        tell_parent(number).map_err(io("tell the parent process"))?;
    }
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("ending");
    server.stop.cancel();
    server.tasks.close();
    if timeout(GRACE, server.tasks.wait()).await.is_err() {
        tracing::warn!("some clients were still busy");
    }
    Ok(())
}

fn server(flags: &Flags, plan: &Plan) -> Result<Server, RunError> {
    let users = flags.htpasswd.as_deref().map(Htpasswd::open).transpose()?;
    let pair = flags.tls_cert.as_deref().zip(flags.tls_key.as_deref());
    let tls = pair.map(|(certificate, key)| tls::acceptor(certificate, key)).transpose()?;
    let app = App { storage: storage(flags, plan)?, access: Access::new(users, plan.changes) };
    Ok(Server { app: Arc::new(app), tls, stop: CancellationToken::new(), tasks: TaskTracker::new() })
}

fn storage(flags: &Flags, plan: &Plan) -> Result<Arc<dyn Storage>, RunError> {
    Ok(match &plan.source {
        Source::Folder(root) if flags.read_only => Arc::new(Folder::open_read_only(root)?),
        Source::Folder(root) => Arc::new(Folder::open(root, plan.patience)?),
        Source::Engine { data_root, endpoint } => {
            let root = data_root.join("registry");
            let staging = if flags.read_only { Folder::reading(&root) } else { Folder::open(&root, plan.patience)? };
            Arc::new(Engine::new(data_root, endpoint.clone(), staging))
        }
        Source::Proxy { address, cache, max_size } => {
            let remote = Remote::new(address, credentials(flags)?);
            let cache = Folder::open(cache, plan.patience)?;
            Arc::new(Proxy::new(address.clone(), Arc::new(remote), cache, *max_size))
        }
    })
}

fn credentials(flags: &Flags) -> Result<registry::Credentials, RunError> {
    let (Some(username), Some(path)) = (&flags.proxy_username, &flags.proxy_password_file) else {
        return Ok(registry::Credentials::default());
    };
    let password = std::fs::read_to_string(path);
    let password = password.map_err(|source| RunError::Password { path: path.clone(), source })?;
    let password = password.trim_end_matches(['\r', '\n']).to_owned();
    Ok(registry::Credentials { username: username.clone(), password, ..Default::default() })
}

fn announce(flags: &Flags, address: SocketAddr) {
    let scheme = if flags.tls_cert.is_some() { "https" } else { "http" };
    tracing::info!("listening on {scheme}://{address}");
    if flags.addresses.is_empty() {
        tracing::info!("only for this machine; --address 0.0.0.0:5000 --htpasswd FILE opens it to the network");
    }
    let exposed = !address.ip().to_canonical().is_loopback();
    if exposed && flags.htpasswd.is_some() && flags.tls_cert.is_none() {
        tracing::warn!("passwords pass the network in clear text: add --tls-cert and --tls-key");
    }
}

async fn sweep(app: Arc<App>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(SWEEP);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let app = Arc::clone(&app);
        match tokio::task::spawn_blocking(move || app.storage.sweep()).await {
            Ok(Ok(())) => {}
            Ok(Err(fault)) => tracing::warn!(error = base::chain(&fault), "cannot remove what nobody needs"),
            Err(error) => tracing::warn!(%error, "cannot remove what nobody needs"),
        }
    }
}

/// Writes one byte to the descriptor `number`, opened anew so that a wrong number is an error.
fn tell_parent(number: i32) -> io::Result<()> {
    use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
    let me = pidfd_open(getpid(), PidfdFlags::empty())?;
    let fd = pidfd_getfd(me, number, PidfdGetfdFlags::empty())?;
    std::fs::File::from(fd).write_all(&[1])
}
