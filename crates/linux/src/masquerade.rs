//! One rule of nf_tables: packets that carry our mark leave with the address of the device they leave by.
//!
//! All calls act on the calling thread's network namespace. The table is ours alone; nothing else is read or touched.

use crate::{
    Error, Result,
    netlink::{Task, message::Request, socket::Socket},
};
use rustix::net::{Protocol, netlink};

const TABLE: &str = "tombolo";
const CHAIN: &str = "postrouting";
/// Where source addresses are changed, `NF_IP_PRI_NAT_SRC`.
const PRIORITY: i32 = 100;
/// Size of `struct nfgenmsg`.
const HEAD: usize = 4;

/// From `linux/netfilter/nf_tables.h`.
mod nft {
    pub const TABLE_NAME: u16 = 1;
    pub const CHAIN_TABLE: u16 = 1;
    pub const CHAIN_NAME: u16 = 3;
    pub const CHAIN_HOOK: u16 = 4;
    pub const CHAIN_TYPE: u16 = 7;
    pub const HOOK_NUMBER: u16 = 1;
    pub const HOOK_PRIORITY: u16 = 2;
    pub const RULE_TABLE: u16 = 1;
    pub const RULE_CHAIN: u16 = 2;
    pub const RULE_EXPRESSIONS: u16 = 4;
    pub const LIST_ELEMENT: u16 = 1;
    pub const EXPRESSION_NAME: u16 = 1;
    pub const EXPRESSION_DATA: u16 = 2;
    pub const DATA_VALUE: u16 = 1;
    pub const META_DESTINATION: u16 = 1;
    pub const META_KEY: u16 = 2;
    pub const BITWISE_SOURCE: u16 = 1;
    pub const BITWISE_DESTINATION: u16 = 2;
    pub const BITWISE_LENGTH: u16 = 3;
    pub const BITWISE_MASK: u16 = 4;
    pub const BITWISE_XOR: u16 = 5;
    pub const COMPARE_SOURCE: u16 = 1;
    pub const COMPARE_OPERATION: u16 = 2;
    pub const COMPARE_DATA: u16 = 3;
}

/// Masquerades packets of which `mark` is what `mask` leaves of their mark. One transaction puts the rule in place of
/// what our table held before, so no packet meets none.
pub fn install(mark: u32, mask: u32) -> Result<()> {
    let table = |kind| {
        let mut request = message(kind, libc::NLM_F_ACK | libc::NLM_F_CREATE);
        request.text(nft::TABLE_NAME, TABLE);
        request
    };
    let mut chain = message(libc::NFT_MSG_NEWCHAIN, libc::NLM_F_ACK | libc::NLM_F_CREATE);
    chain
        .text(nft::CHAIN_TABLE, TABLE)
        .text(nft::CHAIN_NAME, CHAIN)
        .text(nft::CHAIN_TYPE, "nat");
    chain.nest(nft::CHAIN_HOOK, |hook| {
        hook.be32(nft::HOOK_NUMBER, libc::NF_INET_POST_ROUTING as u32)
            .be32(nft::HOOK_PRIORITY, PRIORITY.cast_unsigned());
    });
    let mut rule = message(
        libc::NFT_MSG_NEWRULE,
        libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_APPEND,
    );
    rule.text(nft::RULE_TABLE, TABLE)
        .text(nft::RULE_CHAIN, CHAIN);
    rule.nest(nft::RULE_EXPRESSIONS, |list| {
        marked_then_masquerade(list, mark, mask)
    });
    // A table must be there to be deleted: made first, it is, whatever was before.
    let clean = [
        table(libc::NFT_MSG_NEWTABLE),
        table(libc::NFT_MSG_DELTABLE),
        table(libc::NFT_MSG_NEWTABLE),
    ];
    transact("install", clean.into_iter().chain([chain, rule]))
}

