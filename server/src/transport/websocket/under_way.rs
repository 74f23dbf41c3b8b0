//! Publishes of one connection that are under way. Most connections only listen: until the first publish there is nothing
//! but an empty place.

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use parlor_protocol::WireError;
use parlor_protocol::reply::Reply;

use crate::session::Publishing;

/// In the order in which they end.
#[derive(Default)]
pub(super) struct UnderWay(Option<FuturesUnordered<Publishing>>);

impl UnderWay {
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, FuturesUnordered::len)
    }

    pub(super) fn add(&mut self, publish: Publishing) {
        self.0.get_or_insert_default().push(publish);
    }

    /// The next that ends: whose it was, and its outcome. Pends for ever when there is none.
    pub(super) async fn next(&mut self) -> (Option<u32>, Result<Reply, WireError>) {
        match &mut self.0 {
            Some(publishes) if !publishes.is_empty() => {
                let ended = publishes.next().await;
                ended.expect("there is one, and nobody else takes it")
            }
            _ => std::future::pending().await,
        }
    }
}
