//! The netlink wire form: messages, attributes within them, and the kernel's acknowledgements.
//!
//! Both rtnetlink and nf_tables speak it. Answers are read leniently: attributes nobody asked about are stepped over,
//! so a newer kernel that adds some cannot break us.

use std::io;

/// Size of `struct nlmsghdr`.
const HEADER: usize = 16;
/// Size of `struct nlattr`.
const ATTRIBUTE_HEADER: usize = 4;
/// The upper bits of an attribute's type are `NLA_F_NESTED` and `NLA_F_NET_BYTEORDER`.
const TYPE_MASK: u16 = libc::NLA_TYPE_MASK as u16;
/// `NLMSGERR_ATTR_MSG` of `linux/netlink.h`.
const ERROR_TEXT: u16 = 1;

fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

/// A message being written: header, the family's own fixed header, attributes.
pub(crate) struct Request {
    bytes: Vec<u8>,
}

impl Request {
    pub fn new(kind: u16, flags: i32, head: &[u8]) -> Request {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend([0; 4]);
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(((flags | libc::NLM_F_REQUEST) as u16).to_ne_bytes());
        bytes.extend([0; 8]);
        bytes.extend(head);
        bytes.resize(aligned(bytes.len()), 0);
        Request { bytes }
    }

    pub fn attribute(&mut self, kind: u16, value: &[u8]) -> &mut Request {
        let start = self.open(kind);
        self.bytes.extend(value);
        self.close(start);
        self
    }

    pub fn u8(&mut self, kind: u16, value: u8) -> &mut Request {
        self.attribute(kind, &[value])
    }

    pub fn u32(&mut self, kind: u16, value: u32) -> &mut Request {
        self.attribute(kind, &value.to_ne_bytes())
    }

    /// Network byte order, as nf_tables has its numbers.
    pub fn be32(&mut self, kind: u16, value: u32) -> &mut Request {
        self.attribute(kind, &value.to_be_bytes())
    }

    /// A string with its terminating zero.
    pub fn text(&mut self, kind: u16, value: &str) -> &mut Request {
        let start = self.open(kind);
        self.bytes.extend(value.as_bytes());
        self.bytes.push(0);
        self.close(start);
        self
    }

    pub fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Request)) -> &mut Request {
        let start = self.open(kind | libc::NLA_F_NESTED as u16);
        fill(self);
        self.close(start);
        self
    }

    /// Bytes without an attribute header of their own, such as the fixed header inside `VETH_INFO_PEER`.
    pub fn raw(&mut self, value: &[u8]) -> &mut Request {
        self.bytes.extend(value);
        self.bytes.resize(aligned(self.bytes.len()), 0);
        self
    }

    fn open(&mut self, kind: u16) -> usize {
        let start = self.bytes.len();
        self.bytes.extend([0; 2]);
        self.bytes.extend(kind.to_ne_bytes());
        start
    }

    fn close(&mut self, start: usize) {
        let length = self.bytes.len() - start;
        let field = u16::try_from(length).expect("an attribute of ours is far below 64 KiB");
        self.bytes[start..start + 2].copy_from_slice(&field.to_ne_bytes());
        self.bytes.resize(aligned(self.bytes.len()), 0);
    }

    /// Whether the kernel will tell when it is done with it.
    pub fn is_answered(&self) -> bool {
        let flags = u16_at(&self.bytes, 6).map_or(0, i32::from);
        flags & libc::NLM_F_ACK != 0 || flags & libc::NLM_F_DUMP == libc::NLM_F_DUMP
    }

    /// The finished message under this sequence number.
    pub fn finish(mut self, sequence: u32) -> Vec<u8> {
        let length = self.bytes.len() as u32;
        self.bytes[..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.bytes
    }
}

/// A message as received, its payload not yet understood.
#[derive(Clone, Copy)]
pub(crate) struct Message<'a> {
    pub kind: u16,
    pub flags: i32,
    pub sequence: u32,
    pub payload: &'a [u8],
}

/// The messages of one datagram; what does not parse ends it.
pub(crate) struct Messages<'a>(pub &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let length = u32_at(self.0, 0)? as usize;
        let message = Message {
            kind: u16_at(self.0, 4)?,
            flags: u16_at(self.0, 6)?.into(),
            sequence: u32_at(self.0, 8)?,
            payload: self.0.get(HEADER..length)?,
        };
        self.0 = self.0.get(aligned(length)..).unwrap_or_default();
        Some(message)
    }
}

impl<'a> Message<'a> {
    /// The attributes that follow a fixed header of `head` bytes.
    pub fn attributes(&self, head: usize) -> Attributes<'a> {
        Attributes(self.payload.get(aligned(head)..).unwrap_or_default())
    }

    /// For `NLMSG_ERROR` and `NLMSG_DONE`: the kernel's verdict, with its explanation where there is one.
    pub fn verdict(&self) -> Result<(), Refusal> {
        let number = i32_at(self.payload, 0).unwrap_or(0);
        if number >= 0 {
            return Ok(());
        }
        let mut head = 4;
        if i32::from(self.kind) == libc::NLMSG_ERROR {
            head += HEADER;
            if self.flags & libc::NLM_F_CAPPED == 0 {
                let echoed = u32_at(self.payload, 4).unwrap_or(0) as usize;
                head += echoed.saturating_sub(HEADER);
            }
        }
        let explanation = (self.flags & libc::NLM_F_ACK_TLVS != 0)
            .then(|| {
                self.attributes(head)
                    .find(|(kind, _)| *kind == ERROR_TEXT)
                    .map(|(_, value)| text(value))
            })
            .flatten();
        Err(Refusal {
            source: io::Error::from_raw_os_error(-number),
            explanation,
        })
    }
}

/// The kernel said no.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub source: io::Error,
    pub explanation: Option<String>,
}

/// Attributes by type, without the flags in it.
#[derive(Clone, Copy)]
pub(crate) struct Attributes<'a>(pub &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::from(u16_at(self.0, 0)?);
        let kind = u16_at(self.0, 2)? & TYPE_MASK;
        let value = self.0.get(ATTRIBUTE_HEADER..length)?;
        self.0 = self.0.get(aligned(length)..).unwrap_or_default();
        Some((kind, value))
    }
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    u32_at(bytes, at).map(u32::cast_signed)
}

/// A string up to its terminating zero.
pub(crate) fn text(value: &[u8]) -> String {
    let end = value
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

#[cfg(test)]
mod tests;
