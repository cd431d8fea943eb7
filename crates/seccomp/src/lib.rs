//! System call filters: Docker's default profile, the profile format of the runtime specification, and a compiler to BPF.
#![forbid(unsafe_code)]

/// Docker's default profile for a process with these capabilities (bit n is capability number n).
///
/// As moby's profiles/seccomp: default errno EPERM, ENOSYS for `clone3` without CAP_SYS_ADMIN, argument filters on
/// `personality`, `clone`, `socket` (AF_ALG and AF_VSOCK denied, also through 32-bit `socketcall`: denied as far as a
/// filter can see), rules that depend on capabilities and on the architecture.
pub fn default_profile(capabilities: u64) -> oci::runtime::Seccomp {
    let _ = capabilities;
    todo!()
}

/// Reads a profile file in Docker's format (`--security-opt seccomp=FILE`: `archMap`, `includes`, `excludes`), or in the specification's.
pub fn parse_profile(json: &str, capabilities: u64) -> Result<oci::runtime::Seccomp, Error> {
    let _ = (json, capabilities);
    todo!()
}

/// Compiles a profile: `struct sock_filter` after `struct sock_filter`, in native byte order.
pub fn compile(profile: &oci::runtime::Seccomp) -> Result<Vec<u8>, Error> {
    let _ = profile;
    todo!()
}

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read the seccomp profile")]
    Json(#[from] serde_json::Error),
    #[error("invalid seccomp profile: {0}")]
    Invalid(String),
}
