//! System call filters: Docker's default profile, the profile format of the runtime specification, and a compiler to BPF.
//!
//! ```text
//!  capabilities --default_profile--+
//!                                  +--> oci Seccomp --compile--> rules -> intervals -> BPF
//!  profile file --parse_profile----+
//! ```
//!
//! A profile names system calls; [`compile`] looks the numbers up for each architecture the kernel may run here
//! (`machine`), turns the rules into one verdict per number (`rules`) and writes a binary search over ranges of numbers
//! with equal verdicts (`compile`, on the small assembler in `bpf`). The kernel's side is
//! Documentation/userspace-api/seccomp_filter.rst and seccomp(2); the meaning of rules is libseccomp's as `runc` uses it.
#![forbid(unsafe_code)]

mod bpf;
mod compile;
mod default;
#[cfg(test)]
mod interpret;
mod machine;
mod names;
mod profile;
mod rules;

pub use compile::compile;
pub use default::default_profile;
pub use profile::parse_profile;
pub use rules::{USUAL_FLAGS, install_flags, is_empty, uses_notify};

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read the seccomp profile")]
    Json(#[from] serde_json::Error),
    #[error("invalid seccomp profile: {0}")]
    Invalid(String),
}

impl base::Kinded for Error {
    fn kind(&self) -> base::Kind {
        base::Kind::Invalid
    }
}
