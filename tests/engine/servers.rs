//! A cluster of servers, and what becomes of brokers when one of them dies.

use super::broker_process::{BrokerProcess, Transport};
use super::nats_server::{NatsServer, free_port};
use super::oracle::{Listener, Load, publisher};
use super::watchdog;

/// Servers that have routes to one another.
fn cluster(servers: usize) -> Option<Vec<NatsServer>> {
    let mut all = Vec::new();
    for _ in 0..servers {
        all.push(NatsServer::at_rest()?);
    }
    let routes: Vec<u16> = all.iter().map(|_| free_port()).collect();
    let urls: Vec<String> = routes.iter().map(|port| format!("\"nats-route://127.0.0.1:{port}\"")).collect();
    for (server, port) in all.iter_mut().zip(&routes) {
        server.configure(&format!(
            "cluster {{ name: \"c\", listen: \"127.0.0.1:{port}\", routes: [{}] }}",
            urls.join(", ")
        ));
        server.start_again();
    }
    Some(all)
}

#[test]
fn brokers_of_different_servers_hear_one_another_and_a_broker_leaves_a_server_that_dies() {
    let _watchdog = watchdog::watch(
        "brokers_of_different_servers_hear_one_another_and_a_broker_leaves_a_server_that_dies",
    );
    let Some(mut servers) = cluster(3) else { return };
    // Each knows one server alone; it learns of the others from that.
    let start = |server: &NatsServer| {
        BrokerProcess::start(Transport::Tcp, &["--shards", "2", "--engine", &server.url(), "--engine-wait"])
    };
    let [a, b] = [start(&servers[0]), start(&servers[1])];
    for broker in [&a, &b] {
        broker.until(|page| page.sum("corecast_engine_peers") == 1);
    }
    let mut far = Listener::new(b.client(), "load");
    let load = Load::start(publisher(a.client()), "load");
    far.until_after(100);
    for dies in [0, 1] {
        servers[dies].kill();
        let broker = if dies == 0 { &a } else { &b };
        broker.until(|page| {
            page.sum("corecast_engine_connects_total") == 2 && page.sum("corecast_engine_connected") == 1
        });
        let now = far.last();
        far.until_after(now + 500);
    }
    let sent = load.stop();
    far.until_all(sent);
}
