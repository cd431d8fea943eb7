//! Bodies that stream: hijacked connections, frames, requests read by blocking code.

pub mod begun;
pub mod body;
pub mod frames;
pub mod gone;
pub mod hijack;
pub mod keys;
pub mod reading;
pub mod websocket;
