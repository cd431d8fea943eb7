//! From compressed bytes to plain ones, told by the first bytes and not by a name.

use crate::Error;
use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use std::io::{self, BufReader, Cursor, Read};
use zstd::stream::read::Decoder as ZstdDecoder;

const READ_AHEAD: usize = 256 * 1024;
/// A stream may always grow to so many bytes,
const FREE: u64 = 2 << 30;
/// and to so many for each byte that it was compressed to. gzip reaches 1,032, an image of real files less than 100.
const MOST_PER_BYTE: u64 = 400;

/// Bytes up to the end of a tar header's magic (POSIX.1-1988, ustar).
const LOOKED_AT: usize = 262;

/// How a stream was compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    Plain,
    Gzip,
    Zstd,
}

impl Compression {
    /// Told by the first bytes of a stream: six are enough, 262 tell a tar whose first file has a name that looks
    /// compressed.
    pub fn of(first: &[u8]) -> Result<Compression, Error> {
        if first.get(257..LOOKED_AT) == Some(b"ustar") {
            return Ok(Compression::Plain);
        }
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

type Whole<R> = io::Chain<Cursor<Vec<u8>>, Counted<R>>;
type Source<R> = BufReader<Whole<R>>;

/// The plain bytes of a stream. Gzip members and zstd frames that follow each other are one stream.
///
/// A stream that grows beyond 2 GiB and 400 times its compressed size ends in an error: it is a bomb.
pub struct Decompressed<R: Read> {
    inner: Inner<R>,
    /// Bytes handed out.
    plain: u64,
}

/// A source and how many bytes came out of it.
struct Counted<R> {
    source: R,
    bytes: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.source.read(buffer)?;
        self.bytes += got as u64;
        Ok(got)
    }
}

enum Inner<R: Read> {
    Plain(Whole<R>),
    Gzip(Box<MultiGzDecoder<Source<R>>>),
    Zstd(Box<ZstdDecoder<'static, Source<R>>>),
    Bzip2(Box<MultiBzDecoder<Source<R>>>),
    Xz(Box<XzReader<Source<R>>>),
}

/// [`decompress`], also of what no layer may be compressed with: bzip2 and xz, which people send and `docker cp` takes.
pub fn decompress_any<R: Read>(mut source: R) -> Result<Decompressed<R>, Error> {
    let first = first_of(&mut source)?;
    let kind = Compression::of(&first);
    let whole = Cursor::new(first).chain(Counted { source, bytes: 0 });
    let buffered = |whole| BufReader::with_capacity(READ_AHEAD, whole);
    let inner = match kind {
        Err(Error::Compression("bzip2")) => Inner::Bzip2(Box::new(MultiBzDecoder::new(buffered(whole)))),
        Err(Error::Compression("xz")) => Inner::Xz(Box::new(XzReader::new(buffered(whole), true))),
        other => return undo(other?, whole),
    };
    Ok(Decompressed { inner, plain: 0 })
}

/// Looks at the first bytes of `source` and undoes its compression.
pub fn decompress<R: Read>(mut source: R) -> Result<Decompressed<R>, Error> {
    let first = first_of(&mut source)?;
    let compression = Compression::of(&first)?;
    undo(compression, Cursor::new(first).chain(Counted { source, bytes: 0 }))
}

fn first_of(source: &mut impl Read) -> Result<Vec<u8>, Error> {
    let mut first = vec![0; LOOKED_AT];
    let got = read_full(source, &mut first).map_err(Error::Read)?;
    first.truncate(got);
    Ok(first)
}

fn undo<R: Read>(compression: Compression, whole: Whole<R>) -> Result<Decompressed<R>, Error> {
    let inner = match compression {
        Compression::Plain => Inner::Plain(whole),
        Compression::Gzip => Inner::Gzip(Box::new(MultiGzDecoder::new(BufReader::with_capacity(READ_AHEAD, whole)))),
        Compression::Zstd => {
            let buffered = BufReader::with_capacity(READ_AHEAD, whole);
            Inner::Zstd(Box::new(ZstdDecoder::with_buffer(buffered).map_err(Error::Read)?))
        }
    };
    Ok(Decompressed { inner, plain: 0 })
}

impl<R: Read> Decompressed<R> {
    pub fn compression(&self) -> Compression {
        match self.inner {
            // The last two are of no layer: nobody asks.
            Inner::Plain(_) | Inner::Bzip2(_) | Inner::Xz(_) => Compression::Plain,
            Inner::Gzip(_) => Compression::Gzip,
            Inner::Zstd(_) => Compression::Zstd,
        }
    }
}

impl<R: Read> Read for Decompressed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (got, compressed) = match &mut self.inner {
            Inner::Plain(source) => return source.read(buffer),
            Inner::Gzip(source) => (source.read(buffer)?, came(source.get_ref())),
            Inner::Zstd(source) => (source.read(buffer)?, came(source.get_ref())),
            Inner::Bzip2(source) => (source.read(buffer)?, came(source.get_ref())),
            Inner::Xz(source) => (source.read(buffer)?, came(source.inner())),
        };
        self.plain += got as u64;
        if self.plain > FREE.saturating_add(compressed.saturating_mul(MOST_PER_BYTE)) {
            let words = format!("{compressed} bytes grow to more than {}: this is a bomb and no archive", self.plain);
            return Err(io::Error::new(io::ErrorKind::InvalidData, words));
        }
        Ok(got)
    }
}

fn came<R: Read>(source: &Source<R>) -> u64 {
    source.get_ref().get_ref().1.bytes
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
    fn what_people_send_may_also_be_bzip2_or_xz() {
        // printf hello | bzip2, printf hello | xz
        let bzip2 = b"BZh91AY&SY\x19\x31\x65\x3d\x00\x00\x00\x81\x00\x02\x44\xa0\x00\x21\x9a\x68\x33\x4d\x07\x33\x8b\xb9\x22\x9c\x28\x48\x0c\x98\xb2\x9e\x80";
        let xz = b"\xfd\x37\x7a\x58\x5a\x00\x00\x04\xe6\xd6\xb4\x46\x02\x00\x21\x01\x16\x00\x00\x00\x74\x2f\xe5\xa3\x01\x00\x04\x68\x65\x6c\x6c\x6f\
            \x00\x00\x00\x00\xb1\x37\xb9\xdb\xe5\xda\x1e\x9b\x00\x01\x1d\x05\xb8\x2d\x80\xaf\x1f\xb6\xf3\x7d\x01\x00\x00\x00\x00\x04\x59\x5a";
        for compressed in [&bzip2[..], &xz[..]] {
            let mut text = String::new();
            decompress_any(compressed).unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, "hello");
            assert!(decompress_any(&compressed[..compressed.len() - 8]).unwrap().read_to_end(&mut Vec::new()).is_err());
        }
        let mut plain = String::new();
        decompress_any(&b"plain"[..]).unwrap().read_to_string(&mut plain).unwrap();
        assert_eq!(plain, "plain");
    }

    #[test]
    fn bzip2_and_xz_are_named_in_the_error() {
        let bzip2 = decompress(&b"BZh91AY"[..]).map(|_| ()).unwrap_err();
        assert!(bzip2.to_string().starts_with("bzip2 compression"), "{bzip2}");
        let xz = decompress(&[0xfd, b'7', b'z', b'X', b'Z', 0, 0][..]).map(|_| ()).unwrap_err();
        assert!(xz.to_string().starts_with("xz compression"), "{xz}");
    }
}
