//! The shape of the command line: the verbs, their options and texts for help. `{name}` is what the program was called as.

use super::Global;
use super::parse::Parsed;
use crate::error::Result;

/// What an option takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// Nothing, or `=true`, `=false`.
    Nothing,
    Text,
    /// Given more than once: all count.
    Texts,
    Number,
    Numbers,
    /// `5s`, `1m30s`
    Duration,
}

/// One option.
#[derive(Debug, PartialEq, Eq)]
pub struct Opt {
    /// Without dashes; the first is the one it is known by.
    pub names: &'static [&'static str],
    pub takes: Takes,
    /// Shown as `(default: ...)`; the value itself is made by whoever reads the option.
    pub default: &'static str,
    /// Empty: not shown.
    pub about: &'static str,
}

/// How many arguments a verb takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arity {
    Exactly(usize),
    AtLeast(usize),
    Between(usize, usize),
}

/// One command.
pub struct Verb {
    pub name: &'static str,
    pub about: &'static str,
    /// Shown after its name; may go on for lines.
    pub arguments: &'static str,
    pub description: &'static str,
    pub options: &'static [Opt],
    pub arity: Arity,
    /// After so many arguments nothing is an option any more: it belongs to another program.
    pub options_end: Option<usize>,
    /// The exit code.
    pub act: fn(&Global, &Parsed) -> Result<u8>,
}

/// An option that is shown in help.
pub const fn opt(names: &'static [&'static str], takes: Takes, about: &'static str) -> Opt {
    Opt { names, takes, default: "", about }
}

impl Opt {
    pub const fn default(self, default: &'static str) -> Opt {
        Opt { default, ..self }
    }
}

use Takes::{Nothing, Number, Text};

pub const HELP: Opt = opt(&["help", "h"], Nothing, "show help");

/// Options of the program itself; all but the version may also stand after the verb.
pub const GLOBAL: &[Opt] = &[
    opt(&["debug"], Nothing, "log what is done, for the search for faults"),
    opt(&["log"], Text, "file for log messages, to which they are appended (standard error unless given)"),
    opt(&["log-format"], Text, "how log messages are written ('text' or 'json')").default("\"text\""),
    opt(&["root"], Text, "folder for the state of containers; better on a tmpfs").default("{root}"),
    opt(&["criu"], Text, ""),
    opt(
        &["systemd-cgroup"],
        Nothing,
        "have systemd make the cgroups; cgroupsPath is then \"slice:prefix:name\", as in \"system.slice:{name}:434234\"",
    ),
    opt(&["rootless"], Text, "go on where cgroups may not be made ('true', 'false' or 'auto')").default("\"auto\""),
];

pub const VERSION: Opt = opt(&["version", "v"], Nothing, "print the version");

const BUNDLE: Opt = opt(&["bundle", "b"], Text, "folder of the bundle (the current one unless given)");
const CONSOLE_SOCKET: Opt =
    opt(&["console-socket"], Text, "path of a listening unix socket that gets the master side of the terminal");
const PIDFD_SOCKET: Opt =
    opt(&["pidfd-socket"], Text, "path of a listening unix socket that gets a pidfd of the new process");
const DETACH: Opt = opt(&["detach", "d"], Nothing, "return as soon as the process runs");
const PID_FILE: Opt = opt(&["pid-file"], Text, "file to write the process id to");
const NO_SUBREAPER: Opt = opt(&["no-subreaper"], Nothing, "do not adopt orphans of the container");
const NO_PIVOT: Opt =
    opt(&["no-pivot"], Nothing, "change the root without pivot_root(2), for a root file system on a ramdisk");
const NO_NEW_KEYRING: Opt =
    opt(&["no-new-keyring"], Nothing, "let the container use the session keyring of the caller");
const PRESERVE_FDS: Opt = opt(
    &["preserve-fds"],
    Number,
    "how many descriptors the process gets besides 0 to 2 and those that $LISTEN_FDS tells of",
)
.default("0");
const FORMAT: Opt = opt(&["format", "f"], Text, "one of: table or json").default("\"table\"");
const IMAGE_PATH: Opt = opt(&["image-path"], Text, "folder of CRIU's image files");
const WORK_PATH: Opt = opt(&["work-path"], Text, "folder for CRIU's work files and logs");
const TCP_ESTABLISHED: Opt = opt(&["tcp-established"], Nothing, "allow open TCP connections");
const EXT_UNIX_SK: Opt = opt(&["ext-unix-sk"], Nothing, "allow unix sockets whose other end is outside");
const SHELL_JOB: Opt = opt(&["shell-job"], Nothing, "allow a terminal that was inherited");
const FILE_LOCKS: Opt = opt(&["file-locks"], Nothing, "handle locks of files");
const CGROUPS_MODE: Opt = opt(
    &["manage-cgroups-mode"],
    Text,
    "what CRIU does about cgroups: soft, full, strict or ignore (soft unless given)",
);
const EMPTY_NS: Opt = opt(&["empty-ns"], Takes::Texts, "make this namespace, but leave it empty");
const AUTO_DEDUP: Opt = opt(&["auto-dedup"], Nothing, "keep no page of memory twice");
const LAZY_PAGES: Opt = opt(&["lazy-pages"], Nothing, "bring pages of memory back when they are touched (userfaultfd)");

