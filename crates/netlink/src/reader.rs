//! Reads attributes (`struct nlattr`) of a kernel's answer without trusting their lengths.

use std::net::Ipv4Addr;

const TYPE_MASK: u16 = 0x3fff;

/// Attributes in a row; an iterator of type and value that ends at the first nonsense.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads `bytes`.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    /// Reads what stands behind a fixed header.
    pub(crate) fn behind(bytes: &'a [u8], header: usize) -> Reader<'a> {
        Reader { rest: bytes.get(header..).unwrap_or_default() }
    }

    /// The value of the first attribute of this type.
    pub fn find(self, kind: u16) -> Option<&'a [u8]> {
        let mut attributes = self;
        Iterator::find(&mut attributes, |(k, _)| *k == kind).map(|(_, value)| value)
    }

    /// The attributes within the first attribute of this type; none if it is absent.
    pub fn nested(self, kind: u16) -> Reader<'a> {
        Reader { rest: self.find(kind).unwrap_or_default() }
    }

    /// A text, up to its zero byte.
    pub fn text(self, kind: u16) -> Option<&'a str> {
        let value = self.find(kind)?;
        let end = value.iter().position(|b| *b == 0).unwrap_or(value.len());
        std::str::from_utf8(&value[..end]).ok()
    }

    /// 32 bits in the machine's order.
    pub fn u32(self, kind: u16) -> Option<u32> {
        Some(u32::from_ne_bytes(self.find(kind)?.try_into().ok()?))
    }

    /// 32 bits in network order.
    pub fn be32(self, kind: u16) -> Option<u32> {
        Some(u32::from_be_bytes(self.find(kind)?.try_into().ok()?))
    }

    /// 64 bits in network order.
    pub fn be64(self, kind: u16) -> Option<u64> {
        Some(u64::from_be_bytes(self.find(kind)?.try_into().ok()?))
    }

    /// An IPv4 address.
    pub fn ipv4(self, kind: u16) -> Option<Ipv4Addr> {
        let octets: [u8; 4] = self.find(kind)?.try_into().ok()?;
        Some(octets.into())
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<(u16, &'a [u8])> {
        let length = usize::from(u16::from_ne_bytes(self.rest.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(self.rest.get(2..4)?.try_into().ok()?) & TYPE_MASK;
        let value = self.rest.get(4..length)?;
        self.rest = self.rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_found_by_type() {
        let bytes = [5, 0, 1, 0, 7, 0, 0, 0, 8, 0, 2, 0x80, 1, 2, 3, 4];
        let reader = Reader::new(&bytes);
        assert_eq!(reader.find(1), Some(&[7][..]));
        assert_eq!(reader.ipv4(2), Some(Ipv4Addr::new(1, 2, 3, 4)));
        assert_eq!(reader.find(3), None);
    }

    #[test]
    fn lying_lengths_end_the_reading() {
        for bytes in [&[0u8, 0, 1, 0][..], &[3, 0, 1, 0], &[255, 255, 1, 0, 1], &[4], &[]] {
            assert_eq!(Reader::new(bytes).count(), 0, "{bytes:?}");
        }
    }
}
