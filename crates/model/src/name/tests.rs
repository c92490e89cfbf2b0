use super::*;
use crate::{
    config::tests::config,
    event::Event,
    fact::{Fact, Source},
    health::Silence,
    id::ClusterId,
    service::{Offer, Offered, ServicePort, Sharing, State, WEIGHT_DEFAULT},
    world::World,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

mod oracle;

const OWN: Source = Source::Kubernetes;
const SECOND: Source = Source::Cluster(ClusterId(2));
const THIRD: Source = Source::Cluster(ClusterId(3));

struct Bench(World);

impl Bench {
    fn new() -> Bench {
        let mut config = config();
        config.name_service = Some(NameService {
            service: namespaced("dns", "kube-system"),
            domain: "cluster.local".into(),
        });
        Bench(World::new(config).expect("a config"))
    }

    fn tell(&mut self, fact: Fact) {
        let told = self.0.handle(fact, Duration::ZERO);
        told.expect("the fact is taken");
    }

    fn sync(&mut self) {
        self.tell(Fact::Service(Event::Synced));
        self.tell(Fact::Slice(OWN, Event::Synced));
    }

    fn define(&mut self, service: &str, definition: Definition) {
        let name = namespaced(service, "shop");
        self.tell(Fact::Service(Event::Upsert(name, definition)));
    }

    fn offer(&mut self, source: Source, service: &str, endpoints: &[Given]) {
        let name = namespaced(&format!("{service}-1"), "shop");
        let offer = offer(source, service, endpoints);
        self.tell(Fact::Slice(source, Event::Upsert(name, offer)));
    }

    /// As `SRV _http._tcp.web.shop.svc.cluster.local`.
    fn ask(&self, question: &str) -> String {
        say(&self.0.name(&read(question)))
    }
}

fn namespaced(name: &str, namespace: &str) -> Namespaced {
    Namespaced {
        namespace: namespace.into(),
        name: name.into(),
    }
}

fn read(question: &str) -> Question {
    let (kind, name) = question.split_once(' ').expect("a kind and a name");
    Question {
        labels: name.split('.').map(str::to_owned).collect(),
        kind: match kind {
            "A" => Kind::A,
            "AAAA" => Kind::Aaaa,
            "SRV" => Kind::Srv,
            "PTR" => Kind::Ptr,
            _ => Kind::Other,
        },
    }
}

fn say(answer: &Answer) -> String {
    match answer {
        Answer::Forward => "forward".into(),
        Answer::NoName { domain } => format!("no name in {domain}"),
        Answer::NoData { domain } => format!("no data in {domain}"),
        Answer::Records {
            answers,
            additional,
        } => {
            let answers = answers.iter().map(|record| match record {
                Record::Address(ip) => ip.to_string(),
                Record::Server { port, target } => format!("{port} {target}"),
                Record::Name(name) => name.clone(),
            });
            let additional = additional.iter().map(|(name, ip)| format!("+{name} {ip}"));
            answers.chain(additional).collect::<Vec<_>>().join(", ")
        }
    }
}

fn port(name: &str, protocol: Protocol, port: u16) -> ServicePort {
    ServicePort {
        name: name.into(),
        protocol,
        port,
        node_port: None,
    }
}

fn sharing(global: bool) -> Sharing {
    Sharing {
        global,
        shared: true,
        ..Sharing::default()
    }
}

fn addressed(global: bool) -> Definition {
    Definition {
        cluster_ips: vec![ip("10.96.0.10"), ip("fd00:96::10")],
        ports: vec![port("http", Protocol::Tcp, 80), port("", Protocol::Udp, 81)],
        sharing: sharing(global),
        ..Definition::default()
    }
}

fn named(naming: Naming, global: bool) -> Definition {
    Definition {
        naming,
        sharing: sharing(global),
        ..Definition::default()
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Address, hostname if there is one, state.
type Given<'a> = (&'a str, &'a str, State);

/// At ports `http`, 8080 of TCP, and one without a name, 9090 of UDP.
fn offer(source: Source, service: &str, endpoints: &[Given]) -> Offer {
    let number = match source {
        Source::Cluster(id) => id.0,
        _ => 1,
    };
    let ports = [
        OfferedPort::new("http", "TCP", 8080),
        OfferedPort::new("", "UDP", 9090),
    ];
    let ports: Arc<[OfferedPort]> = ports.into_iter().flatten().collect();
    let offered = |(address, hostname, state): &Given| {
        let offered = Offered {
            state: *state,
            node: Some("n1".into()),
            hostname: (!hostname.is_empty()).then(|| (*hostname).into()),
            hints: None,
            ports: ports.clone(),
        };
        (ip(address), offered)
    };
    Offer {
        service: namespaced(service, "shop"),
        cluster: format!("c{number}").into(),
        weight: WEIGHT_DEFAULT,
        endpoints: endpoints.iter().map(offered).collect(),
        problems: Vec::new(),
    }
}

/// Services of every kind, each in both clusters but for `far` and `local`.
fn shop() -> Bench {
    use State::{Active, NotReady, Terminating};
    let mut bench = Bench::new();
    bench.define("web", addressed(true));
    bench.define("db", named(Naming::Endpoints, true));
    bench.define("quiet", named(Naming::Endpoints, true));
    bench.define("local", named(Naming::Endpoints, false));
    bench.define("away", named(Naming::Elsewhere, true));
    bench.offer(OWN, "web", &[("10.1.0.1", "", Active)]);
    bench.offer(SECOND, "web", &[("10.2.0.1", "", Active)]);
    let own = [
        ("10.1.0.2", "db-0", Active),
        ("fd01::2", "db-0", Active),
        ("10.1.0.3", "db-1", NotReady),
        ("10.1.0.4", "", Terminating),
    ];
    bench.offer(OWN, "db", &own);
    bench.offer(
        SECOND,
        "db",
        &[
            ("10.2.0.2", "db-0", Active),
            ("10.2.0.3", "db-9", Active),
            ("fd02::5", "", Active),
        ],
    );
    bench.offer(OWN, "local", &[("10.1.0.6", "", Active)]);
    bench.offer(SECOND, "local", &[("10.2.0.6", "", Active)]);
    bench.offer(
        SECOND,
        "far",
        &[("10.2.0.7", "", Active), ("10.2.0.8", "", NotReady)],
    );
    bench.offer(OWN, "quiet", &[("10.1.0.9", "", NotReady)]);
    bench
}

#[test]
fn names_have_what_kubernetes_says() {
    let mut bench = shop();
    bench.sync();
    let of_db_0 = "db-0.c2.db.shop.svc.clusterset.local";
    let cases = [
        ("A web.shop.svc.cluster.local", "10.96.0.10"),
        ("AAAA web.shop.svc.cluster.local", "fd00:96::10"),
        ("A web.shop.svc.clusterset.local", "10.96.0.10"),
        ("TXT web.shop.svc.cluster.local", "no data in cluster.local"),
        (
            "SRV web.shop.svc.cluster.local",
            "80 web.shop.svc.cluster.local, 81 web.shop.svc.cluster.local, +web.shop.svc.cluster.local 10.96.0.10, +web.shop.svc.cluster.local fd00:96::10",
        ),
        (
            "SRV _http._tcp.web.shop.svc.cluster.local",
            "80 web.shop.svc.cluster.local, +web.shop.svc.cluster.local 10.96.0.10, +web.shop.svc.cluster.local fd00:96::10",
        ),
        ("A _http._tcp.web.shop.svc.cluster.local", "10.96.0.10"),
        (
            "SRV _http._udp.web.shop.svc.cluster.local",
            "no name in cluster.local",
        ),
        (
            "SRV _ftp._tcp.web.shop.svc.cluster.local",
            "no name in cluster.local",
        ),
        ("SRV _http._sctp.web.shop.svc.cluster.local", "forward"),
        ("A 10-1-0-1.web.shop.svc.cluster.local", "10.1.0.1"),
        ("A 10-2-0-1.web.shop.svc.cluster.local", "10.2.0.1"),
        ("A 10-2-0-1.c2.web.shop.svc.clusterset.local", "10.2.0.1"),
        (
            "A 10-2-0-1.c3.web.shop.svc.clusterset.local",
            "no name in clusterset.local",
        ),
        (
            "A db.shop.svc.cluster.local",
            "10.1.0.2, 10.2.0.2, 10.2.0.3",
        ),
        ("AAAA db.shop.svc.cluster.local", "fd01::2, fd02::5"),
        ("A db-0.db.shop.svc.cluster.local", "10.1.0.2"),
        ("AAAA db-0.db.shop.svc.cluster.local", "fd01::2"),
        ("A db-0.c1.db.shop.svc.clusterset.local", "10.1.0.2"),
        ("A db-0.c2.db.shop.svc.clusterset.local", "10.2.0.2"),
        (
            "AAAA db-0.c2.db.shop.svc.clusterset.local",
            "no data in clusterset.local",
        ),
        ("A db-9.db.shop.svc.cluster.local", "10.2.0.3"),
        ("AAAA fd02--5.db.shop.svc.cluster.local", "fd02::5"),
        // Neither ready nor known by its address.
        (
            "A db-1.db.shop.svc.cluster.local",
            "no name in cluster.local",
        ),
        (
            "A 10-1-0-4.db.shop.svc.cluster.local",
            "no name in cluster.local",
        ),
        (
            "A 10-1-0-2.db.shop.svc.cluster.local",
            "no name in cluster.local",
        ),
        (
            "SRV db-0.db.shop.svc.cluster.local",
            "8080 db-0.db.shop.svc.cluster.local, 9090 db-0.db.shop.svc.cluster.local, +db-0.db.shop.svc.cluster.local 10.1.0.2, +db-0.db.shop.svc.cluster.local fd01::2",
        ),
        (
            "SRV _http._tcp.far.shop.svc.cluster.local",
            "8080 10-2-0-7.c2.far.shop.svc.clusterset.local, +10-2-0-7.c2.far.shop.svc.clusterset.local 10.2.0.7",
        ),
        ("A far.shop.svc.cluster.local", "10.2.0.7"),
        ("A far.shop.svc.clusterset.local", "10.2.0.7"),
        (
            "AAAA far.shop.svc.cluster.local",
            "no data in cluster.local",
        ),
        ("A local.shop.svc.cluster.local", "10.1.0.6"),
        ("A local.shop.svc.clusterset.local", "10.2.0.6"),
        ("A quiet.shop.svc.cluster.local", "no name in cluster.local"),
        ("A away.shop.svc.cluster.local", "forward"),
        (
            "A nobody.shop.svc.cluster.local",
            "no name in cluster.local",
        ),
        (
            "A example.com.shop.svc.cluster.local",
            "no name in cluster.local",
        ),
        (
            "A www.example.com.shop.svc.cluster.local",
            "no name in cluster.local",
        ),
        (
            "A a.www.example.com.shop.svc.cluster.local",
            "no name in cluster.local",
        ),
        ("A *.shop.svc.cluster.local", "forward"),
        ("A shop.svc.cluster.local", "forward"),
        ("A svc.cluster.local", "forward"),
        ("A 10-1-0-1.shop.pod.cluster.local", "forward"),
        ("A cluster.local", "forward"),
        ("A example.com", "forward"),
        ("PTR 10.0.96.10.in-addr.arpa", "web.shop.svc.cluster.local"),
        (
            "PTR 0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.9.0.0.0.0.d.f.ip6.arpa",
            "web.shop.svc.cluster.local",
        ),
        (
            "PTR 2.0.1.10.in-addr.arpa",
            "db-0.db.shop.svc.cluster.local",
        ),
        ("PTR 2.0.2.10.in-addr.arpa", of_db_0),
        ("PTR 3.0.1.10.in-addr.arpa", "forward"),
        ("PTR 1.0.1.10.in-addr.arpa", "forward"),
        ("PTR 1.10.in-addr.arpa", "forward"),
        ("A 10.0.96.10.in-addr.arpa", "forward"),
    ];
    for (question, expected) in cases {
        assert_eq!(bench.ask(question), expected, "{question}");
    }
}

#[test]
fn nothing_is_said_before_the_own_cluster_has_told_all() {
    let mut bench = shop();
    for question in [
        "A web.shop.svc.cluster.local",
        "A far.shop.svc.cluster.local",
        "A nobody.shop.svc.cluster.local",
    ] {
        assert_eq!(bench.ask(question), "forward", "{question}");
    }
    bench.sync();
    assert_eq!(bench.ask("A far.shop.svc.cluster.local"), "10.2.0.7");
}

#[test]
fn a_cluster_that_is_silent_is_left_out_while_there_are_others() {
    let mut bench = shop();
    bench.sync();
    let silence = Silence {
        clusters: BTreeMap::from([(ClusterId(2), Duration::ZERO)]),
        ..Silence::default()
    };
    bench.tell(Fact::Silent(silence));
    assert_eq!(bench.ask("A db.shop.svc.cluster.local"), "10.1.0.2");
    assert_eq!(bench.ask("A db-9.db.shop.svc.cluster.local"), "10.2.0.3");
    assert_eq!(bench.ask("A far.shop.svc.cluster.local"), "10.2.0.7");
    bench.tell(Fact::Silent(Silence::default()));
    assert_eq!(
        bench.ask("A db.shop.svc.cluster.local"),
        "10.1.0.2, 10.2.0.2, 10.2.0.3"
    );
}

#[test]
fn of_both_formats_the_better_informed_is_believed() {
    let mut bench = shop();
    bench.sync();
    let record = offer(
        SECOND,
        "far",
        &[
            ("10.2.0.8", "", State::Active),
            ("10.2.0.9", "far-9", State::Active),
        ],
    );
    bench.tell(Fact::Shared(
        SECOND,
        Event::Upsert(record.service.clone(), record),
    ));
    assert_eq!(
        bench.ask("A far.shop.svc.cluster.local"),
        "10.2.0.7, 10.2.0.9"
    );
    assert_eq!(
        bench.ask("PTR 9.0.2.10.in-addr.arpa"),
        "far-9.c2.far.shop.svc.clusterset.local"
    );
    bench.tell(Fact::Shared(
        SECOND,
        Event::Delete(namespaced("far", "shop")),
    ));
    assert_eq!(bench.ask("PTR 9.0.2.10.in-addr.arpa"), "forward");
    assert_eq!(bench.ask("A far.shop.svc.cluster.local"), "10.2.0.7");
}

#[test]
fn the_name_servers_are_the_own_clusters_pods() {
    let mut bench = Bench::new();
    let service = namespaced("dns", "kube-system");
    let definition = Definition {
        cluster_ips: vec![ip("10.96.0.53")],
        ports: vec![
            port("dns", Protocol::Udp, 53),
            port("dns-tcp", Protocol::Tcp, 53),
            port("metrics", Protocol::Tcp, 9153),
        ],
        sharing: sharing(true),
        ..Definition::default()
    };
    bench.tell(Fact::Service(Event::Upsert(service.clone(), definition)));
    for (source, address) in [(OWN, "10.1.0.53"), (SECOND, "10.2.0.53")] {
        let both = [
            (address, "", State::Active),
            ("fd01::53", "", State::Active),
        ];
        let mut offer = offer(source, "dns", &both);
        offer.service = service.clone();
        let ports = [("dns", "UDP", 5353), ("dns-tcp", "TCP", 5454)];
        let ports = ports.map(|(name, protocol, port)| OfferedPort::new(name, protocol, port));
        for offered in offer.endpoints.values_mut() {
            offered.ports = ports.iter().flatten().cloned().collect();
        }
        bench.tell(Fact::Slice(source, Event::Upsert(service.clone(), offer)));
    }
    bench.sync();
    let servers = |protocol| bench.0.name_servers(protocol);
    assert_eq!(
        servers(Protocol::Udp),
        ["10.1.0.53:5353".parse().expect("an address")]
    );
    assert_eq!(
        servers(Protocol::Tcp),
        ["10.1.0.53:5454".parse().expect("an address")]
    );
    let tables = bench.0.desired();
    for (frontend, path) in &tables.frontends {
        assert_eq!(path.agent_answers, frontend.port == 53, "{frontend}");
    }
    assert_eq!(tables.frontends.len(), 3);
}
