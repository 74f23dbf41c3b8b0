//! Every code of the tables, provoked by a client or a backend. A new code does not compile until it has its case.

mod closes;
mod errors;

/// Either the code was seen, or nobody outside can make the server say it.
#[derive(Debug)]
enum Case<T> {
    Seen(T),
    /// The reason, for the reader.
    #[expect(dead_code, reason = "it is written for those who read the table")]
    Unreachable(&'static str),
}
