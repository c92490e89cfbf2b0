//! Questions to the agent of a node, over its local API.

use crate::{Error, error::Result, plan::NodeId};
use std::{
    io::{self, BufRead as _, BufReader, ErrorKind, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};
use tombolo_model::local::{Reply, Request};

const PATIENCE: Duration = Duration::from_secs(10);

pub struct Api {
    node: NodeId,
    socket: PathBuf,
}

impl Api {
    pub fn of(node: NodeId, socket: PathBuf) -> Api {
        Api { node, socket }
    }

    pub fn ask(&self, request: &Request) -> Result<Reply> {
        let reply = exchange(&self.socket, request).map_err(|source| Error::Agent {
            node: self.node,
            source,
        })?;
        match reply {
            Reply::Error(failure) => Err(Error::Refused {
                node: self.node,
                message: failure.message,
            }),
            reply => Ok(reply),
        }
    }
}

fn exchange(socket: &Path, request: &Request) -> io::Result<Reply> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut reply = String::new();
    BufReader::new(stream).read_line(&mut reply)?;
    if reply.is_empty() {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_str(&reply)?)
}
