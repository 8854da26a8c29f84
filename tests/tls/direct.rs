//! Direct publishers whose broker is reached over TLS: they encrypt, too, with a certificate of their own, which subscribers know by
//! the fingerprint in its registration.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use corecast::{Endpoint, Event, Filter, Publisher, RegistryView, Subscriber};

use super::broker_process::{BrokerProcess, Transport};
use super::watchdog::{LIMIT, watch};

/// Long enough to see that something is not there: it would be there before.
const SHORT: Duration = Duration::from_millis(300);

const DIRECT: &[&str] = &["--mode", "direct"];

fn subscriber(broker: &BrokerProcess) -> Subscriber {
    let filter = Filter::parse("a").expect("a filter");
    Subscriber::with_config(broker.client(), &[filter]).expect("it is let in")
}

#[test]
fn a_direct_publisher_encrypts_as_its_broker_does_and_is_known_by_its_fingerprint() {
    let _watchdog = watch("a_direct_publisher_encrypts_as_its_broker_does");
    let broker = BrokerProcess::start(Transport::Tls, DIRECT);
    let mut hears = subscriber(&broker);
    let mut publisher = Publisher::with_config(broker.client()).expect("it is let in");
    publisher.publish("a", b"encrypted").expect("it is taken");
    match hears.recv_timeout(LIMIT).expect("it is well") {
        Some(Event::Message(message)) => assert_eq!(&message.payload[..], b"encrypted"),
        other => panic!("{other:?} in the place of a message"),
    }
    let mut view = RegistryView::with_config(broker.client()).expect("it is let in");
    let listed = view.list(LIMIT).expect("a list");
    let endpoint = listed[0].endpoints[0].to_string();
    assert!(endpoint.starts_with("tls://127.0.0.1:") && endpoint.contains("#sha256:"), "{endpoint}");

    let address = endpoint.trim_start_matches("tls://").split('#').next().expect("a place");
    let mut plain = TcpStream::connect(address).expect("it listens");
    plain.write_all(b"CORECAST\x01\0\x01\0\0\0\0\0").expect("it is taken");
    let mut said = Vec::new();
    // It may be reset.
    let _ = plain.read_to_end(&mut said);
    assert!(!said.starts_with(b"CORECAST"), "nothing without encryption");
}

#[test]
fn whoever_has_another_certificate_at_that_place_is_not_heard() {
    let _watchdog = watch("whoever_has_another_certificate_at_that_place_is_not_heard");
    let broker = BrokerProcess::start(Transport::Tls, DIRECT);
    let mut hears = subscriber(&broker);
    let mut config = broker.client();
    let other: Endpoint =
        format!("tls://127.0.0.1:0#sha256:{}", "ab".repeat(32)).parse().expect("an endpoint");
    config.direct = config.direct.advertise(other);
    let mut publisher = Publisher::with_config(config).expect("it is let in");
    publisher.publish("a", b"to nobody").expect("it is taken");
    while let Some(event) = hears.recv_timeout(SHORT).expect("it is well with the broker") {
        assert!(!matches!(event, Event::Message(_)), "{event:?}");
    }
}
