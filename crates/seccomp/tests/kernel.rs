//! The default filter in this machine's kernel: this test program runs itself again, installs the filter and tries things.

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType};
use rustix::thread::UnshareFlags;
use std::process::Command;

/// Set for the process that tries.
const INSIDE: &str = "SECCOMP_TEST_INSIDE";

/// What Docker gives a container.
const ORDINARY: u64 = 0xa804_25fb;

#[test]
fn the_kernel_takes_the_default_filter_and_obeys_it() {
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    let name = "the_kernel_takes_the_default_filter_and_obeys_it";
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let words = [output.stdout, output.stderr].concat();
    let words = String::from_utf8_lossy(&words);
    assert!(output.status.success() && words.contains("tried everything"), "{words}");
}

fn inside() {
    let filter = seccomp::compile(&seccomp::default_profile(ORDINARY)).unwrap();
    rustix::thread::set_no_new_privs(true).unwrap();
    sys::filter::install(&filter, 0).unwrap();
    denied();
    allowed();
    println!("tried everything");
}

fn denied() {
    for number in [38, 40] {
        let family = AddressFamily::from_raw(number);
        assert_eq!(rustix::net::socket(family, SocketType::SEQPACKET, None).unwrap_err(), Errno::PERM, "{number}");
    }
    let denied = |error: std::io::Error| assert_eq!(error.raw_os_error(), Some(Errno::PERM.raw_os_error()));
    denied(sys::process::new_session_keyring().unwrap_err());
    denied(sys::namespace::unshare(UnshareFlags::NEWUSER).unwrap_err());
    denied(sys::namespace::unshare(UnshareFlags::NEWNS).unwrap_err());
    denied(sys::bpf::load_device_program(&[]).unwrap_err());
    assert_eq!(rustix::mount::fsopen("tmpfs", rustix::mount::FsOpenFlags::empty()).unwrap_err(), Errno::PERM);
    assert_eq!(rustix::system::sethostname(b"other").unwrap_err(), Errno::PERM);
}

/// Threads and processes, too: their clone3 gets ENOSYS, and the C library falls back to clone.
fn allowed() {
    rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    rustix::net::socket(AddressFamily::UNIX, SocketType::DGRAM, None).unwrap();
    rustix::net::socket(AddressFamily::NETLINK, SocketType::RAW, None).unwrap();
    std::thread::spawn(|| std::fs::read("/proc/self/status").unwrap()).join().unwrap();
    assert!(Command::new("/bin/sh").args(["-c", "id && ls / | wc -l"]).output().unwrap().status.success());
}
