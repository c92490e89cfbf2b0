//! What a packet says of itself.
//!
//! Two readers: [`quick`] looks straight into the first bytes and knows only the common shapes; [`read`] copies piece by piece and
//! knows options, extension headers and fragments. Whatever `quick` does not take, `read` decides; both refuse headers that end
//! beyond the packet.

mod quick;
mod read;

pub use quick::{Quick, quick};
pub use read::read;

use aya_ebpf::{helpers::bpf_skb_load_bytes, programs::TcContext};
use tombolo_abi::{Addr, Drop, FlowKey};

pub const ETHERNET: usize = 14;
/// As they lie in memory.
pub const ETHERTYPE_V4: u16 = 0x0800u16.to_be();
pub const ETHERTYPE_V6: u16 = 0x86ddu16.to_be();
pub const ETHERTYPE_ARP: u16 = 0x0806u16.to_be();

pub const ICMP: u8 = 1;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const FRAGMENT_HEADER: u8 = 44;
pub const ICMPV6: u8 = 58;
pub const SCTP: u8 = 132;

pub const TCP_FIN: u8 = 1;
pub const TCP_SYN: u8 = 2;
pub const TCP_RST: u8 = 4;
pub const TCP_ACK: u8 = 16;

/// [`FlowKey::kind`] of echoes, by which end asks, and of ICMP messages that have no answer.
pub const KIND_ECHO_BY_LOWER: u8 = 1;
pub const KIND_ECHO_BY_UPPER: u8 = 2;
pub const KIND_ONE_WAY_FROM_LOWER: u8 = 3;
pub const KIND_ONE_WAY_FROM_UPPER: u8 = 4;

/// A piece of the packet, if it is that long.
#[inline(always)]
pub fn at<T>(ctx: &TcContext, offset: usize) -> Option<&T> {
    let start = ctx.data() + offset;
    if start + size_of::<T>() > ctx.data_end() {
        return None;
    }
    // SAFETY: within the packet by the check above; `T` is bytes, or integers that this target reads at any address.
    Some(unsafe { &*(start as *const T) })
}

#[inline(always)]
pub fn at_mut<T>(ctx: &TcContext, offset: usize) -> Option<&mut T> {
    let start = ctx.data() + offset;
    if start + size_of::<T>() > ctx.data_end() {
        return None;
    }
    // SAFETY: as in `at`; the kernel makes the packet's head writable for programs that write.
    Some(unsafe { &mut *(start as *mut T) })
}

/// A copy of a piece of the packet, wherever the kernel keeps it.
#[inline(always)]
pub fn copy<T: Copy>(ctx: &TcContext, offset: usize) -> Result<T, Drop> {
    let mut value = core::mem::MaybeUninit::<T>::uninit();
    // SAFETY: the helper writes all bytes of `value` or fails; `T` is bytes or integers.
    unsafe {
        let length = size_of::<T>() as u32;
        if bpf_skb_load_bytes(
            ctx.skb.skb.cast(),
            offset as u32,
            value.as_mut_ptr().cast(),
            length,
        ) != 0
        {
            return Err(Drop::Malformed);
        }
        Ok(value.assume_init())
    }
}

#[repr(C, packed)]
#[derive(Clone, Copy)]
pub struct V4 {
    pub version: u8,
    pub tos: u8,
    pub length: u16,
    pub id: u16,
    pub fragment: u16,
    pub ttl: u8,
    pub protocol: u8,
    pub checksum: u16,
    pub source: u32,
    pub destination: u32,
}

#[repr(C, packed)]
#[derive(Clone, Copy)]
pub struct V6 {
    pub version: u32,
    pub length: u16,
    pub next: u8,
    pub hops: u8,
    pub source: [u64; 2],
    pub destination: [u64; 2],
}

#[repr(C, packed)]
#[derive(Clone, Copy)]
struct Ports {
    source: u16,
    destination: u16,
    /// UDP length; for TCP half of the sequence number; for SCTP half of the tag.
    length: u16,
    _checksum: u16,
}

#[repr(C, packed)]
#[derive(Clone, Copy)]
struct TcpRest {
    _acknowledged: u32,
    offset: u8,
    flags: u8,
}

/// Bits of the fragment field that matter, as they lie in memory: all but "don't fragment".
const FRAGMENT_BITS: u16 = 0xbfffu16.to_be();
const MORE_FRAGMENTS: u16 = 0x2000;
const FRAGMENT_OFFSET: u16 = 0x1fff;
pub const DONT_FRAGMENT: u16 = 0x4000u16.to_be();

