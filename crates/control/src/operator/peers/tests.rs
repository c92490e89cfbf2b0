use super::*;
use tombolo_model::fact::Source;

const TWO: Source = Source::Cluster(ClusterId(2));

fn key(name: &str) -> NodeKey {
    NodeKey {
        cluster: "two".into(),
        name: name.into(),
    }
}

fn upsert(name: &str, range: &str) -> Told {
    let node = Node {
        cluster_id: ClusterId(2),
        addresses: Vec::new(),
        pod_ranges: vec![range.parse().unwrap()],
    };
    node_told(Event::Upsert(key(name), node))
}

fn node_told(event: Event<NodeKey, Node>) -> Told {
    Told::Fact(Fact::Node(TWO, event))
}

#[tokio::test]
async fn ranges_of_nodes_are_known_for_as_long_as_their_cluster_has_them() {
    let role = Ranges {
        own: ClusterId(1),
        clusters_max: 255,
        known: Mutex::default(),
        told: watch::Sender::default(),
    };
    let mut told = role.told.subscribe();
    let mut now = async |batch: Vec<Told>| {
        let (sender, receiver) = mpsc::channel(1);
        sender.send(batch).await.unwrap();
        drop(sender);
        role.hear("two", receiver, &watch::Sender::new(Wish::Read))
            .await;
        let all = told.borrow_and_update().clone();
        let of_two: Option<Vec<String>> = all
            .get("two")
            .map(|ranges| ranges.iter().map(IpNet::to_string).collect());
        of_two.unwrap_or_default()
    };
    let first = [
        node_told(Event::Restart),
        upsert("n1", "10.2.0.0/24"),
        upsert("n2", "10.2.1.0/24"),
        node_told(Event::Synced),
    ];
    assert_eq!(now(first.into()).await, ["10.2.0.0/24", "10.2.1.0/24"]);
    assert_eq!(
        now(vec![upsert("n1", "10.2.7.0/24")]).await,
        ["10.2.7.0/24", "10.2.1.0/24"]
    );
    // What it had stays until it has told all anew.
    assert_eq!(now(vec![node_told(Event::Restart)]).await.len(), 2);
    let again = [upsert("n2", "10.2.1.0/24"), node_told(Event::Synced)];
    assert_eq!(now(again.into()).await, ["10.2.1.0/24"]);
    let gone = node_told(Event::Delete(key("n2")));
    assert_eq!(now(vec![gone]).await, [""; 0]);
    assert_eq!(now(vec![upsert("n3", "10.2.3.0/24")]).await.len(), 1);
    role.end("two");
    assert!(role.told.borrow().is_empty());
}
