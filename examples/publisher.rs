//! Publishes ten prices, once a subscriber is there. `cargo run --example publisher [BROKER]`

use corecast::{Publisher, Topic};

fn main() -> corecast::Result<()> {
    let broker = std::env::args().nth(1).unwrap_or("tcp://127.0.0.1:6680".into());
    let mut publisher = Publisher::connect(&broker)?;
    let topic = Topic::new("prices.eur.usd")?;
    publisher.wait_for_subscribers(&topic, 1, std::time::Duration::from_secs(10))?;
    for price in 10_840..10_850 {
        publisher.publish(&topic, format!("{:.4}", f64::from(price) / 10_000.0).as_bytes())?;
    }
    publisher.close()
}
