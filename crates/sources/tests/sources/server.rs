//! Servers on loopback that do what a test tells them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// What a client asked for.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    headers: Vec<(String, String)>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The first byte of the range asked for.
    pub(crate) fn from(&self) -> Option<usize> {
        self.header("Range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

/// What the server says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The connection ends after so many bytes of the body.
    pub(crate) cut: Option<usize>,
    /// Nothing comes after that, but the connection stays open.
    pub(crate) stalls: bool,
    /// The body comes in chunks, its length unsaid.
    pub(crate) chunked: bool,
}

impl Said {
    pub(crate) fn ok(body: impl Into<Vec<u8>>) -> Said {
        Said { status: 200, body: body.into(), ..Said::default() }
    }

    pub(crate) fn status(status: u16) -> Said {
        Said { status, ..Said::default() }
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Said {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Falls silent after so many bytes of the body, for as long as the test lasts.
    pub(crate) fn stall(self, at: usize) -> Said {
        Said { stalls: true, ..self.cut(at) }
    }

    pub(crate) fn cut(mut self, at: usize) -> Said {
        self.cut = Some(at);
        self
    }

    /// The part of a file that was asked for.
    pub(crate) fn range(asked: &Asked, content: &[u8]) -> Said {
        match asked.from() {
            None => Said::ok(content),
            Some(from) if from >= content.len() => {
                Said::status(416).header("Content-Range", format!("bytes */{}", content.len()))
            }
            Some(from) => {
                let range = format!("bytes {from}-{}/{}", content.len() - 1, content.len());
                Said { status: 206, ..Said::ok(&content[from..]) }.header("Content-Range", range)
            }
        }
    }
}

/// An HTTP server.
pub(crate) struct Server {
    port: u16,
    connections: Arc<AtomicUsize>,
    asked: Arc<Mutex<Vec<Asked>>>,
    stop: Arc<AtomicBool>,
    /// Connections that are kept open without a word.
    stalled: Arc<Mutex<Vec<TcpStream>>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// A server that answers as `answer` says; the number counts requests from 0.
    pub(crate) fn start(answer: impl Fn(usize, &Asked) -> Said + Send + Sync + 'static) -> Server {
        Server::listen(false, answer)
    }

    /// One that waits for further requests on the same connection.
    pub(crate) fn patient(answer: impl Fn(usize, &Asked) -> Said + Send + Sync + 'static) -> Server {
        Server::listen(true, answer)
    }

    fn listen(keeps: bool, answer: impl Fn(usize, &Asked) -> Said + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (asked, stop) = (Arc::<Mutex<Vec<Asked>>>::default(), Arc::<AtomicBool>::default());
        let (seen, stopped) = (asked.clone(), stop.clone());
        let answer = Arc::new(answer);
        let stalled = Arc::<Mutex<Vec<TcpStream>>>::default();
        let keep = stalled.clone();
        let connections = Arc::<AtomicUsize>::default();
        let accepted = connections.clone();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (seen, answer, keep) = (seen.clone(), answer.clone(), keep.clone());
                if let Ok(stream) = stream {
                    accepted.fetch_add(1, Ordering::SeqCst);
                    std::thread::spawn(move || {
                        let mut reader = BufReader::new(stream.try_clone().expect("a connection"));
                        let mut served = serve(&stream, &mut reader, keeps, &seen, &*answer);
                        while keeps && matches!(served, Ok(false)) {
                            served = serve(&stream, &mut reader, keeps, &seen, &*answer);
                        }
                        if let Ok(true) = served {
                            keep.lock().expect("no panic").push(stream);
                        }
                    });
                }
            }
        });
        Server { port, connections, asked, stop, stalled, thread: Some(thread) }
    }

    /// A server that has one file, ranges included.
    pub(crate) fn with_file(content: impl Into<Vec<u8>>) -> Server {
        let content = content.into();
        Server::start(move |_, asked| Said::range(asked, &content))
    }

    /// A server that gives out the files of a directory and can do nothing else.
    pub(crate) fn of_files(directory: &Path) -> Server {
        let directory = directory.to_owned();
        Server::start(move |_, asked| {
            if !matches!(asked.method.as_str(), "GET" | "HEAD") {
                return Said::status(405);
            }
            let path = asked.path.replace("%3A", ":").replace("%20", " ");
            let path = directory.join(path.split('?').next().unwrap_or_default().trim_start_matches('/'));
            let path = if path.is_dir() { path.join("index.html") } else { path };
            let html = path.extension().is_some_and(|ending| ending == "html");
            let medium = if html { "text/html" } else { "application/octet-stream" };
            match std::fs::read(&path) {
                Ok(content) => Said::range(asked, &content).header("Content-Type", medium),
                Err(_) => Said::status(404),
            }
        })
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    /// How many connections were made.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Ends the connections on which it has fallen silent.
    #[allow(dead_code, reason = "the tests of the program use it, too")]
    pub(crate) fn hang_up(&self) {
        self.stalled.lock().expect("no panic").clear();
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no panic").clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        self.stalled.lock().expect("no panic").clear();
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        self.thread.take().map(JoinHandle::join);
    }
}

fn serve(
    stream: &TcpStream,
    mut reader: &mut BufReader<TcpStream>,
    keeps: bool,
    seen: &Mutex<Vec<Asked>>,
    answer: &(dyn Fn(usize, &Asked) -> Said + Send + Sync),
) -> std::io::Result<bool> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
    }
    let asked = Asked { method, path, headers };
    let length = asked.header("Content-Length").and_then(|length| length.parse().ok()).unwrap_or(0);
    std::io::copy(&mut Read::by_ref(&mut reader).take(length), &mut std::io::sink())?;
    let number = {
        let mut seen = seen.lock().expect("no panic");
        seen.push(asked.clone());
        seen.len() - 1
    };
    let said = answer(number, &asked);
    let is_head = asked.method == "HEAD";
    let mut writer = stream;
    let connection = if keeps { "keep-alive" } else { "close" };
    let mut head = format!("HTTP/1.1 {} X\r\nConnection: {connection}\r\n", said.status);
    let has_length = said.headers.iter().any(|(name, _)| name == "Content-Length");
    if said.chunked {
        head.push_str("Transfer-Encoding: chunked\r\n");
    } else if !has_length && said.status != 304 {
        head.push_str(&format!("Content-Length: {}\r\n", said.body.len()));
    }
    for (name, value) in &said.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    writer.write_all(head.as_bytes())?;
    writer.write_all(b"\r\n")?;
    let body = &said.body[..said.cut.unwrap_or(said.body.len()).min(said.body.len())];
    if is_head {
    } else if said.chunked {
        for chunk in body.chunks(7) {
            write!(writer, "{:x}\r\n", chunk.len())?;
            writer.write_all(chunk)?;
            writer.write_all(b"\r\n")?;
        }
        if said.cut.is_none() && !said.stalls {
            writer.write_all(b"0\r\n\r\n")?;
        }
    } else {
        writer.write_all(body)?;
    }
    writer.flush()?;
    Ok(said.stalls)
}

