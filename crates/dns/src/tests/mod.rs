//! The server on loopback sockets, with name servers outside that a test plays.

mod gate;
mod inside;
mod outside;
mod stage;
