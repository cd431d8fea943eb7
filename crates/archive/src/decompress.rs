//! From compressed bytes to plain ones, told by the first bytes and not by a name.

use crate::Error;
use flate2::bufread::MultiGzDecoder;
use std::io::{self, BufReader, Cursor, Read};
use zstd::stream::read::Decoder as ZstdDecoder;

const READ_AHEAD: usize = 256 * 1024;

/// How a stream was compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    Plain,
    Gzip,
    Zstd,
}

impl Compression {
    /// Told by the first bytes (six are enough) of a stream.
    pub fn of(first: &[u8]) -> Result<Compression, Error> {
        match first {
            [0x1f, 0x8b, ..] => Ok(Compression::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Ok(Compression::Zstd),
            // A skippable frame may stand before the first data (RFC 8878, 3.1.2).
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Compression::Zstd),
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Err(Error::Compression("bzip2")),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Err(Error::Compression("xz")),
            _ => Ok(Compression::Plain),
        }
    }
}

type Source<R> = BufReader<io::Chain<Cursor<Vec<u8>>, R>>;

/// The plain bytes of a stream. Gzip members and zstd frames that follow each other are one stream.
pub struct Decompressed<R: Read> {
    inner: Inner<R>,
}

enum Inner<R: Read> {
    Plain(io::Chain<Cursor<Vec<u8>>, R>),
    Gzip(Box<MultiGzDecoder<Source<R>>>),
    Zstd(Box<ZstdDecoder<'static, Source<R>>>),
}

/// Looks at the first bytes of `source` and undoes its compression.
pub fn decompress<R: Read>(mut source: R) -> Result<Decompressed<R>, Error> {
    let mut first = vec![0; 6];
    let got = read_full(&mut source, &mut first).map_err(Error::Read)?;
    first.truncate(got);
    let compression = Compression::of(&first)?;
    let whole = Cursor::new(first).chain(source);
    let inner = match compression {
        Compression::Plain => Inner::Plain(whole),
        Compression::Gzip => Inner::Gzip(Box::new(MultiGzDecoder::new(BufReader::with_capacity(READ_AHEAD, whole)))),
        Compression::Zstd => {
            let buffered = BufReader::with_capacity(READ_AHEAD, whole);
            Inner::Zstd(Box::new(ZstdDecoder::with_buffer(buffered).map_err(Error::Read)?))
        }
    };
    Ok(Decompressed { inner })
}

impl<R: Read> Decompressed<R> {
    pub fn compression(&self) -> Compression {
        match self.inner {
            Inner::Plain(_) => Compression::Plain,
            Inner::Gzip(_) => Compression::Gzip,
            Inner::Zstd(_) => Compression::Zstd,
        }
    }
}

impl<R: Read> Read for Decompressed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.inner {
            Inner::Plain(source) => source.read(buffer),
            Inner::Gzip(source) => source.read(buffer),
            Inner::Zstd(source) => source.read(buffer),
        }
    }
}

/// Reads until `buffer` is full or the source ends; returns the bytes read.
fn read_full(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn plain(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        decompress(bytes).unwrap().read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn gzip_members_in_a_row_are_one_stream() {
        let mut both = gzip(b"one ");
        both.extend(gzip(b"two"));
        assert_eq!(plain(&both).unwrap(), b"one two");
    }

    #[test]
    fn zstd_frames_in_a_row_are_one_stream_also_after_a_skippable_one() {
        let mut both = vec![0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
        both.extend(zstd::encode_all(&b"one "[..], 1).unwrap());
        both.extend(zstd::encode_all(&b"two"[..], 1).unwrap());
        assert_eq!(plain(&both).unwrap(), b"one two");
    }

    #[test]
    fn short_and_empty_streams_are_plain() {
        assert_eq!(plain(b"").unwrap(), b"");
        assert_eq!(plain(b"abc").unwrap(), b"abc");
    }

    #[test]
    fn a_cut_stream_is_an_error() {
        let whole = gzip(&[7; 100_000]);
        assert!(plain(&whole[..whole.len() - 4]).is_err());
        let whole = zstd::encode_all(&[7; 100_000][..], 1).unwrap();
        assert!(plain(&whole[..whole.len() - 4]).is_err());
    }

    #[test]
    fn bzip2_and_xz_are_named_in_the_error() {
        let bzip2 = decompress(&b"BZh91AY"[..]).map(|_| ()).unwrap_err();
        assert!(bzip2.to_string().starts_with("bzip2 compression"), "{bzip2}");
        let xz = decompress(&[0xfd, b'7', b'z', b'X', b'Z', 0, 0][..]).map(|_| ()).unwrap_err();
        assert!(xz.to_string().starts_with("xz compression"), "{xz}");
    }
}
