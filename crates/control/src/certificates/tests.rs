use super::{names::SERVER_NAME, *};
use std::sync::atomic::{AtomicU32, Ordering};
use tombolo_kvstore::{Keys, Right, Role};

struct Place(PathBuf);

impl Place {
    fn new() -> Place {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tombolo-certificates-{}-{number}", std::process::id());
        Place(std::env::temp_dir().join(name))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_first_start_makes_all_and_a_second_one_nothing() {
    let place = Place::new();
    let names = ["192.0.2.7".to_owned()];
    let made = Certificates::ensure(&place.0, "c1", &names).unwrap();
    made.server()
        .server(Default::default())
        .expect("rustls takes them");
    let listed = made.list().unwrap();
    let found: Vec<_> = listed
        .iter()
        .map(|listed| {
            // The part of a day that has passed since does not count.
            let days = (listed.days_left + 1) / 5 * 5;
            (listed.name.as_str(), listed.common_name.as_str(), days)
        })
        .collect();
    assert_eq!(
        found,
        [
            ("admin", "admin-c1", 365),
            ("ca", "Tombolo authority of c1", 3650),
            ("local", "local-c1", 365),
            ("server", SERVER_NAME, 365),
        ]
    );
    let read = |name: &str| fs::read(place.0.join(name)).unwrap();
    let before = (read("server.crt"), read("ca.crt"));
    Certificates::ensure(&place.0, "c1", &names).unwrap();
    assert_eq!(before, (read("server.crt"), read("ca.crt")));
    // Another name needs another certificate, of the same authority.
    Certificates::ensure(&place.0, "c1", &["192.0.2.8".to_owned()]).unwrap();
    assert_ne!(before.0, read("server.crt"));
    assert_eq!(before.1, read("ca.crt"));
    let mode = |name| {
        use std::os::unix::fs::PermissionsExt as _;
        fs::metadata(place.0.join(name))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!((mode("ca.key"), mode("server.key")), (0o600, 0o600));
}

#[test]
fn peers_are_permitted_by_being_issued_and_until_they_are_revoked() {
    let place = Place::new();
    let made = Certificates::ensure(&place.0, "c1", &[]).unwrap();
    made.issue("c2").unwrap();
    made.issue("c2").unwrap();
    made.issue("c3").unwrap();
    let users = Users::read(&Users::file(&place.0)).unwrap();
    let access = users.access("c1");
    assert_eq!(access.users["remote-c2"], "remote");
    assert_eq!(access.users.len(), 4, "{:?}", access.users);
    assert!(made.revoke("c2").unwrap() && !made.revoke("c2").unwrap());
    let listed = made.list().unwrap();
    let may_read = |name| {
        listed
            .iter()
            .find(|listed| listed.name == name)
            .unwrap()
            .may_read
    };
    assert_eq!(
        (may_read("remote-c2"), may_read("remote-c3")),
        (Some(false), Some(true))
    );
    assert_eq!(may_read("admin"), None);
    assert!(made.issue("../c2").is_err());
}

#[test]
fn a_peer_may_read_its_ranges_and_nothing_else() {
    let mut users = Users::default();
    users.permit("remote-c2");
    let access = users.access("c1");
    let Role::Ranges(ranges) = &access.roles["remote"] else {
        panic!("a peer is not root");
    };
    let may = |keys: Keys| ranges.iter().any(|(range, _)| range.covers(&keys));
    assert!(ranges.iter().all(|(_, right)| *right == Right::Read));
    assert!(may(Keys::one("cilium/.heartbeat")));
    assert!(may(Keys::prefix("cilium/state/nodes/v1/c1/")));
    assert!(may(Keys::one("cilium/cluster-config/c1")));
    assert!(may(Keys::prefix("cilium/synced/c1/")));
    assert!(!may(Keys::one("cilium/cluster-config/c3")));
    assert!(!may(Keys::prefix("cilium/cluster-config/")));
    assert!(!may(Keys::prefix("cilium/cache/")));
    assert!(!may(Keys::prefix("cilium/synced/c3/")));
    assert!(!may(Keys::prefix("cilium/")));
}

#[test]
fn users_that_are_no_peers_are_refused() {
    let place = Place::new();
    fs::create_dir_all(&place.0).unwrap();
    let file = Users::file(&place.0);
    let table = [
        ("users: [{name: remote-c2, role: remote}]", true),
        ("users: []", true),
        ("", true),
        ("users: [{name: admin-c2, role: remote}]", false),
        ("users: [{name: remote-c2, role: root}]", false),
        ("users: [{name: remote-C2, role: remote}]", false),
        ("user: []", false),
        ("[1", false),
    ];
    for (text, good) in table {
        fs::write(&file, text).unwrap();
        let read = Users::read(&file);
        assert_eq!(read.is_ok(), good, "{text}: {read:?}");
    }
}

#[test]
fn half_an_authority_is_not_taken_for_none() {
    let place = Place::new();
    Certificates::ensure(&place.0, "c1", &[]).unwrap();
    fs::remove_file(place.0.join("ca.key")).unwrap();
    let error = Certificates::ensure(&place.0, "c1", &[]).err().unwrap();
    assert!(format!("{error:#}").contains("bring the key"), "{error:#}");
    fs::write(place.0.join("ca.key"), "rubbish").unwrap();
    let error = Certificates::ensure(&place.0, "c1", &[]).err().unwrap();
    assert!(
        format!("{error:#}").contains("the authority's key is damaged"),
        "{error:#}"
    );
}
