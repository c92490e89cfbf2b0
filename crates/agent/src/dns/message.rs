//! Messages of DNS: what is asked by one, and how an answer is put into another.

use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, ResponseCode},
    rr::{
        DNSClass, Name, RData, Record, RecordType,
        rdata::{A, AAAA, PTR, SOA, SRV},
    },
};
use std::{mem, net::IpAddr};
use tombolo_model::{
    name::{self, Answer, Kind, Question},
    service::Protocol,
};

/// For how long others may remember what is said: services change.
const TTL_S: u32 = 5;
/// What fits into a packet on any network, and the most that an answer by UDP has.
const UDP_BYTES_MAX: u16 = 1232;
const UDP_BYTES_MIN: u16 = 512;
/// Of a service with more endpoints some are told, each time others.
const ANSWERS_MAX: usize = 1000;
/// As CoreDNS has them, in seconds; nobody transfers these zones.
const SOA_TIMES: [i32; 3] = [7200, 1800, 86_400];

pub struct Request {
    message: Message,
    pub question: Question,
}

pub enum Malformed {
    /// Nothing is owed to it.
    Ignore,
    Reply(Vec<u8>),
}

impl Request {
    pub fn read(bytes: &[u8]) -> Result<Request, Malformed> {
        let Ok(message) = Message::from_vec(bytes) else {
            return Err(unreadable(bytes));
        };
        let metadata = message.metadata;
        if metadata.message_type == MessageType::Response {
            return Err(Malformed::Ignore);
        }
        let complaint = if metadata.op_code != OpCode::Query {
            Some(ResponseCode::NotImp)
        } else if message.queries.len() != 1 {
            Some(ResponseCode::FormErr)
        } else if message.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
            Some(ResponseCode::BADVERS)
        } else {
            None
        };
        let question = message.queries.first().map(question);
        let request = Request {
            message,
            question: question.unwrap_or_else(nothing_of_ours),
        };
        match complaint {
            Some(code) => Err(Malformed::Reply(request.refuse(code))),
            None => Ok(request),
        }
    }

    /// Without any records.
    pub fn refuse(&self, code: ResponseCode) -> Vec<u8> {
        let mut reply = self.reply();
        reply.metadata.response_code = code;
        encode(&reply)
    }

    pub fn fail(&self) -> Vec<u8> {
        self.refuse(ResponseCode::ServFail)
    }

    /// Nothing if others are to answer. `below` draws a number below its argument.
    pub fn answer(
        &self,
        answer: Answer,
        protocol: Protocol,
        below: impl FnMut(u64) -> u64,
    ) -> Option<Vec<u8>> {
        let mut reply = self.reply();
        reply.metadata.authoritative = true;
        match answer {
            Answer::Forward => return None,
            Answer::NoName { domain } => {
                reply.metadata.response_code = ResponseCode::NXDomain;
                reply.add_authority(start_of(&domain)?);
            }
            Answer::NoData { domain } => {
                reply.add_authority(start_of(&domain)?);
            }
            Answer::Records {
                answers,
                additional,
            } => {
                let owner = self.message.queries.first()?.name().clone();
                let all: Vec<name::Record> = answers.into_iter().collect();
                let some = shuffled(all, below).into_iter().take(ANSWERS_MAX);
                let records = some.filter_map(|record| {
                    Some(Record::from_rdata(owner.clone(), TTL_S, data(record)?))
                });
                reply.insert_answers(records.collect());
                let few = additional.into_iter().take(ANSWERS_MAX);
                let addresses = few.filter_map(|(name, ip)| {
                    let name = Name::from_ascii(format!("{name}.")).ok()?;
                    Some(Record::from_rdata(name, TTL_S, address(ip)))
                });
                reply.insert_additionals(addresses.collect());
            }
        }
        Some(fit(reply, self.room(protocol).into()))
    }

    fn reply(&self) -> Message {
        let asked = self.message.metadata;
        let mut reply = Message::response(asked.id, asked.op_code);
        reply.metadata.recursion_desired = asked.recursion_desired;
        reply.metadata.recursion_available = true;
        reply.add_queries(self.message.queries.iter().take(1).cloned());
        if let Some(edns) = &self.message.edns {
            let mut own = Edns::new();
            own.set_max_payload(UDP_BYTES_MAX);
            own.set_dnssec_ok(edns.flags().dnssec_ok);
            reply.set_edns(own);
        }
        reply
    }

    /// How many bytes the asker takes.
    fn room(&self, protocol: Protocol) -> u16 {
        match (protocol, &self.message.edns) {
            (Protocol::Tcp, _) => u16::MAX,
            (Protocol::Udp, None) => UDP_BYTES_MIN,
            (Protocol::Udp, Some(edns)) => edns.max_payload().clamp(UDP_BYTES_MIN, UDP_BYTES_MAX),
        }
    }
}