/// Takes our table away. No such table is fine.
pub fn remove() -> Result<()> {
    let mut table = message(libc::NFT_MSG_DELTABLE, libc::NLM_F_ACK);
    table.text(nft::TABLE_NAME, TABLE);
    match transact("remove", [table]) {
        Err(error) if error.errno() == Some(libc::ENOENT) => Ok(()),
        result => result,
    }
}

/// Whether our rule is in place.
pub fn installed() -> Result<bool> {
    let request = || {
        let mut request = message(libc::NFT_MSG_GETRULE, libc::NLM_F_DUMP);
        request
            .text(nft::RULE_TABLE, TABLE)
            .text(nft::RULE_CHAIN, CHAIN);
        request
    };
    match open()?.dump(request, |_| Some(())) {
        Ok(rules) => Ok(!rules.is_empty()),
        Err(refusal) if refusal.source.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(refusal) => Err(refusal.of(task("look for"))),
    }
}

/// `(packet's mark & mask) == mark`, and then masquerade.
fn marked_then_masquerade(list: &mut Request, mark: u32, mask: u32) {
    let register = libc::NFT_REG_1 as u32;
    expression(list, "meta", |data| {
        data.be32(nft::META_KEY, libc::NFT_META_MARK as u32)
            .be32(nft::META_DESTINATION, register);
    });
    expression(list, "bitwise", |data| {
        data.be32(nft::BITWISE_SOURCE, register)
            .be32(nft::BITWISE_DESTINATION, register)
            .be32(nft::BITWISE_LENGTH, 4);
        // Registers hold a mark in the host's byte order.
        data.nest(nft::BITWISE_MASK, |value| {
            _ = value.u32(nft::DATA_VALUE, mask)
        });
        data.nest(nft::BITWISE_XOR, |value| _ = value.u32(nft::DATA_VALUE, 0));
    });
    expression(list, "cmp", |data| {
        data.be32(nft::COMPARE_SOURCE, register)
            .be32(nft::COMPARE_OPERATION, libc::NFT_CMP_EQ as u32);
        data.nest(nft::COMPARE_DATA, |value| {
            _ = value.u32(nft::DATA_VALUE, mark)
        });
    });
    expression(list, "masq", |_| {});
}

fn expression(list: &mut Request, name: &str, fill: impl FnOnce(&mut Request)) {
    list.nest(nft::LIST_ELEMENT, |element| {
        element
            .text(nft::EXPRESSION_NAME, name)
            .nest(nft::EXPRESSION_DATA, fill);
    });
}

/// A message of nf_tables about the family `inet`, which is IPv4 and IPv6 in one.
fn message(kind: i32, flags: i32) -> Request {
    let mut head = [0; HEAD];
    head[0] = libc::NFPROTO_INET as u8;
    Request::new(
        ((libc::NFNL_SUBSYS_NFTABLES << 8) | kind) as u16,
        flags,
        &head,
    )
}

fn transact(operation: &'static str, requests: impl IntoIterator<Item = Request>) -> Result<()> {
    let border = |kind: i32| {
        let mut head = [0; HEAD];
        head[2..].copy_from_slice(&(libc::NFNL_SUBSYS_NFTABLES as u16).to_be_bytes());
        Request::new(kind as u16, 0, &head)
    };
    let mut batch = vec![border(libc::NFNL_MSG_BATCH_BEGIN)];
    batch.extend(requests);
    batch.push(border(libc::NFNL_MSG_BATCH_END));
    open()?
        .converse(batch, |_| {})
        .map(drop)
        .map_err(|refusal| refusal.of(task(operation)))
}

fn open() -> Result<Socket> {
    let protocol: Option<Protocol> = Some(netlink::NETFILTER);
    Socket::open(protocol).map_err(|error| Error::system("open", "nf_tables socket", error))
}

fn task(operation: &'static str) -> Task<'static> {
    Task {
        operation,
        subject: &"masquerade rule of nf_tables",
    }
}

#[cfg(test)]
mod tests;
