//! What the bench runs inside containers, where this program is mounted: an echo, somebody who asks it, and somebody who asks for names.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

/// Bytes of a message.
const MESSAGE: usize = 64;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Questions on their way at a time.
const AT_ONCE: u16 = 8;

/// `echo PORT`, `ask ADDRESS COUNT`, `names NAME SECONDS`.
pub fn run(words: &[String]) -> Result<(), String> {
    let number = |text: &String| text.parse::<u64>().map_err(|e| format!("{text}: {e}"));
    let failed = |e: std::io::Error| format!("{words:?}: {e}");
    match words {
        [verb, port] if verb == "echo" => echo(port).map_err(failed),
        [verb, address, count] if verb == "ask" => ask(address, number(count)?).map_err(failed),
        [verb, name, seconds] if verb == "names" => names(name, Duration::from_secs(number(seconds)?)).map_err(failed),
        _ => Err(format!("{words:?}: echo PORT, ask ADDRESS COUNT and names NAME SECONDS are known")),
    }
}

/// Sends back what comes, for ever.
fn echo(port: &str) -> std::io::Result<()> {
    let listener = TcpListener::bind(format!("0.0.0.0:{port}"))?;
    loop {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let mut buffer = [0; MESSAGE];
        while stream.read_exact(&mut buffer).is_ok() && stream.write_all(&buffer).is_ok() {}
    }
}

/// Prints microseconds there and back: one message after the other.
fn ask(address: &str, count: u64) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut buffer = [0; MESSAGE];
    let mut all = String::new();
    for _ in 0..count {
        let begun = Instant::now();
        stream.write_all(&buffer)?;
        stream.read_exact(&mut buffer)?;
        all.push_str(&format!("{:.1}\n", begun.elapsed().as_secs_f64() * 1e6));
    }
    print!("{all}");
    Ok(())
}

/// Asks for the address of a name, again and again; prints how many questions were answered with one, and how many were not.
fn names(name: &str, time: Duration) -> std::io::Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect("127.0.0.11:53")?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let begun = Instant::now();
    let (mut answered, mut failed, mut id) = (0_u64, 0_u64, 0_u16);
    while begun.elapsed() < time {
        for _ in 0..AT_ONCE {
            id = id.wrapping_add(1);
            socket.send(&question(id, name))?;
        }
        for _ in 0..AT_ONCE {
            if answer(&socket)? { answered += 1 } else { failed += 1 }
        }
    }
    println!("{answered} {failed}");
    Ok(())
}

/// Of type A (RFC 1035, section 4.1).
fn question(id: u16, name: &str) -> Vec<u8> {
    let mut bytes = id.to_be_bytes().to_vec();
    bytes.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap_or(0));
        bytes.extend(label.as_bytes());
    }
    bytes.extend([0, 0, 1, 0, 1]);
    bytes
}

/// Whether the next answer has an address in it.
fn answer(socket: &UdpSocket) -> std::io::Result<bool> {
    let mut buffer = [0; 512];
    loop {
        match socket.recv(&mut buffer) {
            Ok(length) => return Ok(length > 12 && buffer[3] & 0x0f == 0 && buffer[7] > 0),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return Ok(false),
            Err(e) => return Err(e),
        }
    }
}
