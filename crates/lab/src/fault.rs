//! What is done to wires: cut, slow, small, lossy, late.
//!
//! Each verb sets one property of one wire to a value, or back; the state remembers them all.

use crate::{
    Error,
    error::Result,
    fabric::{self, DEVICE, SWITCH, UPLINK, port, router_port},
    plan::{Fabric, MachineId, Namespace, Target, cluster_pod_ranges, subnets},
    relay,
    site::Site,
    state::{Faults, Lab},
    tc::Device,
};

/// IPv6 works down to this.
const MTU_MIN: u32 = 1280;
const MTU_MAX: u32 = 9000;

pub fn cut(lab: &mut Lab, target: Target, on: bool) -> Result<()> {
    lab.check_target(target)?;
    needs_router(lab, "cutting")?;
    match target {
        Target::Machine(machine) => {
            let gateway = gateway(lab, machine.cluster())?;
            let index = gateway.index(&port(machine))?;
            if on {
                gateway.netlink.set_down(index)?;
            } else {
                gateway.netlink.set_up(index)?;
            }
            faults(lab, target).cut = on;
        }
        Target::Cluster(_) => {
            faults(lab, target).cut = on;
            apply_loss(lab, target)?;
        }
        Target::Pair(a, b) => {
            for (from, to) in [(a, b), (b, a)] {
                let gateway = gateway(lab, from)?;
                for range in subnets(to).into_iter().chain(cluster_pod_ranges(to)) {
                    gateway.set_blackhole(range, on)?;
                }
            }
            if on {
                lab.state.cuts.insert((a, b));
            } else {
                lab.state.cuts.remove(&(a, b));
            }
        }
    }
    lab.save()
}

pub fn set_mtu(lab: &mut Lab, target: Target, mtu: u32) -> Result<()> {
    lab.check_target(target)?;
    in_range("MTU", mtu, MTU_MIN, MTU_MAX)?;
    let other_than_made = (mtu != fabric::MTU).then_some(mtu);
    match target {
        Target::Machine(_) if lab.shape.fabric == Fabric::Direct => {
            // A wire has two ends.
            for machine in lab.shape.machines() {
                Site::open(&lab.name, Namespace::Machine(machine))?.set_mtu(DEVICE, mtu)?;
                faults(lab, Target::Machine(machine)).mtu = other_than_made;
            }
        }
        Target::Machine(machine) => {
            let gateway = gateway(lab, machine.cluster())?;
            Site::open(&lab.name, Namespace::Machine(machine))?.set_mtu(DEVICE, mtu)?;
            gateway.set_mtu(&port(machine), mtu)?;
            faults(lab, target).mtu = other_than_made;
            let largest = largest_mtu(lab, machine.cluster());
            gateway.set_mtu(SWITCH, largest)?;
            if lab.machines[&machine].faults.delay_ms.is_some() {
                relay::widen(&gateway, machine, mtu)?;
            }
            fabric::limit(&gateway, &lab.shape, machine, other_than_made)?;
        }
        Target::Cluster(cluster) => {
            needs_router(lab, "a smaller wire between clusters")?;
            gateway(lab, cluster)?.set_mtu(UPLINK, mtu)?;
            Site::open(&lab.name, Namespace::Router)?.set_mtu(&router_port(cluster), mtu)?;
            faults(lab, target).mtu = other_than_made;
        }
        Target::Pair(..) => return Err(not_a_pair(target)),
    }
    lab.save()
}

/// Limits both directions; 0 lifts the limit.
pub fn set_rate(lab: &mut Lab, target: Target, mbit: u32) -> Result<()> {
    lab.check_target(target)?;
    needs_router(lab, "a rate")?;
    in_range("rate in Mbit/s", mbit, 0, 100_000)?;
    let rate = (mbit > 0).then_some(mbit);
    let ends = match target {
        Target::Machine(machine) => [
            (Namespace::Gateway(machine.cluster()), port(machine)),
            (Namespace::Machine(machine), DEVICE.into()),
        ],
        Target::Cluster(cluster) => [
            (Namespace::Gateway(cluster), UPLINK.into()),
            (Namespace::Router, router_port(cluster)),
        ],
        Target::Pair(..) => return Err(not_a_pair(target)),
    };
    for (namespace, device) in ends {
        let netns = namespace.name(&lab.name);
        let device = Device {
            netns: &netns,
            name: &device,
        };
        device.set_rate(rate)?;
    }
    faults(lab, target).rate_mbit = rate;
    lab.save()
}

