//! How a connection ended, as its client saw it.

use parlor_protocol::CloseCode;
use parlor_protocol::push::Disconnect;

/// The end of a connection.
#[derive(Clone, Debug, Default)]
pub struct Goodbye {
    /// From the close frame.
    pub code: Option<u16>,
    /// The push before it.
    pub push: Option<Disconnect>,
    /// The socket's own error, when no close frame came.
    pub error: Option<String>,
}

impl Goodbye {
    /// Asserts that push and close frame both say this.
    ///
    /// # Panics
    /// When they do not.
    #[track_caller]
    pub fn assert(&self, expected: CloseCode) {
        assert_eq!(
            self.code,
            Some(expected.number()),
            "the close frame should say {expected:?}: {self:?}"
        );
        let push = self
            .push
            .as_ref()
            .expect("a disconnect push comes before the close frame");
        assert_eq!(
            (push.code, push.name.as_str(), push.text.as_str()),
            (expected.number(), expected.name(), expected.text())
        );
    }
}
