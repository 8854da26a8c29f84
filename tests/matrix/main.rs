//! The table of who may do what: each standing of a client x each act x each door, with real sockets and credentials against one
//! broker, beside an oracle of a few lines. What is refused must have no effect, and those that are trusted notice nothing.
//!
//! | file | owns |
//! |---|---|
//! | `table` | the axes, the cells that make no sense, the file of users of each cell, the oracle |
//! | `house` | the broker with its doors, and the clients that are trusted |
//! | `native` | a client of the native protocol over TCP, TLS and Unix sockets |
//! | `zeromq` | a ZeroMQ socket |

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

#[path = "../broker_process/mod.rs"]
mod broker_process;
#[path = "../certificates/mod.rs"]
mod certificates;
mod house;
mod native;
#[path = "../running/mod.rs"]
mod running;
mod table;
#[path = "../watchdog/mod.rs"]
mod watchdog;
mod zeromq;
#[path = "../zmtp_peer/mod.rs"]
mod zmtp_peer;

use std::collections::BTreeMap;

use house::House;
use native::{Native, publisher_of};
use table::{ACTS, Act, DOORS, Door, Outcome, PASSWORD, STANDINGS, Standing, TOKEN, WRONG, WRONG_PASSWORD};
use zeromq::ZeroMq;
use zmtp_peer::curve::CurveClient;

/// The client of a cell, let in.
enum Client {
    Native(Native),
    ZeroMq(ZeroMq),
}

impl Client {
    fn come(house: &House, standing: Standing, act: Act, door: Door) -> Result<Client, Outcome> {
        let native = match door {
            Door::Tcp => {
                let token = match standing {
                    Standing::Nobody => None,
                    Standing::Wrong => Some(WRONG),
                    Standing::Narrow | Standing::Right | Standing::Revoked | Standing::Expired => Some(TOKEN),
                };
                Native::over_tcp(house.tcp(), token)
            }
            Door::Tls => {
                let certificate = match standing {
                    Standing::Nobody => None,
                    Standing::Wrong => Some("stranger"),
                    Standing::Expired => Some("old"),
                    Standing::Narrow | Standing::Right | Standing::Revoked => Some("client"),
                };
                Native::over_tls(house.tls(), &house.authority, certificate)
            }
            Door::Uds => Native::over_unix(&house.uds()),
            Door::Null => return ZeroMq::by_null(house.zmtp(), act).map(Client::ZeroMq),
            Door::Plain => {
                let password = if standing == Standing::Wrong { WRONG_PASSWORD } else { PASSWORD };
                return ZeroMq::by_plain(house.zmtp(), act, password).map(Client::ZeroMq);
            }
            Door::Curve => {
                let client = match standing {
                    Standing::Wrong => CurveClient::unknown(house.server_key),
                    _ => CurveClient::new(house.client_key.secret().clone(), house.server_key),
                };
                return ZeroMq::by_curve(house.zmtp(), act, client).map(Client::ZeroMq);
            }
        };
        native.map(Client::Native)
    }

    fn act(&mut self, act: Act, payload: &[u8], direct: u64) -> Outcome {
        match self {
            Client::Native(native) => native.act(act, payload, direct),
            Client::ZeroMq(socket) => socket.act(act, payload),
        }
    }

    fn heard(&mut self) -> Vec<Vec<u8>> {
        match self {
            Client::Native(native) => native.heard(),
            Client::ZeroMq(socket) => socket.heard(),
        }
    }

    fn end(&mut self, forbidden: &[u8]) -> Outcome {
        match self {
            Client::Native(native) => {
                let outcome = native.end(forbidden);
                let direct = native.direct.take().map(|mut direct| direct.end(forbidden));
                assert!(direct.is_none_or(|direct| direct == outcome), "its ticket is void");
                outcome
            }
            Client::ZeroMq(socket) => socket.end(forbidden),
        }
    }

