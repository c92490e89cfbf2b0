//! Packets put through a node's programs one at a time by the kernel's test-run call, and what came of them.

use super::node::Node;
use crate::{
    Counters,
    programs::{self, FROM_CONTAINER, FROM_HOST, FROM_OVERLAY, FROM_UPLINK, OUTSIDE, TO_UPLINK},
};
use aya::{
    maps::{Array, HashMap, Map, MapData},
    programs::{TestRun, TestRunOptions},
};
use std::collections::BTreeMap;
use tombolo_abi::{Drop, Flow, FlowKey, PathMtu};

/// What the kernel is told to do with a packet.
pub const NEXT: i32 = -1;
pub const SHOT: i32 = 2;
pub const REDIRECT: i32 = 7;

/// Where a packet comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    PodA,
    PodB,
    Host,
    Uplink,
    Overlay,
    /// The second program at the uplink, which sees what the first has left to the node's own stack.
    Outside,
    /// Where packets leave by the uplink.
    Leaving,
}

/// What became of a packet.
#[derive(Debug)]
pub struct Outcome {
    pub verdict: i32,
    pub packet: Vec<u8>,
    pub mark: u32,
    pub nanoseconds: u128,
}

/// What the kernel knows of a packet beside its bytes, and how often it goes through.
#[derive(Clone, Copy, Debug)]
pub struct Beside {
    pub mark: u32,
    /// Not 0 for a large packet that is cut later.
    pub gso_size: u32,
    pub repeat: u32,
}

impl Default for Beside {
    fn default() -> Beside {
        Beside {
            mark: 0,
            gso_size: 0,
            repeat: 1,
        }
    }
}

impl Node {
    /// Puts a packet through a program as if it had come in by `ifindex`.
    pub fn run(&mut self, program: &'static str, ifindex: u32, packet: &[u8]) -> Outcome {
        self.run_beside(program, ifindex, packet, Beside::default())
    }

    pub fn run_beside(
        &mut self,
        program: &'static str,
        ifindex: u32,
        packet: &[u8],
        beside: Beside,
    ) -> Outcome {
        let program = programs::get(self.datapath.ebpf(), program).expect("the program");
        let mut out = vec![0; packet.len() + 256];
        let context_in = context(ifindex, beside);
        let mut context_out = [0; CONTEXT];
        let mut options = TestRunOptions::new();
        options.data_in = Some(packet);
        options.data_out = Some(&mut out);
        options.ctx_in = Some(&context_in);
        options.ctx_out = Some(&mut context_out);
        options.repeat = beside.repeat;
        let result = program
            .test_run(options)
            .expect("the kernel runs the program");
        out.truncate(result.data_size_out as usize);
        Outcome {
            verdict: result.return_value.cast_signed(),
            packet: out,
            mark: u32::from_ne_bytes(context_out[8..12].try_into().expect("four bytes")),
            nanoseconds: result.duration.as_nanos(),
        }
    }

    pub fn send(&mut self, at: At, packet: &[u8]) -> Outcome {
        self.send_beside(at, packet, Beside::default())
    }

    pub fn send_beside(&mut self, at: At, packet: &[u8], beside: Beside) -> Outcome {
        let (program, ifindex) = match at {
            At::PodA => (FROM_CONTAINER, self.ifindex_a),
            At::PodB => (FROM_CONTAINER, self.ifindex_b),
            At::Host => (FROM_HOST, self.net),
            At::Uplink => (FROM_UPLINK, self.uplink),
            At::Overlay => (FROM_OVERLAY, self.uplink),
            At::Outside => (OUTSIDE, self.uplink),
            At::Leaving => (TO_UPLINK, self.uplink),
        };
        self.run_beside(program, ifindex, packet, beside)
    }

    /// Sends a packet that is to pass: delivered, sent on, or left to the node's stack.
    pub fn pass(&mut self, at: At, packet: &[u8]) -> Outcome {
        let before = self.counters();
        let outcome = self.send(at, packet);
        let after = self.counters();
        assert_ne!(
            outcome.verdict,
            SHOT,
            "{at:?}: {:?}",
            risen(&before, &after)
        );
        assert!(
            risen(&before, &after).is_empty(),
            "{at:?}: passed and dropped"
        );
        outcome
    }

