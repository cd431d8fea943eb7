//! The Docker Engine API over HTTP: routes translate what was typed into what is meant, and back into Docker's words.
#![forbid(unsafe_code)]
