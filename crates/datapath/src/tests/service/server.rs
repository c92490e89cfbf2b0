//! Backends: whoever calls is told the address that was reached.

use std::{
    io::Write as _,
    net::{TcpListener, TcpStream, UdpSocket},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

pub struct Server {
    address: String,
    is_over: Arc<AtomicBool>,
    is_udp: bool,
    thread: Option<JoinHandle<()>>,
    /// Open for as long as this is.
    socket: OwnedFd,
}

impl AsFd for Server {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Server {
    pub fn tcp(address: &str) -> Server {
        let listener = TcpListener::bind(address).expect("a listener");
        let socket = listener.try_clone().expect("a descriptor").into();
        Server::start(address, false, socket, move |address, is_over| {
            for stream in listener.incoming() {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                // A caller that hangs up early is its own affair.
                let _ = stream.and_then(|mut stream| stream.write_all(address.as_bytes()));
            }
        })
    }

    pub fn udp(address: &str) -> Server {
        let socket = UdpSocket::bind(address).expect("a socket");
        let kept = socket.try_clone().expect("a descriptor").into();
        Server::start(address, true, kept, move |address, is_over| {
            let mut buffer = [0; 16];
            while let Ok((_, from)) = socket.recv_from(&mut buffer) {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                let _ = socket.send_to(address.as_bytes(), from);
            }
        })
    }

    fn start(
        address: &str,
        is_udp: bool,
        socket: OwnedFd,
        serve: impl FnOnce(&str, &AtomicBool) + Send + 'static,
    ) -> Server {
        let is_over = Arc::new(AtomicBool::new(false));
        let (name, over) = (address.to_owned(), is_over.clone());
        Server {
            address: address.to_owned(),
            is_over,
            is_udp,
            thread: Some(thread::spawn(move || serve(&name, &over))),
            socket,
        }
    }

    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if self.is_udp {
            let any = if self.address.starts_with('[') {
                "[::]:0"
            } else {
                "0.0.0.0:0"
            };
            let _ = UdpSocket::bind(any).and_then(|socket| socket.send_to(b"", &self.address));
        } else {
            let _ = TcpStream::connect(&self.address);
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