    /// Sends a packet that is to be dropped for this reason, which is counted once.
    pub fn refuse(&mut self, at: At, packet: &[u8], reason: Drop) {
        let (outcome, found) = self.try_send(at, packet);
        assert_eq!(found, Some(reason), "{at:?}: {outcome:?}");
        assert_eq!(outcome.verdict, SHOT, "{at:?}: {reason:?}");
    }

    /// Sends a packet and says what it was dropped for. At most one counter rises, and by one packet of its length.
    pub fn try_send(&mut self, at: At, packet: &[u8]) -> (Outcome, Option<Drop>) {
        let before = self.counters();
        let outcome = self.send(at, packet);
        let after = self.counters();
        let risen = risen(&before, &after);
        let reason = risen.keys().next().map(|name| by_name(name));
        match risen.values().next() {
            None => assert_ne!(outcome.verdict, SHOT, "{at:?}: dropped and not counted"),
            Some(counted) => assert_eq!(
                (risen.len(), counted.0),
                (1, 1),
                "{at:?}: a drop is counted once: {risen:?}"
            ),
        }
        (outcome, reason)
    }

    pub fn counters(&self) -> Counters {
        self.datapath.counters().expect("counters")
    }

    pub fn drops(&self, reason: Drop) -> u64 {
        let drops = self.counters().drops;
        drops.get(reason.name()).map_or(0, |(packets, _)| *packets)
    }

    pub fn slow_path(&self) -> u64 {
        self.counters().slow_path
    }

    /// Sends a packet that passes, and says whether the flow table had the answer.
    pub fn is_quick(&mut self, at: At, packet: &[u8]) -> bool {
        let before = self.slow_path();
        self.pass(at, packet);
        self.slow_path() == before
    }

    fn flow_table(&self) -> HashMap<MapData, FlowKey, Flow> {
        let data = MapData::from_pin(self.map_path("FLOWS")).expect("the flow table is pinned");
        Map::LruHashMap(data).try_into().expect("the flow table")
    }

    /// All entries of the flow table.
    pub fn flows(&self) -> Vec<(FlowKey, Flow)> {
        let entries = self.flow_table().iter().collect::<Result<_, _>>();
        entries.expect("entries")
    }

    /// The one entry of the flow table.
    pub fn flow(&self) -> Flow {
        let flows = self.flows();
        assert_eq!(flows.len(), 1, "{flows:?}");
        flows[0].1
    }

    /// Changes every entry of the flow table behind the programs' back, which is how time passes here.
    pub fn change_flows(&mut self, change: impl Fn(&mut Flow)) {
        let mut table = self.flow_table();
        for (key, mut flow) in self.flows() {
            change(&mut flow);
            table.insert(key, flow, 0).expect("an entry");
        }
    }

    pub fn set_path_mtu(&mut self, slot: u32, told: PathMtu) {
        let data = MapData::from_pin(self.map_path("PATH_MTU")).expect("the map is pinned");
        let mut table: Array<_, PathMtu> = Map::Array(data).try_into().expect("the map");
        table.set(slot, told, 0).expect("an entry");
    }
}

fn risen(before: &Counters, after: &Counters) -> BTreeMap<String, (u64, u64)> {
    let former = |name| before.drops.get(name).copied().unwrap_or_default();
    let differences = after.drops.iter().map(|(name, now)| {
        let then = former(name);
        (name.clone(), (now.0 - then.0, now.1 - then.1))
    });
    differences
        .filter(|(_, (packets, _))| *packets != 0)
        .collect()
}

fn by_name(name: &str) -> Drop {
    let mut all = Drop::ALL.into_iter();
    all.find(|reason| reason.name() == name).expect("a reason")
}

/// Size of the kernel's `struct __sk_buff`.
const CONTEXT: usize = 192;

/// The fields of `struct __sk_buff` that a test may set.
fn context(ifindex: u32, beside: Beside) -> [u8; CONTEXT] {
    let mut bytes = [0; CONTEXT];
    for (offset, value) in [(8, beside.mark), (40, ifindex), (176, beside.gso_size)] {
        bytes[offset..offset + 4].copy_from_slice(&value.to_ne_bytes());
    }
    bytes
}
