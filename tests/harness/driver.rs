//! A client with the protocol crate's own mind: [`ClientSession`] over real sockets, reconnects and all.

use std::net::SocketAddr;
use std::time::Duration;

use parlor_protocol::client::{ClientConfig, ClientEvent, ClientSession, Effect};
use tokio::time::Instant;

use crate::client::{Frame, Wire};
use crate::patience::in_time;

/// Carries out what a session wants.
#[derive(Debug)]
pub struct Driver {
    pub session: ClientSession,
    address: SocketAddr,
    form: parlor_protocol::Form,
    start: Instant,
    wire: Option<Wire>,
}

impl Driver {
    pub fn new(address: SocketAddr, config: ClientConfig) -> Self {
        let form = config.form;
        let mut session = ClientSession::new(config, 1);
        session.start(Duration::ZERO);
        Self {
            session,
            address,
            form,
            start: Instant::now(),
            wire: None,
        }
    }

    /// Runs until the session tells what is wanted. Returns all that it told.
    ///
    /// # Panics
    /// When it does not come.
    pub async fn until(&mut self, is_it: impl Fn(&ClientEvent) -> bool) -> Vec<ClientEvent> {
        let mut told = Vec::new();
        in_time("an event of the session", async {
            loop {
                if self.carry_out(&mut told, &is_it).await {
                    return;
                }
                self.wait().await;
            }
        })
        .await;
        told
    }

    /// True when it was told.
    async fn carry_out(
        &mut self,
        told: &mut Vec<ClientEvent>,
        is_it: &impl Fn(&ClientEvent) -> bool,
    ) -> bool {
        while let Some(effect) = self.session.poll() {
            match effect {
                Effect::Connect => self.connect().await,
                Effect::Send(frame) => {
                    if let Some(wire) = &mut self.wire {
                        wire.send(frame).await;
                    }
                }
                Effect::Close => self.wire = None,
                Effect::Event(event) => {
                    let found = is_it(&event);
                    told.push(event);
                    if found {
                        return true;
                    }
                }
            }
        }
        false
    }

    async fn connect(&mut self) {
        self.wire = Wire::try_open(self.address, self.form).await;
        let now = self.start.elapsed();
        match self.wire {
            Some(_) => self.session.opened(now),
            None => self.session.closed(None, now),
        }
    }

    async fn wait(&mut self) {
        let deadline = self
            .session
            .deadline()
            .map(|deadline| self.start + deadline);
        let deadline = deadline.unwrap_or_else(|| Instant::now() + crate::PATIENCE);
        let Some(wire) = &mut self.wire else {
            tokio::time::sleep_until(deadline).await;
            return self.session.tick(self.start.elapsed());
        };
        tokio::select! {
            frame = wire.read() => match frame {
                Frame::Data(bytes) => self.session.received(&bytes, self.start.elapsed()),
                Frame::Control => {}
                Frame::Close(code) => {
                    self.wire = None;
                    self.session.closed(Some(code), self.start.elapsed());
                }
                Frame::End(_) => {
                    self.wire = None;
                    self.session.closed(None, self.start.elapsed());
                }
            },
            () = tokio::time::sleep_until(deadline) => self.session.tick(self.start.elapsed()),
        }
    }
}
