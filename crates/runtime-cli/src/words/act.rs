//! From what was parsed to the verbs: each gets its own options, typed.

use super::Global;
use super::options::{Checkpoint, Create, Criu, Delete, Events, Exec, Format, Kill, List, Ps, Restore, Run, Spec};
use super::options::{Start, Update};
use super::parse::Parsed;
use crate::error::{Error, Result};
use crate::verbs;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

pub fn create(global: &Global, parsed: &Parsed) -> Result<u8> {
    let prefix = format!("{} create failed", global.name);
    verbs::create::run(global, &create_options(parsed)?).map_err(|e| e.within(&prefix))?;
    Ok(0)
}

pub fn run(global: &Global, parsed: &Parsed) -> Result<u8> {
    let options = Run {
        create: create_options(parsed)?,
        detach: parsed.flag("detach"),
        keep: parsed.flag("keep"),
        no_subreaper: parsed.flag("no-subreaper"),
    };
    let prefix = format!("{} run failed", global.name);
    verbs::run::run(global, &options).map_err(|e| e.within(&prefix))
}

fn create_options(parsed: &Parsed) -> Result<Create> {
    Ok(Create {
        id: parsed.id()?,
        bundle: parsed.path("bundle"),
        console_socket: parsed.path("console-socket"),
        pidfd_socket: parsed.path("pidfd-socket"),
        pid_file: parsed.absolute("pid-file")?,
        no_pivot: parsed.flag("no-pivot"),
        no_new_keyring: parsed.flag("no-new-keyring"),
        preserve_fds: parsed.count("preserve-fds")?,
    })
}

pub fn start(global: &Global, parsed: &Parsed) -> Result<u8> {
    verbs::start::run(global, &Start { id: parsed.id()? })?;
    Ok(0)
}

pub fn exec(global: &Global, parsed: &Parsed) -> Result<u8> {
    let failed = |e: Error| Error { code: 255, ..e.within("exec failed") };
    verbs::exec::run(global, &exec_options(parsed)?).map_err(failed)
}

fn exec_options(parsed: &Parsed) -> Result<Exec> {
    let command = parsed.arguments[1..].iter().map(|word| readable(word.clone(), "argument"));
    Ok(Exec {
        id: parsed.id()?,
        command: command.collect::<Result<_>>()?,
        console_socket: parsed.path("console-socket"),
        pidfd_socket: parsed.path("pidfd-socket"),
        cwd: parsed.text("cwd")?,
        env: parsed.texts("env")?,
        tty: parsed.flag("tty"),
        user: parsed.text("user")?,
        additional_gids: parsed.numbers("additional-gids"),
        process: parsed.path("process"),
        detach: parsed.flag("detach"),
        pid_file: parsed.absolute("pid-file")?,
        process_label: parsed.text("process-label")?,
        apparmor: parsed.text("apparmor")?,
        no_new_privs: parsed.maybe_flag("no-new-privs"),
        caps: parsed.texts("cap")?,
        preserve_fds: parsed.count("preserve-fds")?,
        cgroup: parsed.texts("cgroup")?,
        ignore_paused: parsed.flag("ignore-paused"),
    })
}

pub fn checkpoint(global: &Global, parsed: &Parsed) -> Result<u8> {
    let options = Checkpoint {
        id: parsed.id()?,
        criu: criu(parsed)?,
        parent_path: parsed.path("parent-path"),
        leave_running: parsed.flag("leave-running"),
        tcp_skip_in_flight: parsed.flag("tcp-skip-in-flight"),
        link_remap: parsed.flag("link-remap"),
        status_fd: parsed.number("status-fd").and_then(|fd| i32::try_from(fd).ok()).filter(|fd| *fd >= 0),
        page_server: parsed.text("page-server")?,
        pre_dump: parsed.flag("pre-dump"),
    };
    verbs::checkpoint::run(global, &options)?;
    Ok(0)
}

pub fn restore(global: &Global, parsed: &Parsed) -> Result<u8> {
    let options = Restore {
        id: parsed.id()?,
        criu: criu(parsed)?,
        bundle: parsed.path("bundle"),
        console_socket: parsed.path("console-socket"),
        detach: parsed.flag("detach"),
        pid_file: parsed.absolute("pid-file")?,
        no_subreaper: parsed.flag("no-subreaper"),
        no_pivot: parsed.flag("no-pivot"),
        lsm_profile: parsed.text("lsm-profile")?,
        lsm_mount_context: parsed.text("lsm-mount-context")?,
    };
    verbs::restore::run(global, &options)
}

fn criu(parsed: &Parsed) -> Result<Criu> {
    Ok(Criu {
        image_path: parsed.path("image-path"),
        work_path: parsed.path("work-path"),
        tcp_established: parsed.flag("tcp-established"),
        ext_unix_sk: parsed.flag("ext-unix-sk"),
        shell_job: parsed.flag("shell-job"),
        file_locks: parsed.flag("file-locks"),
        manage_cgroups_mode: parsed.text("manage-cgroups-mode")?,
        empty_ns: parsed.texts("empty-ns")?,
        auto_dedup: parsed.flag("auto-dedup"),
        lazy_pages: parsed.flag("lazy-pages"),
    })
}

