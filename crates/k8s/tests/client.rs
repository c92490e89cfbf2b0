//! The client against a real API server.

mod plane;

use std::{collections::BTreeMap, time::Duration};

use plane::{PATIENCE, Plane};
use serde_json::{Value, json};
use tokio::time::timeout;
use tombolo_k8s::{
    Client, Kind, Object,
    client::{Api, Connect, Error, Item, ObjectName, Selection, Watch},
};
use tombolo_model::event::Event;

const ROUNDS: usize = 1200;

async fn client(plane: &Plane, user: &str) -> Client {
    Client::connect(&Connect {
        kubeconfig: Some(plane.kubeconfig(user)),
        context: None,
    })
    .await
    .unwrap()
}

fn config_map(name: &str, value: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default", "labels": {"of": "test"}},
        "data": {"key": value},
    })
}

fn ours() -> Selection {
    Selection::all(Api::CONFIG_MAPS)
        .within("default")
        .labels("of=test")
}

fn value(item: &Item) -> String {
    let read: Value = item.read().unwrap();
    read["data"]["key"].as_str().unwrap().to_owned()
}

/// What a watch has told, and how often it began anew.
struct Mirror {
    watch: Watch,
    objects: BTreeMap<ObjectName, String>,
    seen: BTreeMap<ObjectName, String>,
    synced: usize,
    recovered: usize,
    troubles: Vec<String>,
}

impl Mirror {
    fn new(watch: Watch) -> Mirror {
        Mirror {
            watch,
            objects: BTreeMap::new(),
            seen: BTreeMap::new(),
            synced: 0,
            recovered: 0,
            troubles: Vec::new(),
        }
    }

    async fn until(&mut self, what: &str, holds: impl Fn(&Mirror) -> bool) {
        let turns = async {
            while !holds(self) {
                match self.watch.next().await {
                    Ok(Some(Ok(event))) => self.take(event),
                    Ok(Some(Err(reject))) => panic!("{reject}"),
                    Ok(None) => self.recovered += 1,
                    Err(error) => self.troubles.push(error.to_string()),
                }
            }
        };
        let done = timeout(PATIENCE, turns).await;
        assert!(done.is_ok(), "waited in vain: {what}; {:?}", self.troubles);
    }

