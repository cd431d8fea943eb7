//! A client of the Docker Engine API over a unix socket or tcp.
