//! As much of FTP as fetching one file takes: passive mode, binary, from any byte on.

use super::{Answer, Failure, Request, apart};
use crate::url::{split, unquote};
use bourn_plan::{Credentials, Patience, UrlTable};
use bourn_reapi::services::Cancel;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};

/// Fetches a file.
pub(super) fn retrieve(
    request: &Request<'_>,
    urls: &dyn UrlTable,
    cancel: &Cancel,
) -> Result<Answer, Failure> {
    let url = request.url.to_owned();
    let (from, known, patience) = (request.from, urls.credentials(&url), urls.patience());
    let answer = apart::wait(cancel, move || ask(&url, from, known, patience))??;
    Ok(Answer { body: Box::new(apart::Body::new(answer.body, cancel)), ..answer })
}

/// The same for whoever can wait, with the credentials for the host if the URL has none.
fn ask(url: &str, from: u64, known: Option<Credentials>, patience: Patience) -> Result<Answer, Failure> {
    let parts = split(url);
    let (user, host) = match parts.authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, parts.authority),
    };
    let credentials = match user {
        Some(user) => {
            let (user, password) = user.split_once(':').unwrap_or((user, ""));
            Some(Credentials { user: unquote(user), password: unquote(password) })
        }
        None => known,
    };
    let mut control = Control::connect(host, patience)?;
    control.log_in(credentials)?;
    control.expect("TYPE I", "2")?;
    let path = unquote(parts.path.trim_start_matches('/'));
    if path.contains(['\r', '\n', '\0']) {
        return Err(Failure::lasting("malformed path in an FTP URL"));
    }
    let total =
        control.send(&format!("SIZE {path}"))?.strip_prefix("213 ").and_then(|size| size.trim().parse().ok());
    let from = match from {
        0 => 0,
        from => match control.send(&format!("REST {from}"))?.starts_with("350") {
            true => from,
            false => 0,
        },
    };
    let stream = control.passive()?;
    control.expect(&format!("RETR {path}"), "1")?;
    let body = Data { stream, control, ended: false };
    Ok(Answer {
        url: url.to_owned(),
        status: 200,
        from,
        total,
        etag: None,
        modified: None,
        headers: Vec::new(),
        body: Box::new(body),
    })
}

struct Control {
    stream: BufReader<TcpStream>,
    peer: SocketAddr,
    patience: Patience,
}

fn passing(error: &io::Error) -> Failure {
    Failure::passing(format!("ftp error: {error}"))
}

fn connect(address: &SocketAddr, patience: Patience) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(address, patience.connect)?;
    stream.set_read_timeout(Some(patience.silence))?;
    stream.set_write_timeout(Some(patience.silence))?;
    Ok(stream)
}

impl Control {
    fn connect(host: &str, patience: Patience) -> Result<Control, Failure> {
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let host = if has_port { host.to_owned() } else { format!("{host}:21") };
        let mut last = Failure::passing("ftp error: the name of the host is not known");
        for address in host.to_socket_addrs().map_err(|error| passing(&error))? {
            match connect(&address, patience) {
                Ok(stream) => {
                    let mut control = Control { stream: BufReader::new(stream), peer: address, patience };
                    control.reply()?;
                    return Ok(control);
                }
                Err(error) => last = passing(&error),
            }
        }
        Err(last)
    }

    fn log_in(&mut self, credentials: Option<Credentials>) -> Result<(), Failure> {
        let anonymous = || Credentials { user: "anonymous".to_owned(), password: "anonymous@".to_owned() };
        let Credentials { user, password } = credentials.unwrap_or_else(anonymous);
        if format!("{user}{password}").contains(['\r', '\n']) {
            return Err(Failure::lasting("ftp error: malformed credentials"));
        }
        let reply = self.send(&format!("USER {user}"))?;
        if reply.starts_with('3') {
            let reply = self.send(&format!("PASS {password}"))?;
            return if reply.starts_with('2') { Ok(()) } else { Err(refused(&reply)) };
        }
        if reply.starts_with('2') { Ok(()) } else { Err(refused(&reply)) }
    }

    fn send(&mut self, command: &str) -> Result<String, Failure> {
        let line = format!("{command}\r\n");
        self.stream.get_mut().write_all(line.as_bytes()).map_err(|error| passing(&error))?;
        self.reply()
    }

    fn expect(&mut self, command: &str, class: &str) -> Result<String, Failure> {
        let reply = self.send(command)?;
        if reply.starts_with(class) { Ok(reply) } else { Err(refused(&reply)) }
    }

    /// A reply of one line, or of several of which the last counts.
    fn reply(&mut self) -> Result<String, Failure> {
        let mut code: Option<String> = None;
        loop {
            let mut line = Vec::new();
            let read = (&mut self.stream).take(1 << 16).read_until(b'\n', &mut line);
            if read.map_err(|error| passing(&error))? == 0 {
                return Err(Failure::passing("ftp error: the server hung up"));
            }
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            let first = line.get(..3).unwrap_or_default().to_owned();
            match (&code, line.as_bytes().get(3)) {
                (None, Some(b'-')) => code = Some(first),
                (None, _) => return Ok(line),
                (Some(code), Some(b' ')) if *code == first => return Ok(line),
                (Some(_), _) => {}
            }
        }
    }

    /// A connection for data, to the server itself whatever address it names.
    fn passive(&mut self) -> Result<TcpStream, Failure> {
        let extended = self.send("EPSV")?;
        let port = if extended.starts_with("229") {
            extended.split('|').nth(3).and_then(|port| port.parse().ok())
        } else {
            let reply = self.expect("PASV", "227")?;
            let numbers = reply.rsplit('(').next().unwrap_or_default().split(')').next().unwrap_or_default();
            let numbers: Vec<u16> =
                numbers.split(',').filter_map(|number| number.trim().parse().ok()).collect();
            match numbers.as_slice() {
                [.., high, low] if numbers.len() == 6 && *high < 256 && *low < 256 => Some(high << 8 | low),
                _ => None,
            }
        };
        let port = port.ok_or_else(|| Failure::lasting("ftp error: no port for the data"))?;
        connect(&SocketAddr::new(self.peer.ip(), port), self.patience).map_err(|error| passing(&error))
    }
}

fn refused(reply: &str) -> Failure {
    let mut failure = Failure::lasting(format!("ftp error: {reply}"));
    failure.passing = reply.starts_with('4');
    failure
}

/// Content as it comes; at its end the server has to say that it was all.
struct Data {
    stream: TcpStream,
    control: Control,
    ended: bool,
}

impl Read for Data {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ended {
            return Ok(0);
        }
        let read = self.stream.read(buffer)?;
        if read == 0 && !buffer.is_empty() {
            self.ended = true;
            let reply = self.control.reply().map_err(|failure| io::Error::other(failure.message))?;
            if !reply.starts_with('2') {
                return Err(io::Error::other(format!("ftp error: {reply}")));
            }
        }
        Ok(read)
    }
}