    /// Hears what the direct publisher says from now on.
    fn hears_directly(&mut self, house: &mut House) {
        match self {
            Client::Native(native) => {
                let fence = house.fence_directly();
                let direct = native.direct.as_mut().expect("it was let in there");
                assert_eq!(direct.hear_until(&fence), Vec::<Vec<u8>>::new());
            }
            // Nobody tells it when the broker hears the publisher on its behalf.
            Client::ZeroMq(socket) => loop {
                let fence = house.fence_directly();
                if socket.heard().contains(&fence) {
                    return;
                }
            },
        }
    }
}

/// Without a ticket of the broker nobody is let in at the direct publisher.
fn stays_outside(house: &House, cell: &str) {
    for ticket in [None, Some(&[7; 200][..])] {
        let outcome = Native::to_publisher(&house.direct_door(), house.direct_number(), ticket).err();
        assert_eq!(outcome, Some(Outcome::NotLetIn), "{cell}: at the direct publisher");
    }
}

/// Plays one cell, and checks its outcome and its effect. Returns the client that was let in.
fn play(house: &mut House, standing: Standing, act: Act, door: Door) -> Option<Client> {
    let cell = format!("{standing:?}, {act:?}, {door:?}");
    let mut client = Client::come(house, standing, act, door);
    let outcome = match &mut client {
        Ok(client) => client.act(act, cell.as_bytes(), house.direct_number()),
        Err(outcome) => *outcome,
    };
    assert_eq!(outcome, table::expected(standing, act), "{cell}");
    let (fence, published) = house.fence();
    let is_done = outcome == Outcome::Done;
    let own = (is_done && act == Act::Publish).then(|| cell.clone().into_bytes());
    assert_eq!(published, Vec::from_iter(own), "{cell}: whatever is refused is not delivered");
    let is_registered = house.knows(publisher_of(cell.as_bytes()));
    assert_eq!(is_registered, is_done && act == Act::Register, "{cell}: whoever may not is not registered");
    let subscribed = matches!(act, Act::SubscribeExact | Act::SubscribeWildcard);
    if let Ok(client) = &mut client {
        let wanted = (is_done && subscribed).then_some(fence);
        assert_eq!(client.heard(), Vec::from_iter(wanted), "{cell}: it hears what it may, and nothing else");
    }
    match &mut client {
        Ok(client) if is_done && act == Act::Direct => client.hears_directly(house),
        _ if act == Act::Direct && !door.is_zmtp() => stays_outside(house, &cell),
        _ => {}
    }
    client.ok()
}

#[test]
fn every_client_may_do_what_the_oracle_says() {
    let _watchdog = watchdog::watch("every_client_may_do_what_the_oracle_says");
    let mut house = House::open();
    let (mut played, mut senseless) = (0, BTreeMap::<_, u32>::new());
    for standing in STANDINGS {
        for act in ACTS {
            house.follow(standing, act);
            let mut let_in = Vec::new();
            for door in DOORS {
                if let Some(reason) = table::senseless(standing, act, door) {
                    *senseless.entry(reason).or_default() += 1;
                    continue;
                }
                let client = play(&mut house, standing, act, door);
                let_in.extend(client.map(|client| (door, client)));
                played += 1;
            }
            if standing == Standing::Revoked {
                house.follow(Standing::Expired, act);
                let (fence, published) = house.fence();
                assert_eq!(published, Vec::<Vec<u8>>::new(), "nobody else notices");
                for (door, mut client) in let_in {
                    assert_eq!(client.end(&fence), Outcome::NotLetIn, "{act:?}, {door:?}: its session ends");
                }
            }
        }
    }
    let cells = STANDINGS.len() * ACTS.len() * DOORS.len();
    println!("{cells} cells: {played} played; the others make no sense: {senseless:?}");
    assert_eq!(played + senseless.values().sum::<u32>() as usize, cells);
}