/// An FTP server that has one file, for one user, and hangs up once after `cut` bytes.
pub(crate) struct FtpServer {
    port: u16,
}

impl FtpServer {
    pub(crate) fn start(content: &'static [u8], user: &'static str, cut: Option<usize>) -> FtpServer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        std::thread::spawn(move || {
            let mut cut = cut;
            for stream in listener.incoming().flatten() {
                let _ = ftp(&stream, content, user, cut.take());
            }
        });
        FtpServer { port }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("ftp://127.0.0.1:{}/{path}", self.port)
    }
}

fn ftp(stream: &TcpStream, content: &[u8], user: &str, cut: Option<usize>) -> std::io::Result<()> {
    let mut writer = stream;
    let mut reader = BufReader::new(stream.try_clone()?);
    writer.write_all(b"220-Welcome\r\n220 ready\r\n")?;
    let (mut from, mut data, mut known) = (0, None, false);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let (command, value) = line.trim_end().split_once(' ').unwrap_or((line.trim_end(), ""));
        let reply = match command {
            "USER" => {
                known = value == user;
                "331 password?".to_owned()
            }
            "PASS" if known => "230 in".to_owned(),
            "PASS" => "530 who?".to_owned(),
            "TYPE" => "200 fine".to_owned(),
            "SIZE" => format!("213 {}", content.len()),
            "REST" => {
                from = value.parse().unwrap_or(0);
                "350 from there".to_owned()
            }
            "PASV" => {
                let listener = TcpListener::bind("127.0.0.1:0")?;
                let port = listener.local_addr()?.port();
                data = Some(listener);
                format!("227 Entering passive mode (10,1,2,3,{},{})", port >> 8, port & 255)
            }
            "RETR" if value == "file" => {
                writer.write_all(b"150 here it comes\r\n")?;
                if let Some(listener) = data.take() {
                    let (mut stream, _) = listener.accept()?;
                    let end = cut.unwrap_or(content.len());
                    stream.write_all(&content[from.min(end)..end])?;
                    if cut.is_some() {
                        return Ok(());
                    }
                }
                "226 done".to_owned()
            }
            "RETR" => "550 no such file".to_owned(),
            _ => "502 what?".to_owned(),
        };
        writer.write_all(format!("{reply}\r\n").as_bytes())?;
    }
}
