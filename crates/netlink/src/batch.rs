//! Writes netlink requests: headers (`struct nlmsghdr`) and attributes (`struct nlattr`, linux/netlink.h).

use std::net::Ipv4Addr;

pub(crate) const HEADER: usize = 16;
const NESTED: u16 = 1 << 15;

pub(crate) const REQUEST: u16 = 0x1;
pub(crate) const ACK: u16 = 0x4;
/// NLM_F_ROOT | NLM_F_MATCH.
pub(crate) const DUMP: u16 = 0x300;
pub(crate) const EXCL: u16 = 0x200;
pub(crate) const CREATE: u16 = 0x400;
/// NFT: at the end of the chain.
pub(crate) const APPEND: u16 = 0x800;

/// Requests that go to the kernel in one system call, in order.
///
/// On a route socket each request stands alone: those behind a refused one are still tried.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    messages: Vec<Message>,
    too_long: Option<&'static str>,
}

#[derive(Debug, Clone, Copy)]
struct Message {
    start: usize,
    step: &'static str,
}

impl Batch {
    /// No requests.
    pub fn new() -> Batch {
        Batch::default()
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Adds a request. `step` says what it does, as in `cannot <step>`; `fixed` is the family's fixed header.
    pub(crate) fn push(
        &mut self,
        step: &'static str,
        kind_and_flags: (u16, u16),
        fixed: &[u8],
        fill: impl FnOnce(&mut Attributes<'_>),
    ) {
        let start = self.bytes.len();
        let (kind, flags) = kind_and_flags;
        self.bytes.extend([0; 4]);
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend((flags | REQUEST).to_ne_bytes());
        self.bytes.extend([0; 8]);
        self.bytes.extend(fixed);
        align(&mut self.bytes);
        let mut fits = true;
        fill(&mut Attributes { bytes: &mut self.bytes, fits: &mut fits });
        match u32::try_from(self.bytes.len() - start) {
            Ok(length) if fits => self.bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes()),
            _ => self.too_long = self.too_long.or(Some(step)),
        }
        self.messages.push(Message { start, step });
    }

    /// What does not fit its field, if anything.
    pub(crate) fn too_long(&self) -> Option<&'static str> {
        self.too_long
    }

    /// Numbers the requests from `first` on, asks for an answer to the one at `acknowledged`, and gives the bytes.
    pub(crate) fn seal(&mut self, first: u32, acknowledged: usize) -> &[u8] {
        let mut sequence = first;
        for (i, message) in self.messages.iter().enumerate() {
            let at = message.start;
            self.bytes[at + 8..at + 12].copy_from_slice(&sequence.to_ne_bytes());
            sequence = sequence.wrapping_add(1);
            if i == acknowledged {
                let flags = u16::from_ne_bytes([self.bytes[at + 6], self.bytes[at + 7]]) | ACK;
                self.bytes[at + 6..at + 8].copy_from_slice(&flags.to_ne_bytes());
            }
        }
        &self.bytes
    }

    pub(crate) fn count(&self) -> usize {
        self.messages.len()
    }

    pub(crate) fn step(&self, index: usize) -> &'static str {
        self.messages.get(index).map_or("ask the kernel", |m| m.step)
    }
}

/// Where the attributes of one request are written to.
#[derive(Debug)]
pub struct Attributes<'a> {
    bytes: &'a mut Vec<u8>,
    fits: &'a mut bool,
}

impl Attributes<'_> {
    /// An attribute with these bytes.
    pub fn bytes(&mut self, kind: u16, value: &[u8]) {
        let start = self.open(kind);
        self.bytes.extend(value);
        self.close(start);
    }

    /// A byte.
    pub fn u8(&mut self, kind: u16, value: u8) {
        self.bytes(kind, &[value]);
    }

    /// 32 bits in the machine's order, as rtnetlink has them.
    pub fn u32(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_ne_bytes());
    }

    /// 16 bits in network order.
    pub fn be16(&mut self, kind: u16, value: u16) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// 32 bits in network order, as nfnetlink has them.
    pub fn be32(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// 64 bits in network order.
    pub fn be64(&mut self, kind: u16, value: u64) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// An IPv4 address.
    pub fn ipv4(&mut self, kind: u16, value: Ipv4Addr) {
        self.bytes(kind, &value.octets());
    }

    /// A text with the zero byte netlink ends texts with.
    pub fn text(&mut self, kind: u16, value: &str) {
        let start = self.open(kind);
        self.bytes.extend(value.as_bytes());
        self.bytes.push(0);
        self.close(start);
    }

    /// Attributes within an attribute.
    pub fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Attributes<'_>)) {
        self.nest_behind(kind, &[], fill);
    }

    /// Attributes within an attribute, behind a fixed header.
    pub fn nest_behind(&mut self, kind: u16, fixed: &[u8], fill: impl FnOnce(&mut Attributes<'_>)) {
        let start = self.open(kind | NESTED);
        self.bytes.extend(fixed);
        align(self.bytes);
        fill(&mut Attributes { bytes: self.bytes, fits: self.fits });
        self.close(start);
    }

    fn open(&mut self, kind: u16) -> usize {
        let start = self.bytes.len();
        self.bytes.extend([0; 2]);
        self.bytes.extend(kind.to_ne_bytes());
        start
    }

    fn close(&mut self, start: usize) {
        match u16::try_from(self.bytes.len() - start) {
            Ok(length) => self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes()),
            Err(_) => *self.fits = false,
        }
        align(self.bytes);
    }
}

fn align(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_longer_than_its_length_field_is_remembered_and_never_cut() {
        let mut batch = Batch::new();
        batch.push("try", (1, 0), &[], |a| a.bytes(1, &vec![0; 65_531]));
        assert_eq!(batch.too_long(), None);
        batch.push("try again", (1, 0), &[], |a| a.nest(2, |a| a.bytes(1, &vec![0; 65_532])));
        assert_eq!(batch.too_long(), Some("try again"));
    }

    #[test]
    fn requests_are_numbered_and_only_one_asks_for_an_answer() {
        let mut batch = Batch::new();
        batch.push("one", (1, 0), &[9; 3], |a| a.u8(5, 7));
        batch.push("two", (2, 0), &[], |_| {});
        let bytes = batch.seal(40, 1);
        assert_eq!(bytes.len(), 16 + 4 + 8 + 16);
        assert_eq!((bytes[8], bytes[6]), (40, 1));
        assert_eq!((bytes[28 + 8], bytes[28 + 6]), (41, 5));
    }
}