pub fn state(global: &Global, parsed: &Parsed) -> Result<u8> {
    verbs::state::run(global, &parsed.id()?)?;
    Ok(0)
}

pub fn list(global: &Global, parsed: &Parsed) -> Result<u8> {
    verbs::list::run(global, &List { format: format(parsed)?, quiet: parsed.flag("quiet") })?;
    Ok(0)
}

pub fn ps(global: &Global, parsed: &Parsed) -> Result<u8> {
    let options = parsed.arguments[1..].to_vec();
    verbs::ps::run(global, &Ps { id: parsed.id()?, format: format(parsed)?, options })?;
    Ok(0)
}

pub fn kill(global: &Global, parsed: &Parsed) -> Result<u8> {
    let signal = parsed.arguments.get(1).filter(|word| !word.is_empty());
    let signal = signal.map_or(Ok("SIGTERM".to_owned()), |word| readable(word.clone(), "signal"))?;
    verbs::kill::run(global, &Kill { id: parsed.id()?, signal, all: parsed.flag("all") })?;
    Ok(0)
}

pub fn delete(global: &Global, parsed: &Parsed) -> Result<u8> {
    verbs::delete::run(global, &Delete { id: parsed.id()?, force: parsed.flag("force") })?;
    Ok(0)
}

pub fn pause(global: &Global, parsed: &Parsed) -> Result<u8> {
    verbs::pause::run(global, &parsed.id()?)?;
    Ok(0)
}

pub fn resume(global: &Global, parsed: &Parsed) -> Result<u8> {
    verbs::resume::run(global, &parsed.id()?)?;
    Ok(0)
}

pub fn update(global: &Global, parsed: &Parsed) -> Result<u8> {
    let options = Update {
        id: parsed.id()?,
        resources: parsed.path("resources"),
        blkio_weight: parsed.number("blkio-weight"),
        pids_limit: parsed.number("pids-limit"),
        cpu_period: parsed.text("cpu-period")?,
        cpu_quota: parsed.text("cpu-quota")?,
        cpu_burst: parsed.text("cpu-burst")?,
        cpu_share: parsed.text("cpu-share")?,
        cpu_rt_period: parsed.text("cpu-rt-period")?,
        cpu_rt_runtime: parsed.text("cpu-rt-runtime")?,
        cpu_idle: parsed.text("cpu-idle")?,
        cpuset_cpus: parsed.text("cpuset-cpus")?,
        cpuset_mems: parsed.text("cpuset-mems")?,
        kernel_memory: parsed.text("kernel-memory")?,
        kernel_memory_tcp: parsed.text("kernel-memory-tcp")?,
        memory: parsed.text("memory")?,
        memory_reservation: parsed.text("memory-reservation")?,
        memory_swap: parsed.text("memory-swap")?,
        l3_cache_schema: parsed.text("l3-cache-schema")?,
        mem_bw_schema: parsed.text("mem-bw-schema")?,
    };
    verbs::update::run(global, &options)?;
    Ok(0)
}

pub fn events(global: &Global, parsed: &Parsed) -> Result<u8> {
    let interval = parsed.duration("interval").unwrap_or(Duration::from_secs(5));
    if interval.is_zero() {
        return Err(Error::new("duration interval must be greater than 0"));
    }
    verbs::events::run(global, &Events { id: parsed.id()?, interval, stats: parsed.flag("stats") })?;
    Ok(0)
}

pub fn spec(global: &Global, parsed: &Parsed) -> Result<u8> {
    verbs::spec::run(global, &Spec { bundle: parsed.path("bundle"), rootless: parsed.flag("rootless") })?;
    Ok(0)
}

pub fn features(_: &Global, _: &Parsed) -> Result<u8> {
    verbs::features::run()?;
    Ok(0)
}

impl Parsed {
    fn id(&self) -> Result<String> {
        readable(self.arguments.first().cloned().unwrap_or_default(), "container id")
    }

    fn text(&self, name: &str) -> Result<Option<String>> {
        self.raw(name).map(|text| readable(text, name)).transpose()
    }

    fn texts(&self, name: &str) -> Result<Vec<String>> {
        self.raws(name).into_iter().map(|text| readable(text, name)).collect()
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.raw(name).map(PathBuf::from)
    }

    /// Not to be mistaken after a change of the working directory.
    fn absolute(&self, name: &str) -> Result<Option<PathBuf>> {
        let absolute = |path| std::path::absolute(path).map_err(|e| Error::because(format_args!("--{name}"), &e));
        self.path(name).map(absolute).transpose()
    }

    fn count(&self, name: &str) -> Result<usize> {
        let number = self.number(name).unwrap_or(0);
        usize::try_from(number).map_err(|_| Error::new(format!("--{name} cannot be {number}: it is a count")))
    }
}

fn format(parsed: &Parsed) -> Result<Format> {
    match parsed.text("format")?.as_deref() {
        None | Some("table") => Ok(Format::Table),
        Some("json") => Ok(Format::Json),
        Some(_) => Err(Error::new("invalid format option")),
    }
}

/// Texts that become part of a configuration are UTF-8, as JSON is.
fn readable(text: OsString, what: &str) -> Result<String> {
    text.into_string().map_err(|text| Error::new(format!("{what} {:?} is not UTF-8", text.to_string_lossy())))
}
