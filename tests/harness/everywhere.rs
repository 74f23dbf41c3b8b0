//! The cases in which every promise is shown: both wire forms, one shard and three.

use std::thread;

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
pub fn everywhere(test: impl AsyncFn(At) + Sync) {
    run_at(&[1, 3], &test);
}

/// Runs a test in both forms with one shard: for what no other shard has a part in, or what takes long.
pub fn in_both_forms(test: impl AsyncFn(At) + Sync) {
    run_at(&[1], &test);
}

/// The cases run side by side, since most of a test is waiting. Their threads' names stand in what a panic prints.
fn run_at(shard_counts: &[usize], test: &(impl AsyncFn(At) + Sync)) {
    let cases = shard_counts.iter().flat_map(|shards| {
        Form::ALL.map(|form| At {
            form,
            shards: *shards,
        })
    });
    thread::scope(|scope| {
        let running: Vec<_> = cases
            .map(|at| {
                let name = format!("{:?} with {} shard(s)", at.form, at.shards);
                let case = thread::Builder::new().name(name);
                case.spawn_scoped(scope, move || block_on(test(at)))
                    .expect("a thread for the case")
            })
            .collect();
        for case in running {
            if let Err(panic) = case.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
}

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime for the clients")
        .block_on(future);
}
