//! Archives in the form of POSIX (ustar), as far as images need it: files, folders and links, all of them root's.

use std::io::{self, ErrorKind, Read, Write};

const BLOCK: usize = 512;

pub struct Writer<W: Write> {
    out: W,
}

impl<W: Write> Writer<W> {
    pub fn new(out: W) -> Writer<W> {
        Writer { out }
    }

    pub fn file(&mut self, path: &str, mode: u32, bytes: &[u8]) -> io::Result<()> {
        self.copy(path, mode, bytes.len() as u64, bytes)
    }

    /// A file of that many bytes, read from elsewhere.
    pub fn copy(&mut self, path: &str, mode: u32, size: u64, from: impl Read) -> io::Result<()> {
        self.stream(path, mode, size, |out| {
            let copied = io::copy(&mut from.take(size), out)?;
            match copied == size {
                true => Ok(()),
                false => Err(ErrorKind::UnexpectedEof.into()),
            }
        })
    }

    /// A file of that many bytes, which `write` writes.
    pub fn stream(
        &mut self,
        path: &str,
        mode: u32,
        size: u64,
        write: impl FnOnce(&mut W) -> io::Result<()>,
    ) -> io::Result<()> {
        self.out.write_all(&header(path, mode, size, b'0', "")?)?;
        write(&mut self.out)?;
        let rest = (size % BLOCK as u64) as usize;
        if rest > 0 {
            self.out.write_all(&[0; BLOCK][rest..])?;
        }
        Ok(())
    }

    pub fn folder(&mut self, path: &str, mode: u32) -> io::Result<()> {
        self.out
            .write_all(&header(&format!("{path}/"), mode, 0, b'5', "")?)
    }

    pub fn link(&mut self, path: &str, target: &str) -> io::Result<()> {
        self.out.write_all(&header(path, 0o777, 0, b'2', target)?)
    }

    /// Writes the end, and gives back what was written to.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&[0; 2 * BLOCK])?;
        Ok(self.out)
    }
}

/// Name, mode, owner, group, size, time, sum, kind, target, form, and zeros to the end of the block.
fn header(path: &str, mode: u32, size: u64, kind: u8, target: &str) -> io::Result<[u8; BLOCK]> {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, room: usize, bytes: &[u8]| {
        if bytes.len() > room {
            let message = format!("{path} is too long or too large for an archive");
            return Err(io::Error::new(ErrorKind::InvalidInput, message));
        }
        block[at..at + bytes.len()].copy_from_slice(bytes);
        Ok(())
    };
    put(0, 100, path.as_bytes())?;
    put(100, 8, format!("{mode:07o}").as_bytes())?;
    put(108, 8, b"0000000")?;
    put(116, 8, b"0000000")?;
    put(124, 11, format!("{size:011o}").as_bytes())?;
    put(136, 12, b"00000000000")?;
    put(148, 8, b"        ")?;
    put(156, 1, &[kind])?;
    put(157, 100, target.as_bytes())?;
    put(257, 8, b"ustar\x0000")?;
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    Ok(block)
}
