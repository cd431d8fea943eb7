//! A black-box suite for OCI runtimes: it runs on ours, and on runc and crun where they are installed, so that the suite itself is checked.
#![forbid(unsafe_code)]
