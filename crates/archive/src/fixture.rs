//! Tars for tests, built header by header, so that they can also be what no tar program would write.

/// A tar that grows by one entry per call.
#[derive(Debug, Clone, Default)]
pub struct Tar {
    bytes: Vec<u8>,
}

/// The fields of one header.
#[derive(Debug, Clone)]
pub struct Head<'a> {
    pub path: &'a [u8],
    pub flag: u8,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    pub time: u64,
    pub link: &'a [u8],
    pub device: (u32, u32),
}

impl Default for Head<'_> {
    fn default() -> Self {
        Head {
            path: b"",
            flag: b'0',
            mode: 0o644,
            uid: 0,
            gid: 0,
            size: 0,
            time: 1_700_000_000,
            link: b"",
            device: (0, 0),
        }
    }
}

impl Tar {
    pub fn new() -> Tar {
        Tar::default()
    }

    pub fn file(self, path: &str, content: &[u8]) -> Tar {
        self.entry(Head { path: path.as_bytes(), size: content.len() as u64, ..Head::default() }, content)
    }

    pub fn folder(self, path: &str, mode: u32) -> Tar {
        self.entry(Head { path: path.as_bytes(), flag: b'5', mode, ..Head::default() }, b"")
    }

    pub fn symlink(self, path: &str, target: &str) -> Tar {
        self.entry(
            Head { path: path.as_bytes(), flag: b'2', mode: 0o777, link: target.as_bytes(), ..Head::default() },
            b"",
        )
    }

    pub fn hardlink(self, path: &str, target: &str) -> Tar {
        self.entry(Head { path: path.as_bytes(), flag: b'1', link: target.as_bytes(), ..Head::default() }, b"")
    }

    /// PAX records for the next entry.
    pub fn pax(self, records: &[(&str, &[u8])]) -> Tar {
        let mut body = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let mut length = rest + 1;
            while length != rest + length.to_string().len() {
                length = rest + length.to_string().len();
            }
            body.extend_from_slice(format!("{length} {key}=").as_bytes());
            body.extend_from_slice(value);
            body.push(b'\n');
        }
        self.entry(Head { path: b"PaxHeaders/x", flag: b'x', size: body.len() as u64, ..Head::default() }, &body)
    }

    /// A header and content, which need not agree.
    pub fn entry(mut self, head: Head<'_>, content: &[u8]) -> Tar {
        self.bytes.extend_from_slice(&header(&head));
        self.bytes.extend_from_slice(content);
        let padding = self.bytes.len().next_multiple_of(512) - self.bytes.len();
        self.bytes.extend(std::iter::repeat_n(0, padding));
        self
    }

    pub fn raw(mut self, bytes: &[u8]) -> Tar {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// The archive with its end mark.
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.extend_from_slice(&[0; 1024]);
        self.bytes
    }

    /// The archive without its end mark.
    pub fn unfinished(self) -> Vec<u8> {
        self.bytes
    }
}

/// A POSIX.1-1988 "ustar" header with its checksum.
pub fn header(head: &Head<'_>) -> [u8; 512] {
    let mut block = [0u8; 512];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &head.path[..head.path.len().min(100)]);
    put(100, format!("{:07o}\0", head.mode).as_bytes());
    put(108, format!("{:07o}\0", head.uid).as_bytes());
    put(116, format!("{:07o}\0", head.gid).as_bytes());
    put(124, format!("{:011o}\0", head.size).as_bytes());
    put(136, format!("{:011o}\0", head.time).as_bytes());
    put(148, b"        ");
    put(156, &[head.flag]);
    put(157, &head.link[..head.link.len().min(100)]);
    put(257, b"ustar\x0000");
    put(329, format!("{:07o}\0", head.device.0).as_bytes());
    put(337, format!("{:07o}\0", head.device.1).as_bytes());
    seal(&mut block);
    block
}

/// Sets the checksum of a header that was changed.
pub fn seal(block: &mut [u8; 512]) {
    block[148..156].copy_from_slice(b"        ");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}
