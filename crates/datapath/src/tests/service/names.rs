//! Questions for names are led to the agent's own sockets while these are open, and to backends else.

use super::{Client, Node, Server, frontend, reopen, with_client};
use crate::tests::node::NODE_V6;
use tombolo_model::{
    change::Change,
    service::{Frontend, FrontendPath, Protocol},
};

const DNS: &str = "10.96.0.10:53";
const DNS_V6: &str = "[fd00:96::a]:53";

fn ask_agent(node: &mut Node, pool: Frontend) {
    let path = FrontendPath {
        agent_answers: true,
        ..FrontendPath::inside(pool)
    };
    node.apply(Change::FrontendSet(pool, path));
}

#[test]
fn questions_are_led_to_the_agent_as_long_as_it_listens() {
    with_client(|node, client| {
        let udp = Server::udp("127.0.0.2:5300");
        let tcp = Server::tcp("127.0.0.2:5300");
        for (protocol, backend) in [(Protocol::Udp, &udp), (Protocol::Tcp, &tcp)] {
            let dns = frontend(DNS, protocol);
            node.weigh(dns, backend.address(), 100);
            ask_agent(node, dns);
        }
        let asks = ["udp", "udp-same", "tcp"].map(|verb| format!("{verb} {DNS}"));
        let all_say = |client: &mut Client, who: &str| {
            for ask in &asks {
                assert_eq!(client.ask(ask), format!("{who} as {DNS}"), "{ask}");
            }
        };
        all_say(client, "127.0.0.2:5300");

        let agent = [Server::udp("127.0.0.9:5353"), Server::tcp("127.0.0.9:5353")];
        let mut sockets = node.datapath.name_sockets().expect("the map");
        let ip = "127.0.0.9".parse().expect("an address");
        for (protocol, server) in [Protocol::Udp, Protocol::Tcp].into_iter().zip(&agent) {
            sockets
                .lead(ip, protocol, server)
                .expect("a listening socket");
        }
        all_say(client, "127.0.0.9:5353");
        // Another agent's programs find them as they are, and so does whoever reads the tables.
        reopen(node);
        all_say(client, "127.0.0.9:5353");
        let table = node.datapath.recovered().expect("tables").frontends;
        assert!(
            table.iter().all(|(_, path)| path.agent_answers),
            "{table:?}"
        );

        sockets.clear().expect("cleared");
        sockets.clear().expect("cleared again");
        all_say(client, "127.0.0.2:5300");
        for (protocol, server) in [Protocol::Udp, Protocol::Tcp].into_iter().zip(&agent) {
            sockets
                .lead(ip, protocol, server)
                .expect("a listening socket");
        }
        all_say(client, "127.0.0.9:5353");
        // Nobody is told: the kernel knows.
        drop(agent);
        all_say(client, "127.0.0.2:5300");
    });
}

#[test]
fn questions_of_ipv6_are_led_to_its_sockets() {
    with_client(|node, client| {
        let backend = Server::udp(&format!("[{NODE_V6}]:5300"));
        let agent = Server::udp(&format!("[{NODE_V6}]:5353"));
        let dns = frontend(DNS_V6, Protocol::Udp);
        node.weigh(dns, backend.address(), 100);
        ask_agent(node, dns);
        let mut sockets = node.datapath.name_sockets().expect("the map");
        let ask = format!("udp {DNS_V6}");
        let answer = |server: &Server| format!("{} as {DNS_V6}", server.address());
        // A socket of the other family is for that one's frontends.
        let other = Server::udp("127.0.0.9:5353");
        let ip = |text: &str| text.parse().expect("an address");
        let led = sockets.lead(ip("127.0.0.9"), Protocol::Udp, &other);
        led.expect("a listening socket");
        assert_eq!(client.ask(&ask), answer(&backend));
        let led = sockets.lead(ip(NODE_V6), Protocol::Udp, &agent);
        led.expect("a listening socket");
        assert_eq!(client.ask(&ask), answer(&agent));
    });
}

#[test]
fn other_services_are_not_the_agents() {
    with_client(|node, client| {
        let backend = Server::udp("127.0.0.2:5300");
        let agent = Server::udp("127.0.0.9:5353");
        let dns = frontend(DNS, Protocol::Udp);
        node.weigh(dns, backend.address(), 100);
        node.serve(dns);
        let mut sockets = node.datapath.name_sockets().expect("the map");
        let ip = "127.0.0.9".parse().expect("an address");
        sockets
            .lead(ip, Protocol::Udp, &agent)
            .expect("a listening socket");
        let ask = format!("udp {DNS}");
        assert_eq!(client.ask(&ask), format!("127.0.0.2:5300 as {DNS}"));
    });
}
