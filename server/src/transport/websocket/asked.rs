//! Commands of one frame that wait to be begun. Most connections only listen: until the first frame there is nothing but
//! an empty place, and again once its last command is taken.

use std::vec;

use parlor_protocol::Envelope;
use parlor_protocol::codec::CommandError;

/// In the order in which they were sent.
#[derive(Default)]
pub(super) struct Asked(Option<Box<vec::IntoIter<Result<Envelope, CommandError>>>>);

impl Asked {
    pub(super) fn new(commands: Vec<Result<Envelope, CommandError>>) -> Self {
        Self((!commands.is_empty()).then(|| Box::new(commands.into_iter())))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The next one. The last gives back what all of them took.
    pub(super) fn take(&mut self) -> Option<Result<Envelope, CommandError>> {
        let waiting = self.0.as_mut()?;
        let next = waiting.next();
        if waiting.as_slice().is_empty() {
            self.0 = None;
        }
        next
    }
}
