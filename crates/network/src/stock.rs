//! Netlink sockets that are open already: as many threads as want to can talk to the kernel at once.

use crate::Error;
use netlink::Socket;
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// More than this many idle sockets are closed.
const MOST: usize = 4;

/// Idle sockets of one sort.
#[derive(Debug)]
pub(crate) struct Stock {
    open: fn() -> Result<Socket, netlink::Error>,
    idle: Mutex<Vec<Socket>>,
    /// The numbers of all there were, where they are kept.
    numbers: Option<Mutex<HashSet<u32>>>,
}

impl Stock {
    pub(crate) fn new(open: fn() -> Result<Socket, netlink::Error>) -> Stock {
        Stock { open, idle: Mutex::new(Vec::new()), numbers: None }
    }

    /// Sockets whose changes are known as ours.
    pub(crate) fn numbered(open: fn() -> Result<Socket, netlink::Error>) -> Stock {
        Stock { numbers: Some(Mutex::default()), ..Stock::new(open) }
    }

    /// Whether one of them has, or had, this number.
    pub(crate) fn had(&self, number: u32) -> bool {
        let Some(numbers) = &self.numbers else { return false };
        numbers.lock().unwrap_or_else(PoisonError::into_inner).contains(&number)
    }

    fn make(&self) -> Result<Socket, netlink::Error> {
        let socket = (self.open)()?;
        if let Some(numbers) = &self.numbers {
            numbers.lock().unwrap_or_else(PoisonError::into_inner).insert(socket.number()?);
        }
        Ok(socket)
    }

    /// Runs `work` with a socket nobody else has meanwhile.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Socket) -> Result<T, netlink::Error>) -> Result<T, Error> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut socket = idle.map_or_else(|| self.make(), Ok)?;
        let done = work(&mut socket);
        let mut stock = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if stock.len() < MOST {
            stock.push(socket);
        }
        Ok(done?)
    }
}