    fn take(&mut self, event: Event<ObjectName, Item>) {
        match event {
            Event::Restart => self.seen.clear(),
            Event::Upsert(name, item) => {
                let value = value(&item);
                self.seen.insert(name.clone(), value.clone());
                self.objects.insert(name, value);
            }
            Event::Delete(name) => {
                self.objects.remove(&name);
            }
            Event::Synced => {
                self.objects = std::mem::take(&mut self.seen);
                self.synced += 1;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_written_read_and_watched() {
    let mut plane = Plane::with(&["--etcd-compaction-interval=1s"]);
    let client = client(&plane, "master").await;
    assert!(client.version().await.unwrap().starts_with("v1."));
    one_object(&client).await;
    many_objects(&mut plane, &client).await;
    refusals(&plane, &client).await;
    records_of_a_kind(&plane, &client).await;
}

async fn one_object(client: &Client) {
    let name = Api::CONFIG_MAPS.name("default", "one");
    assert!(client.get(Api::CONFIG_MAPS, &name).await.unwrap().is_none());
    let map = config_map("one", "a");
    let made = client
        .create(Api::CONFIG_MAPS, "default", &map)
        .await
        .unwrap();
    let again = client.create(Api::CONFIG_MAPS, "default", &map).await;
    assert!(matches!(again, Err(Error::Exists { .. })), "{again:?}");

    let patch = json!({"data": {"key": "b"}});
    let patched = client.patch(Api::CONFIG_MAPS, &name, &patch).await.unwrap();
    assert_eq!(value(&patched), "b");
    // An update that rests on what is no more so is refused.
    let mut stale: Value = made.read().unwrap();
    stale["data"]["key"] = "c".into();
    let stale = client.replace(Api::CONFIG_MAPS, &name, &stale).await;
    assert!(matches!(stale, Err(Error::Conflict { .. })), "{stale:?}");
    let mut fresh: Value = patched.read().unwrap();
    fresh["data"]["key"] = "c".into();
    let fresh = client
        .replace(Api::CONFIG_MAPS, &name, &fresh)
        .await
        .unwrap();
    assert_eq!(value(&fresh), "c");

    let applied = client
        .apply(Api::CONFIG_MAPS, &name, &config_map("one", "d"))
        .await;
    assert_eq!(value(&applied.unwrap()), "d");
    let other = client
        .delete(Api::CONFIG_MAPS, &name, Some("another uid"))
        .await;
    assert!(matches!(other, Err(Error::Conflict { .. })), "{other:?}");
    let stale = client
        .delete_version(Api::CONFIG_MAPS, &name, fresh.version())
        .await;
    assert!(matches!(stale, Err(Error::Conflict { .. })), "{stale:?}");
    assert!(
        client
            .delete(Api::CONFIG_MAPS, &name, Some(made.uid()))
            .await
            .unwrap()
    );
    assert!(!client.delete(Api::CONFIG_MAPS, &name, None).await.unwrap());
}

async fn many_objects(plane: &mut Plane, client: &Client) {
    let name = |number: usize| Api::CONFIG_MAPS.name("default", &format!("map-{number}"));
    // More than two pages.
    for number in 0..ROUNDS {
        let map = config_map(&format!("map-{number}"), "a");
        client
            .create(Api::CONFIG_MAPS, "default", &map)
            .await
            .unwrap();
    }
    assert_eq!(client.list(&ours()).await.unwrap().len(), ROUNDS);
    let mut mirror = Mirror::new(client.watch(ours()));
    mirror.until("the list", |mirror| mirror.synced == 1).await;
    assert_eq!(mirror.objects.len(), ROUNDS);

    let one = Selection::one(Api::CONFIG_MAPS, "default", "map-1");
    let mut single = Mirror::new(client.watch(one));
    single.until("the one", |mirror| mirror.synced == 1).await;
    assert_eq!(single.objects.len(), 1);

    let patch = json!({"data": {"key": "b"}});
    client
        .patch(Api::CONFIG_MAPS, &name(7), &patch)
        .await
        .unwrap();
    client
        .delete(Api::CONFIG_MAPS, &name(8), None)
        .await
        .unwrap();
    mirror
        .until("the changes", |mirror| {
            mirror
                .objects
                .get(&name(7))
                .is_some_and(|value| value == "b")
                && !mirror.objects.contains_key(&name(8))
        })
        .await;

    // The server goes away and comes back: no new list, and nothing lost.
    plane.stop_server();
    mirror
        .until("the trouble", |mirror| !mirror.troubles.is_empty())
        .await;
    assert!(
        mirror.troubles[0].contains("does not answer"),
        "{:?}",
        mirror.troubles
    );
    plane.start_server();
    mirror
        .until("the end of the trouble", |mirror| mirror.recovered == 1)
        .await;
    client
        .patch(Api::CONFIG_MAPS, &name(9), &patch)
        .await
        .unwrap();
    mirror
        .until("the change after", |mirror| {
            mirror
                .objects
                .get(&name(9))
                .is_some_and(|value| value == "b")
        })
        .await;
    assert_eq!(mirror.synced, 1);

    // It comes back with the past forgotten: all is told anew, and what went meanwhile is swept.
    let mut late = Mirror::new(client.watch(ours()));
    late.until("a list", |mirror| mirror.synced == 1).await;
    client
        .delete(Api::CONFIG_MAPS, &name(10), None)
        .await
        .unwrap();
    for round in 0..3 {
        let patch = json!({"data": {"key": round.to_string()}});
        client
            .patch(Api::CONFIG_MAPS, &name(11), &patch)
            .await
            .unwrap();
        // Two intervals of compaction, of which each forgets what was before the one before.
        tokio::time::sleep(Duration::from_millis(1500)).await;
    }
    plane.stop_server();
    plane.start_server();
    late.until("the list anew", |mirror| mirror.synced == 2)
        .await;
    assert_eq!(late.objects.get(&name(11)).map(String::as_str), Some("2"));
    assert!(!late.objects.contains_key(&name(10)));
    assert_eq!(late.objects.len(), ROUNDS - 2);
}

async fn refusals(plane: &Plane, master: &Client) {
    let nobody = client(plane, "nobody").await;
    let secret = Api::SECRETS.name("kube-system", "keys");
    let error = nobody.get(Api::SECRETS, &secret).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::Forbidden { .. }), "{text}");
    assert!(
        text.contains("may not get Secret kube-system/keys"),
        "{text}"
    );
    let error = nobody.list(&Selection::all(Api::PODS)).await.unwrap_err();
    assert!(error.to_string().contains("may not list pods"), "{error}");
    let error = nobody.watch(Selection::all(Api::NODES)).next().await;
    assert!(matches!(error, Err(Error::Forbidden { .. })), "{error:?}");

    let stranger = client(plane, "stranger").await;
    let error = stranger.list(&Selection::all(Api::PODS)).await.unwrap_err();
    assert!(matches!(error, Error::Credentials { .. }), "{error}");
    assert!(error.to_string().contains("expired"), "{error}");

    let error = master
        .list(&Selection::all(Api::CILIUM_NODES))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::NoKind { .. }), "{error}");
    assert!(
        error.to_string().contains("Tombolo is not installed there"),
        "{error}"
    );

    let invalid =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "NOT A NAME"}});
    let error = master
        .create(Api::CONFIG_MAPS, "default", &invalid)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("metadata.name: "), "{error}");
    let large = config_map("large", &"x".repeat(2 << 20));
    let error = master
        .create(Api::CONFIG_MAPS, "default", &large)
        .await
        .unwrap_err();
    assert!(!error.is_passing(), "{error}");
}

/// Items become the objects that peers are told of.
async fn records_of_a_kind(plane: &Plane, client: &Client) {
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: default}\nspec: {ports: [{port: 80}]}\n";
    plane.apply(service).unwrap();
    let mut watch = client.watch(Selection::all(Api::of(Kind::Service)));
    let mut found = Vec::new();
    loop {
        match watch.next().await.unwrap().unwrap().unwrap() {
            Event::Upsert(_, item) => found.push(item.object(Kind::Service).unwrap()),
            Event::Synced => break,
            _ => {}
        }
    }
    let web = found.iter().find(|(key, _)| key.name == "web").unwrap();
    assert_eq!(web.0.to_string(), "Service default/web");
    assert!(matches!(&web.1, Object::Service(service) if service.ports.len() == 1));
}
