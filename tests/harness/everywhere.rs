//! The cases in which every promise is shown: both wire forms, one shard and three.

use parlor_protocol::Form;

use crate::server::{Server, Setup};

/// One of the cases.
#[derive(Clone, Copy, Debug)]
pub struct At {
    pub form: Form,
    pub shards: usize,
}

impl At {
    /// A server in development mode with the tests' kinds of channels.
    pub async fn start(self) -> Server {
        self.setup().start().await
    }

    /// The same, before it is started.
    pub fn setup(self) -> Setup {
        Setup::new(self.form, self.shards)
    }
}

/// Runs a test in both forms, with one shard and with three.
pub fn everywhere(test: impl AsyncFn(At)) {
    run_at(&[1, 3], test);
}

/// Runs a test in both forms with one shard: for what no other shard has a part in, or what takes long.
pub fn in_both_forms(test: impl AsyncFn(At)) {
    run_at(&[1], test);
}

fn run_at(shard_counts: &[usize], test: impl AsyncFn(At)) {
    for shards in shard_counts.iter().copied() {
        for form in Form::ALL {
            let at = At { form, shards };
            let _witness = Witness(at);
            block_on(test(at));
        }
    }
}

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime for the clients")
        .block_on(future);
}

/// Says which case a panic came from.
struct Witness(At);

impl Drop for Witness {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let At { form, shards } = self.0;
            eprintln!("It failed in {form:?} with {shards} shard(s).");
        }
    }
}