/// True when the IPv4 header's own checksum is right; for a header without options.
#[inline(always)]
fn checksum_is_right(header: &V4) -> bool {
    // SAFETY: `V4` is 20 bytes; five unaligned reads of four.
    let words = unsafe { core::ptr::read_unaligned((&raw const *header).cast::<[u32; 5]>()) };
    let mut sum = u64::from(words[0])
        + u64::from(words[1])
        + u64::from(words[2])
        + u64::from(words[3])
        + u64::from(words[4]);
    sum = (sum & 0xffff_ffff) + (sum >> 32);
    sum = (sum & 0xffff) + ((sum >> 16) & 0xffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum == 0xffff
}

/// True for a packet that is cut into segments later.
#[inline(always)]
fn is_large(ctx: &TcContext) -> bool {
    // SAFETY: a plain read of a context field.
    unsafe { (*ctx.skb.skb).gso_size != 0 }
}

/// The key of a flow and which end of it `source` is.
#[inline(always)]
pub fn key_of(
    source: Addr,
    destination: Addr,
    source_port: u16,
    destination_port: u16,
    protocol: u8,
) -> (FlowKey, usize) {
    let source_is_lower = if source.words[1] != destination.words[1] {
        source.words[1] < destination.words[1]
    } else if source.words[0] != destination.words[0] {
        source.words[0] < destination.words[0]
    } else {
        source_port <= destination_port
    };
    if source_is_lower {
        let key = FlowKey {
            lower: source,
            upper: destination,
            lower_port: source_port,
            upper_port: destination_port,
            protocol,
            kind: 0,
            zone: 0,
        };
        (key, 0)
    } else {
        let key = FlowKey {
            lower: destination,
            upper: source,
            lower_port: destination_port,
            upper_port: source_port,
            protocol,
            kind: 0,
            zone: 0,
        };
        (key, 1)
    }
}

/// [`FlowKey::kind`] of an echo: who asked is the same for question and answer.
#[inline(always)]
fn echo_kind(is_request: bool, from: usize) -> u8 {
    if is_request == (from == 0) {
        KIND_ECHO_BY_LOWER
    } else {
        KIND_ECHO_BY_UPPER
    }
}

/// A packet, read wholly.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Packet {
    pub source: Addr,
    pub destination: Addr,
    /// In network order; 0 where the protocol has none.
    pub source_port: u16,
    pub destination_port: u16,
    pub ethertype: u16,
    pub protocol: u8,
    pub tcp_flags: u8,
    pub icmp_type: u8,
    pub icmp_code: u8,
    pub ttl: u8,
    /// See [`FlowKey::kind`]; here 1 is an echo request, 2 an echo reply, 3 another ICMP message, 0 anything else.
    pub kind: u8,
    /// See `fragment`: 0 whole, 1 the first, 2 a later one.
    pub fragment: u8,
    pub dont_fragment: u8,
    /// From the start of the network header.
    pub transport: u16,
    /// End of the transport header, from the start of the network header.
    pub headers: u16,
    pub _pad: u16,
    pub fragment_id: u32,
    /// Of the packet from the network header on, as the header says.
    pub length: u32,
}

pub const KIND_ECHO_REQUEST: u8 = 1;
pub const KIND_ECHO_REPLY: u8 = 2;
pub const KIND_ONE_WAY: u8 = 3;

pub const WHOLE: u8 = 0;
pub const FIRST: u8 = 1;
pub const LATER: u8 = 2;

impl Packet {
    /// The key of the packet's flow, and which end sent it.
    #[inline(always)]
    pub fn key(&self) -> (FlowKey, usize) {
        let (mut key, from) = key_of(
            self.source,
            self.destination,
            self.source_port,
            self.destination_port,
            self.protocol,
        );
        key.kind = match self.kind {
            KIND_ECHO_REQUEST => echo_kind(true, from),
            KIND_ECHO_REPLY => echo_kind(false, from),
            KIND_ONE_WAY if from == 0 => KIND_ONE_WAY_FROM_LOWER,
            KIND_ONE_WAY => KIND_ONE_WAY_FROM_UPPER,
            _ => 0,
        };
        (key, from)
    }

    #[inline(always)]
    pub fn is_icmp_error(&self) -> bool {
        self.fragment != LATER
            && match self.protocol {
                ICMP => matches!(self.icmp_type, 3 | 4 | 5 | 11 | 12),
                ICMPV6 => self.icmp_type < 128,
                _ => false,
            }
    }
}
