//! The cases in which every promise is shown: both wire forms, one shard and three.

use std::cell::Cell;
use std::future::poll_fn;

use futures_util::future::join_all;
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

/// The cases run side by side on one thread: most of a test is waiting.
fn run_at(shard_counts: &[usize], test: impl AsyncFn(At)) {
    let cases = shard_counts.iter().flat_map(|shards| {
        Form::ALL.map(|form| At {
            form,
            shards: *shards,
        })
    });
    let _witness = Witness;
    block_on(async {
        join_all(cases.map(|at| marked(at, test(at)))).await;
    });
}

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime for the clients")
        .block_on(future);
}

thread_local! {
    /// The case that runs at the moment.
    static RUNNING: Cell<Option<At>> = const { Cell::new(None) };
}

/// Notes the case whenever it runs.
async fn marked(at: At, test: impl Future<Output = ()>) {
    let mut test = std::pin::pin!(test);
    poll_fn(|context| {
        RUNNING.set(Some(at));
        test.as_mut().poll(context)
    })
    .await;
}

/// Says which case a panic came from.
struct Witness;

impl Drop for Witness {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(At { form, shards }) = RUNNING.get()
        {
            eprintln!("It failed in {form:?} with {shards} shard(s).");
        }
    }
}
