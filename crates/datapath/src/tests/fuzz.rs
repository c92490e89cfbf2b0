//! Packets that nobody sends, made of those that everybody sends: no program fails, no pod gets a broken packet or another's, and
//! what leaves the node has right headers.

use super::{mutate::mutate, node::*, packets::*, random::Random, run::*, shapes::*, trial::Trial};
use tombolo_model::net::RoutingMode;

const SEED: u64 = 0x5eed;
const ROUNDS: u64 = 150_000;
/// What all kinds of packets there are between two ends, in both directions.
fn between(near: &str, far: &str) -> [Vec<Vec<u8>>; 2] {
    let [there, back] = [(near, far), (far, near)].map(|(from, to)| {
        let (a, b) = if from == near { (4000, 80) } else { (80, 4000) };
        let segment = |flags, size| tcp((ip(from), a), (ip(to), b), flags, &vec![7; size]);
        let datagram = udp((ip(from), a), (ip(to), b), &[7; 100]);
        let (head, tail) = fragments(&datagram, 1, 16);
        let mut some = vec![
            segment(SYN, 0),
            segment(ACK, 10),
            segment(FIN | ACK, 0),
            segment(RST, 0),
            segment(ACK, 1430),
            head,
            tail,
            echo(ip(from), ip(to), from == near, 7),
            complaint(
                ip(from),
                Complaint::Unreachable,
                &udp((ip(to), b), (ip(from), a), b"?"),
                48,
            ),
            complaint(
                ip(from),
                Complaint::TooBig,
                &tcp((ip(to), b), (ip(from), a), ACK, b""),
                68,
            ),
        ];
        if is_v4(&datagram) {
            some.push(with_options(&datagram));
        } else {
            some.push(with_extensions(&datagram, &[0, 60, 43, 51]));
            some.push(with_extensions(&datagram, &[44, 60]));
        }
        some.push(datagram);
        some
    });
    [there, back]
}

fn shapes(routing: RoutingMode) -> Vec<(At, Vec<u8>)> {
    let mut all = Vec::new();
    let mut add =
        |at: At, frames: Vec<Vec<u8>>| all.extend(frames.into_iter().map(|frame| (at, frame)));
    for (near, far, outer) in [
        (POD_A, FAR, [PEER, NODE]),
        (POD_A_V6, FAR_V6, [PEER, NODE]),
        (POD_A, FARTHER, [PEER_V6, NODE_V6]),
        (POD_A_V6, FARTHER_V6, [PEER_V6, NODE_V6]),
    ] {
        let [there, back] = between(near, far);
        add(At::PodA, there);
        if routing == RoutingMode::Tunnel {
            let [peer, own] = outer.map(ip);
            let wrapped = |frame: &Vec<u8>| vxlan(peer, own, ID_FAR, frame);
            add(At::Overlay, back.clone());
            add(At::Uplink, back.iter().map(wrapped).collect());
        } else {
            add(At::Uplink, back);
        }
    }
    for (near, other, router, world) in [
        (POD_A, POD_B, ROUTER, WORLD),
        (POD_A_V6, POD_B_V6, ROUTER_V6, WORLD_V6),
    ] {
        let [there, back] = between(near, other);
        add(At::PodA, there);
        add(At::PodB, back);
        for end in [router, world] {
            let [there, back] = between(near, end);
            add(At::PodA, there);
            add(At::Host, back);
        }
    }
    let gateway = [10, 1, 1, 1];
    add(At::PodA, vec![arp(1, [10, 1, 1, 5], gateway)]);
    add(
        At::PodA,
        vec![solicitation(ip(POD_A_V6), ip(ROUTER_V6), true)],
    );
    let outer = vxlan(ip(NODE), ip(PEER), ID_A, &between(POD_A, FAR)[0][4]);
    add(
        At::Uplink,
        vec![complaint_to(ip(WORLD), ip(NODE), (3, 4), &outer, 68)],
    );
    all
}

fn fuzz(routing: RoutingMode) {
    on_node(routing, |node| {
        let shapes = shapes(routing);
        let mut random = Random::new(SEED);
        let mut verdicts = [0u64; 3];
        for round in 0..ROUNDS {
            let (at, shape) = &shapes[random.below(shapes.len())];
            // All flows are known now and then, so that the quick way is tried too.
            let is_whole = random.below(8) == 0;
            let other = &shapes[random.below(shapes.len())].1;
            let packet = if is_whole {
                shape.clone()
            } else {
                mutate(&mut random, shape, other)
            };
            let all = [At::PodA, At::PodB, At::Host, At::Uplink, At::Overlay];
            let at = if random.below(16) == 0 {
                random.pick(&all)
            } else {
                *at
            };
            let beside = Beside {
                // Only the kernel makes large packets, and it makes no broken ones.
                gso_size: if is_whole && random.below(4) == 0 {
                    536
                } else {
                    0
                },
                mark: if random.below(16) == 0 {
                    random.next() as u32
                } else {
                    0
                },
                repeat: 1,
            };
            let outcome = node.send_beside(at, &packet, beside);
            verdicts[match outcome.verdict {
                SHOT => 0,
                NEXT => 1,
                _ => 2,
            }] += 1;
            let trial = Trial {
                at,
                sent: &packet,
                mark: beside.mark,
                outcome: &outcome,
                routing,
            };
            if let Some(fault) = trial.fault() {
                panic!(
                    "seed {SEED:#x}, round {round}, {at:?}, {beside:?}: {fault}\n{packet:02x?}\nbecame\n{:02x?}\n{}",
                    outcome.packet, outcome.verdict
                );
            }
        }
        println!("{routing:?}: {ROUNDS} packets: dropped, left, sent: {verdicts:?}");
        assert!(
            verdicts.iter().all(|count| *count > ROUNDS / 50),
            "{verdicts:?}"
        );
    });
}

#[test]
fn broken_packets_break_nothing_by_tunnel() {
    fuzz(RoutingMode::Tunnel);
}

#[test]
fn broken_packets_break_nothing_without_a_tunnel() {
    fuzz(RoutingMode::Native);
}
