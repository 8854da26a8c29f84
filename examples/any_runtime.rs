//! Publishes a price and receives it, on whatever async runtime there is: here the smallest.
//! `cargo run --example any_runtime [BROKER]`

use std::io::Write as _;

use corecast::{Event, Filter, Publisher, Subscriber};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let broker = std::env::args().nth(1).unwrap_or("tcp://127.0.0.1:6680".into());
    futures_lite::future::block_on(async {
        let mut subscriber = Subscriber::connect_async(&broker, &[Filter::parse("prices.>")?]).await?;
        let mut publisher = Publisher::connect_async(&broker).await?;
        publisher.publish_async("prices.eur.usd", b"1.0842").await?;
        if let Event::Message(message) = subscriber.recv_async().await? {
            writeln!(std::io::stdout(), "{}", String::from_utf8_lossy(&message.payload))?;
        }
        Ok(publisher.close_async().await?)
    })
}
