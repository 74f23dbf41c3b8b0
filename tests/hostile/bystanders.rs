//! Those whom nothing of it may touch: one connection on every shard, all in one channel.

use std::time::{Duration, Instant};

use parlor_tests::{Client, Server, said};

const CHANNEL: &str = "memory:bystanders";

/// Clients that talk while others misbehave.
#[derive(Debug)]
pub(crate) struct Bystanders {
    clients: Vec<Client>,
    said: usize,
}

impl Bystanders {
    pub(crate) async fn of(server: &Server) -> Self {
        Self {
            clients: server.audience("bystander", CHANNEL).await,
            said: 0,
        }
    }

    /// Each says something and all hear it, in order. Returns how long the slowest word took.
    pub(crate) async fn talk(&mut self) -> Duration {
        let mut slowest = Duration::ZERO;
        for speaker in 0..self.clients.len() {
            let began = Instant::now();
            self.said += 1;
            let words = self.said.to_string();
            self.clients[speaker].publish(CHANNEL, &words).await;
            for client in &mut self.clients {
                assert_eq!(said(&client.event().await), words);
            }
            slowest = slowest.max(began.elapsed());
        }
        slowest
    }
}
