//! Prints ten prices. `cargo run --example subscriber [BROKER]`

use std::io::Write as _;

use corecast::{Event, Filter, Subscriber};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let broker = std::env::args().nth(1).unwrap_or("tcp://127.0.0.1:6680".into());
    let mut subscriber = Subscriber::connect(&broker, &[Filter::parse("prices.>")?])?;
    let mut out = std::io::stdout().lock();
    for _ in 0..10 {
        match subscriber.recv()? {
            Event::Message(message) => writeln!(out, "{}", String::from_utf8_lossy(&message.payload))?,
            Event::Gap(gap) => writeln!(out, "missed {:?} messages", gap.missed)?,
            Event::CaughtUp => {}
        }
    }
    Ok(())
}