const ID: &str = "<container-id>

\"<container-id>\" is the name of the container.";

const NEW_ID: &str = "<container-id>

\"<container-id>\" is the name that the container shall have. No two containers
of a machine have the same.";

const ABOUT_CREATE: &str = "Makes a container from a bundle: a folder with the file \"config.json\", which says
what to run and how, and with a root file system.

See \"{name} spec --help\" for a first config.json.";

pub const CREATE: &[Opt] = &[BUNDLE, CONSOLE_SOCKET, PIDFD_SOCKET, PID_FILE, NO_PIVOT, NO_NEW_KEYRING, PRESERVE_FDS];

pub const RUN: &[Opt] = &[
    BUNDLE,
    CONSOLE_SOCKET,
    PIDFD_SOCKET,
    DETACH,
    opt(&["keep"], Nothing, "leave the container there after its process ended"),
    PID_FILE,
    NO_SUBREAPER,
    NO_PIVOT,
    NO_NEW_KEYRING,
    PRESERVE_FDS,
];

pub const EXEC: &[Opt] = &[
    CONSOLE_SOCKET,
    PIDFD_SOCKET,
    opt(&["cwd"], Text, "working directory, inside the container"),
    opt(&["env", "e"], Takes::Texts, "set a variable of the environment"),
    opt(&["tty", "t"], Nothing, "give the process a terminal of its own"),
    opt(&["user", "u"], Text, "user to run as (UID[:GID])"),
    opt(&["additional-gids", "g"], Takes::Numbers, "one more group to be in"),
    opt(&["process", "p"], Text, "file that describes the process (JSON, as \"process\" of config.json)"),
    DETACH,
    PID_FILE,
    opt(&["process-label"], Text, "SELinux label of the process"),
    opt(&["apparmor"], Text, "AppArmor profile of the process"),
    opt(&["no-new-privs"], Nothing, "no set-user-id program gives the process more rights"),
    opt(&["cap", "c"], Takes::Texts, "one more capability"),
    PRESERVE_FDS,
    opt(&["cgroup"], Takes::Texts, "cgroup below the container's own to run in ([CONTROLLER[,CONTROLLER]:]PATH)"),
    opt(&["ignore-paused"], Nothing, "start the process even in a paused container"),
];

pub const CHECKPOINT: &[Opt] = &[
    IMAGE_PATH,
    WORK_PATH,
    opt(&["parent-path"], Text, "folder of the images of an earlier pre-dump, relative to the image path"),
    opt(&["leave-running"], Nothing, "let the process go on afterwards"),
    TCP_ESTABLISHED,
    opt(&["tcp-skip-in-flight"], Nothing, "leave out TCP connections that are being made"),
    opt(&["link-remap"], Nothing, "give files that were deleted a name again where possible"),
    EXT_UNIX_SK,
    SHELL_JOB,
    LAZY_PAGES,
    opt(&["status-fd"], Number, "descriptor that CRIU writes a zero byte to when it can serve pages").default("-1"),
    opt(&["page-server"], Text, "where the page server listens (ADDRESS:PORT)"),
    FILE_LOCKS,
    opt(&["pre-dump"], Nothing, "save the memory only, and let the process go on"),
    CGROUPS_MODE,
    EMPTY_NS,
    AUTO_DEDUP,
];

pub const RESTORE: &[Opt] = &[
    CONSOLE_SOCKET,
    IMAGE_PATH,
    WORK_PATH,
    TCP_ESTABLISHED,
    EXT_UNIX_SK,
    SHELL_JOB,
    FILE_LOCKS,
    CGROUPS_MODE,
    BUNDLE,
    DETACH,
    PID_FILE,
    NO_SUBREAPER,
    NO_PIVOT,
    EMPTY_NS,
    AUTO_DEDUP,
    LAZY_PAGES,
    opt(&["lsm-profile"], Text, "profile of a security module to restore with (TYPE:NAME)"),
    opt(&["lsm-mount-context"], Text, "mount context of a security module to restore with"),
];

