use super::*;
use tombolo_model::health::Target;

#[test]
fn who_is_silent_is_remembered() {
    let folder = std::env::temp_dir().join(format!("tombolo-silent-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("silent");
    let now = Duration::from_secs(7);
    assert_eq!(recall(&file, now), Silence::default());
    let node = NodeKey {
        cluster: "c2".into(),
        name: "n1".into(),
    };
    let silence = Silence {
        nodes: [(node, now)].into(),
        clusters: [(ClusterId(2), now)].into(),
        ..Silence::default()
    };
    save(&file, &silence).unwrap();
    assert_eq!(recall(&file, now), silence);
    fs::write(&file, "[1").unwrap();
    assert_eq!(recall(&file, now), Silence::default());
    fs::remove_dir_all(&folder).unwrap();
}

/// Loopback answers; a network that nobody routes to does not, and never has.
#[tokio::test]
async fn who_answers_is_counted() {
    let memory = std::env::temp_dir().join(format!("tombolo-asked-{}", std::process::id()));
    let (asker, health) = Asker::open(memory, None, Instant::now()).expect("root may ask");
    let target = |name: &str, address: [u8; 4]| Target {
        node: NodeKey {
            cluster: "c2".into(),
            name: name.into(),
        },
        cluster: ClusterId(2),
        address: address.into(),
    };
    health.aim(Aim {
        nodes: vec![target("n1", [127, 0, 0, 1]), target("n2", [127, 0, 0, 2])],
        backends: vec![target("n1", [127, 0, 1, 1])],
        ..Aim::default()
    });
    let (facts, _held) = mpsc::channel(1);
    let stop = CancellationToken::new();
    let mut tallies = health.tallies.clone();
    let is_well = |it: &Tallies| it.nodes.well == 2 && it.backends.well == 1;
    let wait = tallies.wait_for(|all| all.get(&ClusterId(2)).is_some_and(is_well));
    tokio::select! {
        ended = asker.follow(facts, stop) => panic!("{ended:?}"),
        told = wait => drop(told.expect("it asks")),
        () = tokio::time::sleep(Duration::from_secs(20)) => panic!("nobody answers"),
    }
}
