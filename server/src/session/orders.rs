//! What backends order of a connection: subscriptions that they make and end, by their own right.
//!
//! While `connect` is under way orders wait. What became of its wishes is told by its reply alone, each as it was when it was
//! its turn: a push that came before would be contradicted by it.

use std::rc::Rc;

use parlor_protocol::limits::CHANNELS_PER_CONNECTION_MAX;
use parlor_protocol::{ChannelName, CloseCode};

use super::Session;

/// Orders that wait for one `connect`: one for each channel that a connection has at most, unless the operator wants otherwise.
const HELD_MAX: usize = CHANNELS_PER_CONNECTION_MAX;

#[derive(Debug, PartialEq, Eq)]
enum Order {
    Subscribe(ChannelName),
    Unsubscribe(ChannelName),
}

/// Orders that wait, as they came.
#[derive(Debug, Default)]
pub(super) struct HeldOrders(Vec<Order>);

impl HeldOrders {
    /// False when there are too many.
    fn add(&mut self, order: Order) -> bool {
        let has_room = self.0.len() < HELD_MAX;
        if has_room {
            self.0.push(order);
        }
        has_room
    }
}

impl Session {
    /// A backend subscribes the connection.
    pub fn subscribe_by_order(self: &Rc<Self>, channel: &ChannelName) {
        self.take_order(Order::Subscribe(channel.clone()));
    }

    /// A backend ends a subscription.
    pub fn unsubscribe_by_order(self: &Rc<Self>, channel: &ChannelName) {
        self.take_order(Order::Unsubscribe(channel.clone()));
    }

    fn take_order(self: &Rc<Self>, order: Order) {
        if !self.is_connect_under_way() {
            return self.obey(&order);
        }
        let is_held = {
            let mut state = self.state.borrow_mut();
            state.held.get_or_insert_default().add(order)
        };
        if !is_held {
            // None may be passed over. The client comes back, and orders were for those who were connected.
            self.outbox.close(CloseCode::Busy, None);
        }
    }

    fn obey(self: &Rc<Self>, order: &Order) {
        match order {
            Order::Subscribe(channel) => self.subscribe_for_backend(channel),
            Order::Unsubscribe(channel) => self.unsubscribe_for_backend(channel),
        }
    }

    /// Does what waited for the reply to `connect`, which was told just now: orders, and ends of subscriptions whose tokens were
    /// revoked meanwhile.
    pub(super) fn catch_up_with_orders(self: &Rc<Self>) {
        let held = self.state.borrow_mut().held.take();
        for order in held.iter().flat_map(|held| &held.0) {
            self.obey(order);
        }
        self.end_revoked();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_orders_wait_than_may_and_those_in_their_order() {
        let order = |number| {
            let name = ChannelName::parse(&format!("room:{number}")).unwrap();
            Order::Subscribe(name)
        };
        let mut held = HeldOrders::default();
        assert!((0..HELD_MAX).all(|number| held.add(order(number))));
        assert!(!held.add(order(HELD_MAX)));
        assert!(held.0.into_iter().eq((0..HELD_MAX).map(order)));
    }
}