pub const UPDATE: &[Opt] = &[
    opt(
        &["resources", "r"],
        Text,
        "file with the resources to change, or '-' for standard input; other options then do not count.

The file is JSON as \"resources\" of config.json; what is not to change is left out:

{
  \"memory\": { \"limit\": 0, \"reservation\": 0, \"swap\": 0, \"checkBeforeUpdate\": true },
  \"cpu\": {
    \"shares\": 0, \"quota\": 0, \"burst\": 0, \"period\": 0, \"realtimeRuntime\": 0, \"realtimePeriod\": 0,
    \"cpus\": \"\", \"mems\": \"\", \"idle\": 0
  },
  \"blockIO\": { \"weight\": 0 },
  \"pids\": { \"limit\": 0 }
}
",
    ),
    opt(&["blkio-weight"], Number, "weight for block I/O, 10 to 1000").default("0"),
    opt(&["cpu-period"], Text, "length of a period in which the quota counts, in microseconds; 0 is the kernel's own"),
    opt(&["cpu-quota"], Text, "CPU time in a period, in microseconds"),
    opt(&["cpu-burst"], Text, "CPU time that may be saved up from period to period, in microseconds"),
    opt(&["cpu-share"], Text, "weight for CPU time, relative to other containers"),
    opt(&["cpu-rt-period"], Text, "the period for realtime processes, in microseconds; 0 is the kernel's own"),
    opt(&["cpu-rt-runtime"], Text, "CPU time of realtime processes in a period, in microseconds"),
    opt(&["cpuset-cpus"], Text, "CPUs to run on"),
    opt(&["cpuset-mems"], Text, "memory nodes to use"),
    opt(&["kernel-memory"], Text, ""),
    opt(&["kernel-memory-tcp"], Text, ""),
    opt(&["memory"], Text, "most memory, in bytes"),
    opt(&["cpu-idle"], Text, "1: runs only when nobody else wants to (SCHED_IDLE); 0: as usual"),
    opt(&["memory-reservation"], Text, "memory to keep when memory is short, in bytes"),
    opt(&["memory-swap"], Text, "most memory and swap together, in bytes; '-1' is as much swap as there is"),
    opt(&["pids-limit"], Number, "most processes").default("0"),
    opt(&["l3-cache-schema"], Text, "schema of the level 3 cache (Intel RDT/CAT)"),
    opt(&["mem-bw-schema"], Text, "schema of the memory bandwidth (Intel RDT/MBA)"),
];

