//! Which channels a session is subscribed to: a sorted list, for most sessions have a few.
//!
//! A map would cost each idle connection a table of its own, and a hash with each look. The most that a connection may have
//! (`connection.channels_max`) is found in a dozen comparisons, and moved by one entry in the time of a small copy.

use std::rc::Rc;

use parlor_protocol::ChannelName;

use super::subscriptions::Subscription;

/// Sorted by name, each name once.
#[derive(Debug, Default)]
pub(super) struct Channels(Vec<Rc<Subscription>>);

impl Channels {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Rc<Subscription>> {
        self.0.iter()
    }

    pub(super) fn get(&self, name: &ChannelName) -> Option<&Rc<Subscription>> {
        self.find(name).ok().map(|place| &self.0[place])
    }

    /// Adds a subscription; one of the same channel gives way.
    pub(super) fn insert(&mut self, subscription: Rc<Subscription>) {
        match self.find(subscription.channel.name()) {
            Ok(place) => self.0[place] = subscription,
            Err(place) => {
                if self.0.capacity() == 0 {
                    // The list's own first step would be four.
                    self.0.reserve_exact(2);
                }
                self.0.insert(place, subscription);
            }
        }
    }

    pub(super) fn remove(&mut self, name: &ChannelName) -> Option<Rc<Subscription>> {
        self.find(name).ok().map(|place| self.0.remove(place))
    }

    fn find(&self, name: &ChannelName) -> Result<usize, usize> {
        self.0
            .binary_search_by(|held| held.channel.name().as_str().cmp(name.as_str()))
    }
}
