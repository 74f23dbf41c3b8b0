//! Skeleton until the CLI lands.
#![allow(clippy::print_stdout)]
use parlor::config::{Config, Layers};
fn main() -> anyhow::Result<()> {
    let port: u16 = std::env::args()
        .nth(2)
        .and_then(|p| p.parse().ok())
        .unwrap_or(8000);
    let shards: usize = std::env::args()
        .nth(3)
        .and_then(|p| p.parse().ok())
        .unwrap_or(2);
    let mut config = Config::from_layers(&Layers::default())?;
    config.listen = format!("127.0.0.1:{port}").parse()?;
    config.shards = shards;
    config.auth.dev = true;
    config.storage.data_dir = Some(
        std::env::var("PARLOR_DATA")
            .unwrap_or("/tmp/parlor-data".into())
            .into(),
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(parlor::app::run(
        config,
        async {
            let mut t = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
                .expect("signal");
            t.recv().await;
        },
        |a| println!("listening on http://{}", a.http),
    ))?;
    Ok(())
}
