//! Publishes a price and receives it inside a pinned executor: no other thread, no channel, no copy on the way to the
//! sink. `cargo run --example in_executor [BROKER]`

use std::io::Write as _;
use std::rc::Rc;
use std::time::Duration;

use corecast::{ClientConfig, Endpoint, EventRef, Filter, LocalClient, Topic};
use corecast_executors::{PoolConfig, ShardContext, Topology, Wake, start};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let broker: Endpoint = std::env::args().nth(1).unwrap_or("tcp://127.0.0.1:6680".into()).parse()?;
    let cores = Topology::detect()?.allowed()[..1].to_vec();
    let pool = PoolConfig { cores, ..PoolConfig::single("prices") };
    Ok(start(&pool, move |context| run(ClientConfig::new(broker.clone()), context))?.join()?)
}

async fn run(config: ClientConfig, context: ShardContext<()>) {
    let client = LocalClient::start(config, context.ticks);
    if let Err(error) = round_trip(&client).await {
        let _ = writeln!(std::io::stderr(), "error: {error}");
    }
    client.close().await;
}

async fn round_trip(client: &LocalClient) -> Result<(), Box<dyn std::error::Error>> {
    let received = Rc::new(Wake::new());
    let told = Rc::clone(&received);
    let _subscription = client
        .subscribe_with(&[Filter::parse("prices.>")?], move |event: EventRef<'_>| {
            if let EventRef::Message(message) = event {
                let _ = writeln!(std::io::stdout(), "{}", String::from_utf8_lossy(message.payload));
                told.raise();
            }
        })
        .await?;
    let mut publisher = client.publisher().await?;
    publisher.publish(&Topic::new("prices.eur.usd")?, b"1.0842").await?;
    received.wait().await;
    Ok(publisher.close(Duration::from_secs(5)).await?)
}
