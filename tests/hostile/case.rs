//! Which row of a table a panic came from.

/// Says its text if the calling test fails before it is dropped.
pub(crate) struct Case<T: std::fmt::Debug>(pub(crate) T);

impl<T: std::fmt::Debug> Drop for Case<T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("It failed in the case {:?}.", self.0);
        }
    }
}