fn question(query: &hickory_proto::op::Query) -> Question {
    let kind = match query.query_type() {
        RecordType::A => Kind::A,
        RecordType::AAAA => Kind::Aaaa,
        RecordType::SRV => Kind::Srv,
        RecordType::PTR => Kind::Ptr,
        // They ask for more than a name has.
        RecordType::ANY | RecordType::AXFR | RecordType::IXFR => return nothing_of_ours(),
        _ => Kind::Other,
    };
    if query.query_class() != DNSClass::IN {
        return nothing_of_ours();
    }
    let labels = query.name().iter();
    let labels = labels.map(|label| String::from_utf8_lossy(label).to_ascii_lowercase());
    Question {
        labels: labels.collect(),
        kind,
    }
}

fn nothing_of_ours() -> Question {
    Question {
        labels: Vec::new(),
        kind: Kind::Other,
    }
}

/// Who can be told so is told.
fn unreadable(bytes: &[u8]) -> Malformed {
    match bytes {
        [a, b, flags, ..] if bytes.len() >= 12 && flags & 0x80 == 0 => {
            let op_code = OpCode::from_u8(flags >> 3 & 0xf);
            let number = u16::from_be_bytes([*a, *b]);
            let reply = Message::error_msg(number, op_code, ResponseCode::FormErr);
            Malformed::Reply(encode(&reply))
        }
        _ => Malformed::Ignore,
    }
}

fn data(record: name::Record) -> Option<RData> {
    Some(match record {
        name::Record::Address(ip) => address(ip),
        name::Record::Server { port, target } => {
            let target = Name::from_ascii(format!("{target}.")).ok()?;
            RData::SRV(SRV::new(0, 100, port, target))
        }
        name::Record::Name(name) => RData::PTR(PTR(Name::from_ascii(format!("{name}.")).ok()?)),
    })
}

fn address(ip: IpAddr) -> RData {
    match ip {
        IpAddr::V4(v4) => RData::A(A(v4)),
        IpAddr::V6(v6) => RData::AAAA(AAAA(v6)),
    }
}

/// For how long it may be remembered that something is not there.
fn start_of(domain: &str) -> Option<Record> {
    let name = |text: String| Name::from_ascii(text).ok();
    let [refresh, retry, expire] = SOA_TIMES;
    let soa = SOA::new(
        name(format!("ns.dns.{domain}."))?,
        name(format!("hostmaster.{domain}."))?,
        1,
        refresh,
        retry,
        expire,
        TTL_S,
    );
    let owner = name(format!("{domain}."))?;
    Some(Record::from_rdata(owner, TTL_S, RData::SOA(soa)))
}

fn shuffled<T>(mut items: Vec<T>, mut below: impl FnMut(u64) -> u64) -> Vec<T> {
    for end in (1..items.len()).rev() {
        items.swap(end, below(end as u64 + 1) as usize);
    }
    items
}

/// What there is no room for is left out: first what was not asked for, then answers, and that is said.
fn fit(mut reply: Message, room: usize) -> Vec<u8> {
    let fits = |bytes: &[u8]| bytes.len() <= room && !is_cut(bytes);
    let mut bytes = encode(&reply);
    if !fits(&bytes) {
        reply.additionals.clear();
        bytes = encode(&reply);
    }
    if fits(&bytes) {
        return bytes;
    }
    let answers = mem::take(&mut reply.answers);
    let (mut enough, mut too_many) = (0, answers.len());
    while too_many - enough > 1 {
        let middle = enough + (too_many - enough) / 2;
        reply.answers = answers[..middle].to_vec();
        if fits(&encode(&reply)) {
            enough = middle;
        } else {
            too_many = middle;
        }
    }
    reply.answers = answers[..enough].to_vec();
    reply.metadata.truncation = true;
    encode(&reply)
}

/// Whether the codec has left something out, since no message may be that long; it says so itself.
fn is_cut(bytes: &[u8]) -> bool {
    bytes.get(2).is_some_and(|flags| flags & 2 != 0)
}

fn encode(reply: &Message) -> Vec<u8> {
    reply
        .to_vec()
        .expect("names that were read or made of valid parts fit into a message")
}