/// Loses a share of the packets of each direction; 0 loses none.
pub fn set_loss(lab: &mut Lab, target: Target, percent: f64) -> Result<()> {
    lab.check_target(target)?;
    needs_router(lab, "loss")?;
    if !(0.0..=100.0).contains(&percent) {
        return Err(out_of_range("loss in percent", percent.to_string(), 0, 100));
    }
    if let Target::Pair(..) = target {
        return Err(not_a_pair(target));
    }
    faults(lab, target).loss_percent = (percent > 0.0).then_some(percent);
    apply_loss(lab, target)?;
    lab.save()
}

fn apply_loss(lab: &mut Lab, target: Target) -> Result<()> {
    let Faults {
        cut, loss_percent, ..
    } = *faults(lab, target);
    let (cluster, device, percent) = match target {
        Target::Machine(machine) => (machine.cluster(), port(machine), loss_percent),
        Target::Cluster(cluster) => {
            let percent = if cut { Some(100.0) } else { loss_percent };
            (cluster, UPLINK.to_owned(), percent)
        }
        Target::Pair(..) => return Err(not_a_pair(target)),
    };
    let netns = Namespace::Gateway(cluster).name(&lab.name);
    Device {
        netns: &netns,
        name: &device,
    }
    .set_loss(percent)
}

/// Holds the packets of each direction for so long; 0 takes the relay away.
pub fn set_delay(lab: &mut Lab, machine: MachineId, delay_ms: u32) -> Result<()> {
    lab.machine(machine)?;
    needs_router(lab, "a delay")?;
    in_range("delay in ms", delay_ms, 0, 10_000)?;
    let gateway = gateway(lab, machine.cluster())?;
    relay::remove(lab, &gateway, machine)?;
    if delay_ms > 0 {
        relay::insert(lab, &gateway, machine, delay_ms)?;
    }
    faults(lab, Target::Machine(machine)).delay_ms = (delay_ms > 0).then_some(delay_ms);
    lab.save()
}

/// Makes a machine's wire what it was, before the machine goes.
pub fn forget(lab: &mut Lab, machine: MachineId) -> Result<()> {
    let target = Target::Machine(machine);
    let known = *faults(lab, target);
    if known.delay_ms.is_some() {
        set_delay(lab, machine, 0)?;
    }
    if known.mtu.is_some() {
        set_mtu(lab, target, fabric::MTU)?;
    }
    Ok(())
}

fn gateway(lab: &Lab, cluster: u8) -> Result<Site> {
    Site::open(&lab.name, Namespace::Gateway(cluster))
}

fn largest_mtu(lab: &Lab, cluster: u8) -> u32 {
    let machines = lab.machines.iter();
    let of_cluster = machines.filter(|(machine, _)| machine.cluster() == cluster);
    let mtus = of_cluster.filter_map(|(_, machine)| machine.faults.mtu);
    mtus.fold(fabric::MTU, u32::max)
}

fn faults(lab: &mut Lab, target: Target) -> &mut Faults {
    match target {
        Target::Machine(machine) => {
            let machine = lab.state.machines.get_mut(&machine);
            &mut machine.expect("the target was checked").faults
        }
        Target::Cluster(cluster) => lab.state.clusters.entry(cluster).or_default(),
        Target::Pair(..) => unreachable!("pairs have no faults but cuts"),
    }
}

fn needs_router(lab: &Lab, what: &'static str) -> Result<()> {
    match lab.shape.fabric {
        Fabric::Router => Ok(()),
        Fabric::Direct => Err(Error::NoFabric { what }),
    }
}

fn not_a_pair(target: Target) -> Error {
    Error::Pair {
        pair: target.to_string(),
    }
}

fn in_range(what: &'static str, value: u32, low: u32, high: u32) -> Result<()> {
    if (low..=high).contains(&value) {
        Ok(())
    } else {
        Err(out_of_range(what, value.to_string(), low, high))
    }
}

fn out_of_range(what: &'static str, value: String, low: u32, high: u32) -> Error {
    Error::OutOfRange {
        what,
        value,
        low,
        high,
    }
}
