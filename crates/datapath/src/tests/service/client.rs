//! A process of its own that calls services as it is told, for a control group has whole processes: this very program,
//! running the one test below.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream, UdpSocket},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// An answer begins with it, whatever the test's frame writes beside.
const ANSWER: &str = "answer: ";
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Client {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Client {
    pub fn start() -> Client {
        let program = std::env::current_exe().expect("this program");
        let mut child = Command::new(program)
            .args(["--exact", "tests::service::client::be_a_client"])
            .args(["--ignored", "--nocapture"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the client starts");
        Client {
            stdin: child.stdin.take().expect("a pipe"),
            stdout: BufReader::new(child.stdout.take().expect("a pipe")),
            child,
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// For what is answered later.
    pub fn tell(&mut self, word: &str) {
        writeln!(self.stdin, "{word}").expect("the client listens");
    }

    pub fn ask(&mut self, word: &str) -> String {
        self.tell(word);
        let mut line = String::new();
        loop {
            line.clear();
            let read = self
                .stdout
                .read_line(&mut line)
                .expect("the client answers");
            assert!(read > 0, "the client has ended");
            if let Some(answer) = line.trim_end().strip_prefix(ANSWER) {
                return answer.to_owned();
            }
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "it is what the tests of services start as their client"]
fn be_a_client() {
    // A socket is of the group that its process is in when it is opened.
    let mut same = None;
    let mut storm = None;
    let mut held = None;
    for line in io::stdin().lines() {
        let line = line.expect("a line");
        let (verb, address) = line.split_once(' ').unwrap_or((&line, ""));
        let answer = match verb {
            "tcp" => call(address),
            "udp" => {
                let any = if address.starts_with('[') {
                    "[::]:0"
                } else {
                    "0.0.0.0:0"
                };
                UdpSocket::bind(any).and_then(|socket| send(&socket, address))
            }
            "udp-same" => {
                let bind = || UdpSocket::bind("0.0.0.0:0").expect("a socket");
                send(same.get_or_insert_with(bind), address)
            }
            "hold" => hold(address).map(|stream| {
                held = Some(stream);
                "held".to_owned()
            }),
            "held" => {
                let stream = held.as_mut().expect("a connection");
                let read = stream.read(&mut [0]);
                read.map(|length| format!("{length} bytes"))
            }
            "storm" => {
                storm = Some(Storm::start(address.to_owned()));
                continue;
            }
            "elsewhere" => leave().map(|()| "there".to_owned()),
            "stop" => Ok(storm.take().map(Storm::stop).expect("a storm")),
            _ => panic!("`{line}` is no word of ours"),
        };
        let answer = answer.unwrap_or_else(|error| format!("error {:?}", error.kind()));
        println!("\n{ANSWER}{answer}");
    }
}

/// Into a network namespace of its own, as a pod has one.
fn leave() -> io::Result<()> {
    // SAFETY: a new network namespace changes no memory and no descriptor table that others rely on.
    match unsafe { libc::unshare(libc::CLONE_NEWNET) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn call(address: &str) -> io::Result<String> {
    let address: SocketAddr = address.parse().expect("an address");
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let peer = stream.peer_addr()?;
    let mut who = String::new();
    stream.read_to_string(&mut who)?;
    Ok(format!("{who} as {peer}"))
}

fn hold(address: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn send(socket: &UdpSocket, address: &str) -> io::Result<String> {
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send_to(b"?", address)?;
    let mut buffer = [0; 64];
    let (length, from) = socket.recv_from(&mut buffer)?;
    Ok(format!(
        "{} as {from}",
        String::from_utf8_lossy(&buffer[..length])
    ))
}

/// Calls one after the other until it is stopped.
struct Storm {
    is_over: Arc<AtomicBool>,
    thread: thread::JoinHandle<(usize, usize)>,
}

impl Storm {
    fn start(address: String) -> Storm {
        let is_over = Arc::new(AtomicBool::new(false));
        let over = is_over.clone();
        let thread = thread::spawn(move || {
            let (mut calls, mut errors) = (0, 0);
            while !over.load(Ordering::Relaxed) {
                calls += 1;
                errors += usize::from(call(&address).is_err());
            }
            (calls, errors)
        });
        Storm { is_over, thread }
    }

    fn stop(self) -> String {
        self.is_over.store(true, Ordering::Relaxed);
        let (calls, errors) = self.thread.join().expect("the storm ends");
        format!("{calls} calls, {errors} errors")
    }
}
