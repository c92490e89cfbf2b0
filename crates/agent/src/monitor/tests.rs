use super::*;
use tombolo_model::{id::Identity, reason::Peer};

fn flow(verdict: FlowVerdict, bytes: u32) -> Flow {
    let peer = Peer {
        address: None,
        port: 0,
        identity: Identity::WORLD,
        endpoint: None,
    };
    Flow {
        time_ns: 0,
        verdict,
        seen_at: "pod".into(),
        reason: None,
        hint: None,
        source: peer.clone(),
        destination: peer,
        protocol: "TCP".into(),
        bytes,
        ifindex: 1,
    }
}

#[test]
fn allowed_flows_are_for_those_who_asked() {
    let mut hub = Hub::default();
    let mut drops = hub.subscribe(false).unwrap();
    assert!(!hub.wants_allowed());
    let mut all = hub.subscribe(true).unwrap();
    assert!(hub.wants_allowed());
    hub.publish(&[flow(FlowVerdict::Allowed, 1), flow(FlowVerdict::Dropped, 2)]);
    assert!(matches!(drops.try_recv(), Ok(Reply::Flow(flow)) if flow.bytes == 2));
    assert!(drops.try_recv().is_err());
    assert!(matches!(all.try_recv(), Ok(Reply::Flow(flow)) if flow.bytes == 1));
    drop(all);
    assert!(!hub.wants_allowed());
}

#[test]
fn the_slow_are_told_what_they_lost() {
    let mut hub = Hub::default();
    let mut slow = hub.subscribe(false).unwrap();
    for _ in 0..QUEUE + 7 {
        hub.publish(&[flow(FlowVerdict::Dropped, 1)]);
    }
    assert_eq!(hub.lost(), 7);
    slow.try_recv().unwrap();
    slow.try_recv().unwrap();
    hub.publish(&[flow(FlowVerdict::Dropped, 99)]);
    let mut replies = Vec::new();
    while let Ok(reply) = slow.try_recv() {
        replies.push(reply);
    }
    let end = &replies[replies.len() - 2..];
    assert!(
        matches!(end, [Reply::Lost { flows: 7 }, Reply::Flow(flow)] if flow.bytes == 99),
        "{end:?}"
    );
}

#[test]
fn subscribers_are_limited() {
    let mut hub = Hub::default();
    let mut held: Vec<_> = (0..SUBSCRIBERS_MAX)
        .map(|_| hub.subscribe(false).unwrap())
        .collect();
    assert!(hub.subscribe(false).is_none());
    held.pop();
    assert!(hub.subscribe(false).is_some());
}
