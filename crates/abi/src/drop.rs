//! Why a packet was not let through.

/// Each reason has a counter and an event; the number is its index in both. Four bytes wide, as a verdict is: the compiler then
/// leaves no half of a `Result` undefined, which the verifier would refuse.
#[repr(u32)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Drop {
    /// Headers that end beyond the packet, or contradict each other.
    Malformed = 1,
    /// Neither IP nor ARP.
    UnknownEthertype,
    /// The source address is not the endpoint's own.
    SpoofedSource,
    EgressDenied,
    IngressDenied,
    /// Inside of a pod range of the mesh, but no pod has this address.
    NobodyThere,
    /// The address is on a node that packets can't be sent to.
    NodeUnreachable,
    /// The pod was deleted a moment ago.
    EndpointGone,
    /// A later fragment whose first one was not seen.
    FragmentWithoutHead,
    /// An ICMP error that belongs to no flow.
    IcmpWithoutFlow,
    /// A tunnel packet from an address that is no node of the mesh.
    UnknownNode,
    /// A tunnel packet with an identity that its node's cluster can't own.
    ForeignIdentity,
    /// A pod's address came in without a tunnel although its node uses one.
    NotEncapsulated,
    /// A tunnel packet for an address that is not on this node.
    NotOurs,
    /// Larger than the path; the sender was told.
    TooBig,
    /// Ran out of hops; the sender was told.
    HopLimit,
    /// Multicast and link-local chatter that no pod network carries.
    LinkLocal,
    /// More extension headers than a program follows.
    ExtensionHeaders,
    FlowTableFull,
    /// The kernel refused to add the outer headers.
    EncapFailed,
    /// The kernel refused to take the outer headers off.
    DecapFailed,
    /// From outside for a service, which has no backend that may answer.
    NoBackend,
    /// From outside for a service: a fragment, or a header with options.
    Untranslatable,
    /// From outside for a service whose backend is outside of the mesh, or at an address of this node that is not its main one.
    BackendNotInMesh,
    /// From outside for a service: no source port is left towards its backend.
    PortsExhausted,
    /// An answer of a service to outside, where no route leads.
    NoRouteToClient,
    /// From outside for a load balancer's address, which is not for this client.
    SourceNotAdmitted,
}

impl Drop {
    /// One past the last reason.
    pub const COUNT: usize = Drop::SourceNotAdmitted as usize + 1;

    pub const ALL: [Drop; Drop::COUNT - 1] = [
        Drop::Malformed,
        Drop::UnknownEthertype,
        Drop::SpoofedSource,
        Drop::EgressDenied,
        Drop::IngressDenied,
        Drop::NobodyThere,
        Drop::NodeUnreachable,
        Drop::EndpointGone,
        Drop::FragmentWithoutHead,
        Drop::IcmpWithoutFlow,
        Drop::UnknownNode,
        Drop::ForeignIdentity,
        Drop::NotEncapsulated,
        Drop::NotOurs,
        Drop::TooBig,
        Drop::HopLimit,
        Drop::LinkLocal,
        Drop::ExtensionHeaders,
        Drop::FlowTableFull,
        Drop::EncapFailed,
        Drop::DecapFailed,
        Drop::NoBackend,
        Drop::Untranslatable,
        Drop::BackendNotInMesh,
        Drop::PortsExhausted,
        Drop::NoRouteToClient,
        Drop::SourceNotAdmitted,
    ];

    pub fn from_number(number: u8) -> Option<Drop> {
        Drop::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }

    /// The word that counters and `monitor` use.
    pub const fn name(self) -> &'static str {
        match self {
            Drop::Malformed => "malformed",
            Drop::UnknownEthertype => "unknown-ethertype",
            Drop::SpoofedSource => "spoofed-source",
            Drop::EgressDenied => "egress-denied",
            Drop::IngressDenied => "ingress-denied",
            Drop::NobodyThere => "nobody-there",
            Drop::NodeUnreachable => "node-unreachable",
            Drop::EndpointGone => "endpoint-gone",
            Drop::FragmentWithoutHead => "fragment-without-head",
            Drop::IcmpWithoutFlow => "icmp-without-flow",
            Drop::UnknownNode => "unknown-node",
            Drop::ForeignIdentity => "foreign-identity",
            Drop::NotEncapsulated => "not-encapsulated",
            Drop::NotOurs => "not-ours",
            Drop::TooBig => "too-big",
            Drop::HopLimit => "hop-limit",
            Drop::LinkLocal => "link-local",
            Drop::ExtensionHeaders => "extension-headers",
            Drop::FlowTableFull => "flow-table-full",
            Drop::EncapFailed => "encap-failed",
            Drop::DecapFailed => "decap-failed",
            Drop::NoBackend => "no-backend",
            Drop::Untranslatable => "untranslatable",
            Drop::BackendNotInMesh => "backend-not-in-mesh",
            Drop::PortsExhausted => "ports-exhausted",
            Drop::NoRouteToClient => "no-route-to-client",
            Drop::SourceNotAdmitted => "source-not-admitted",
        }
    }

    /// What an operator does about it.
    pub const fn hint(self) -> &'static str {
        match self {
            Drop::Malformed => {
                "capture the packet at its sender; a broken driver or an attack makes such packets"
            }
            Drop::UnknownEthertype => "pods speak IPv4 and IPv6 only",
            Drop::SpoofedSource => {
                "the pod sends from an address that is not its own; look for a bridge or a VPN inside of it"
            }
            Drop::EgressDenied => {
                "no policy of the sender allows this; see `tombolo endpoint list`"
            }
            Drop::IngressDenied => {
                "no policy of the receiver allows this; see `tombolo endpoint list`"
            }
            Drop::NobodyThere => {
                "the pod was deleted, or its cluster has not told of it yet; see `tombolo ip list`"
            }
            Drop::NodeUnreachable => {
                "the node that holds this address is not known or has no route; see `tombolo node list`"
            }
            Drop::EndpointGone => "the pod was just deleted; nothing to do",
            Drop::FragmentWithoutHead => {
                "fragments arrive out of order or the first one was lost; lower the sender's packet size"
            }
            Drop::IcmpWithoutFlow => {
                "an error for a connection that this node does not know; harmless unless frequent"
            }
            Drop::UnknownNode => {
                "a machine outside of the mesh sends tunnel packets, or a new node's record has not arrived; see `tombolo node list`"
            }
            Drop::ForeignIdentity => {
                "a node claims identities of another cluster; check the cluster ids of both"
            }
            Drop::NotEncapsulated => {
                "the peer runs in native routing mode or somebody forges pod addresses; use one mode in both clusters"
            }
            Drop::NotOurs => {
                "the sender has an outdated place for this address; it heals when its records arrive"
            }
            Drop::TooBig => {
                "the sender was told the right size; if it goes on, something blocks ICMP inside of the pod"
            }
            Drop::HopLimit => "a trace, or a loop outside of the mesh",
            Drop::LinkLocal => {
                "nothing to do: routers are not asked for and multicast is not carried"
            }
            Drop::ExtensionHeaders => {
                "more than eight IPv6 extension headers; no honest sender does that"
            }
            Drop::FlowTableFull => "raise --flow-table-size of the agent",
            Drop::EncapFailed => {
                "the kernel refused the outer headers; check the MTU of the uplink"
            }
            Drop::DecapFailed => {
                "the kernel refused to take off the outer headers; report the kernel's version"
            }
            Drop::NoBackend => {
                "no backend is ready, or with externalTrafficPolicy Local none on this node; see `tombolo service explain`"
            }
            Drop::Untranslatable => {
                "fragments and IP options can't be led to a service from outside; lower the client's packet size"
            }
            Drop::BackendNotInMesh => {
                "from outside, services are led to pods and nodes of the mesh only, and on this node to the addresses that its agent is told of; see `tombolo service explain`"
            }
            Drop::PortsExhausted => {
                "too many connections from outside to one backend on another node; add backends"
            }
            Drop::NoRouteToClient => {
                "the node has no route back to the client; check it with `ip route get` for the client's address"
            }
            Drop::SourceNotAdmitted => {
                "the service's loadBalancerSourceRanges don't have the client's address; see `tombolo service explain`"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_one_to_one() {
        for (index, reason) in Drop::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index + 1);
            assert_eq!(Drop::from_number(reason as u8), Some(reason));
            for other in &Drop::ALL[index + 1..] {
                assert_ne!(reason.name(), other.name());
            }
        }
        assert_eq!(Drop::from_number(0), None);
        assert_eq!(Drop::from_number(Drop::COUNT as u8), None);
    }
}