pub const VERBS: &[Verb] = &[
    Verb {
        name: "checkpoint",
        about: "save a running container to files",
        arguments: ID,
        description: "Saves the processes of the container to files, by CRIU, and removes it unless told to leave it running.",
        options: CHECKPOINT,
        arity: Arity::Exactly(1),
        options_end: None,
        act: super::act::checkpoint,
    },
    Verb {
        name: "create",
        about: "make a container",
        arguments: NEW_ID,
        description: ABOUT_CREATE,
        options: CREATE,
        arity: Arity::Exactly(1),
        options_end: None,
        act: super::act::create,
    },
    Verb {
        name: "delete",
        about: "remove a container that has stopped, and all that was made for it",
        arguments: "<container-id>

\"<container-id>\" is the name of the container.

EXAMPLE:
\"{name} list\" shows \"ubuntu01\" as stopped. This removes it:

       # {name} delete ubuntu01",
        description: "",
        options: &[opt(&["force", "f"], Nothing, "kill the container first, when it still runs")],
        arity: Arity::Exactly(1),
        options_end: None,
        act: super::act::delete,
    },
    Verb {
        name: "events",
        about: "tell of the container: CPU time, memory and I/O, again and again, and the out-of-memory killer",
        arguments: ID,
        description: "Writes a line of JSON every 5 seconds, and when the out-of-memory killer came.",
        options: &[
            opt(&["interval"], Takes::Duration, "time between two lines").default("5s"),
            opt(&["stats"], Nothing, "write one line, then end"),
        ],
        arity: Arity::Exactly(1),
        options_end: None,
        act: super::act::events,
    },
    Verb {
        name: "exec",
        about: "start one more process in a container",
        arguments: "<container-id> <command> [command options]  || -p process.json <container-id>

\"<container-id>\" is the name of the container, \"<command>\" the program to run
in it, which is left out only with \"-p\".

EXAMPLE:
What runs in the container \"ubuntu01\":

       # {name} exec ubuntu01 ps",
        description: "",
        options: EXEC,
        arity: Arity::AtLeast(1),
        options_end: Some(1),
        act: super::act::exec,
    },
    Verb {
        name: "kill",
        about: "send a signal (SIGTERM unless given) to the first process of a container",
        arguments: "<container-id> [signal]

\"<container-id>\" is the name of the container, \"[signal]\" the name or number
of the signal.

EXAMPLE:
This kills the container \"ubuntu01\":

       # {name} kill ubuntu01 KILL",
        description: "",
        options: &[opt(&["all", "a"], Nothing, "")],
        arity: Arity::Between(1, 2),
        options_end: Some(1),
        act: super::act::kill,
    },
    Verb {
        name: "list",
        about: "list the containers whose state is below the root",
        arguments: "

The root is what \"--root\" says (default: \"{root}\").

EXAMPLE 1:
The containers below the default root:
       # {name} list

EXAMPLE 2:
Those below another one:
       # {name} --root value list",
        description: "",
        options: &[FORMAT, opt(&["quiet", "q"], Nothing, "show their names only")],
        arity: Arity::Exactly(0),
        options_end: None,
        act: super::act::list,
    },
    Verb {
        name: "pause",
        about: "stop all processes of a container where they are",
        arguments: ID,
        description: "Stops all processes of the container by the freezer of its cgroup.

\"{name} list\" shows in which state containers are.",
        options: &[],
        arity: Arity::Exactly(1),
        options_end: None,
        act: super::act::pause,
    },
    Verb {
        name: "ps",
        about: "show the processes of a container",
        arguments: "<container-id> [ps options]",
        description: "",
        options: &[FORMAT],
        arity: Arity::AtLeast(1),
        options_end: Some(1),
        act: super::act::ps,
    },
    Verb {
        name: "restore",
        about: "bring a container back that was saved to files",
        arguments: NEW_ID,
        description: "Makes a container from what \"{name} checkpoint\" saved.",
        options: RESTORE,
        arity: Arity::Exactly(1),
        options_end: None,
        act: super::act::restore,
    },
    Verb {
        name: "resume",
        about: "let the processes of a paused container go on",
        arguments: ID,
        description: "Lets all processes of the container go on.

\"{name} list\" shows in which state containers are.",
        options: &[],
        arity: Arity::Exactly(1),
        options_end: None,
        act: super::act::resume,
    },
    Verb {
        name: "run",
        about: "make a container and start it",
        arguments: NEW_ID,
        description: ABOUT_CREATE,
        options: RUN,
        arity: Arity::Exactly(1),
        options_end: None,
        act: super::act::run,
    },
    Verb {
        name: "spec",
        about: "write a first config.json",
        arguments: "",
        description:
            "Writes the file \"config.json\" into the folder of the bundle: a start, to be changed as needed. It runs
\"sh\", for example, which not every root file system has.

EXAMPLE:
A bundle with the files of the image \"hello-world\", and a container from it:

    mkdir -p hello/rootfs
    cd hello
    docker export $(docker create hello-world) | tar -C rootfs -xf -
    {name} spec
    sed -i 's;\"sh\";\"/hello\";' config.json
    {name} run container1

A user without root's rights wants \"--rootless\": the container then has a user
namespace of its own, and no limits. Root of a user namespace does not need it.",
        options: &[
            opt(&["bundle", "b"], Text, "folder to write to (the current one unless given)"),
            opt(&["rootless"], Nothing, "for a user without root's rights"),
        ],
        arity: Arity::Exactly(0),
        options_end: None,
        act: super::act::spec,
    },
    Verb {
        name: "start",
        about: "run the program of a container that was made",
        arguments: ID,
        description: "Runs the program that a container was made for with \"{name} create\".",
        options: &[],
        arity: Arity::Exactly(1),
        options_end: None,
        act: super::act::start,
    },
    Verb {
        name: "state",
        about: "show the state of a container",
        arguments: ID,
        description: "Shows the state of the container, as JSON.",
        options: &[],
        arity: Arity::Exactly(1),
        options_end: None,
        act: super::act::state,
    },
    Verb {
        name: "update",
        about: "change what a container may use of the machine",
        arguments: "<container-id>",
        description: "",
        options: UPDATE,
        arity: Arity::Exactly(1),
        options_end: None,
        act: super::act::update,
    },
    Verb {
        name: "features",
        about: "show what this runtime can do",
        arguments: "",
        description: "Shows what this runtime can do, as JSON (features.md of the OCI runtime specification).",
        options: &[],
        arity: Arity::Exactly(0),
        options_end: None,
        act: super::act::features,
    },
];
