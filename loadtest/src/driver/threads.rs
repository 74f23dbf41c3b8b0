//! Starting and ending the generator's threads.

use std::sync::Arc;
use std::thread;

use anyhow::Context as _;
use tokio::sync::oneshot;

use crate::driver::Shared;
use crate::driver::acks::{self, Acks};
use crate::driver::errands::{self, Errands};
use crate::driver::pacer::{Pacer, Pacing};
use crate::driver::readers::{self, Part, Reading};

/// A thread with a runtime, and the word that ends it.
#[derive(Debug)]
pub(crate) struct Running<T> {
    finish: oneshot::Sender<()>,
    thread: thread::JoinHandle<anyhow::Result<T>>,
}

/// The threads that publish and take the answers.
#[derive(Debug)]
pub(crate) struct Publishers {
    pub(crate) acks: Running<Acks>,
    pub(crate) pacers: Vec<thread::JoinHandle<Pacing>>,
}

impl<T> Running<T> {
    pub(crate) fn start(
        shared: &Arc<Shared>,
        name: String,
        body: impl FnOnce(Arc<Shared>, oneshot::Receiver<()>) -> anyhow::Result<T> + Send + 'static,
    ) -> anyhow::Result<Self>
    where
        T: Send + 'static,
    {
        let (finish, finished) = oneshot::channel();
        let shared = Arc::clone(shared);
        let thread = thread::Builder::new().name(name.clone()).spawn(move || {
            shared.enrol(&name);
            body(shared, finished)
        })?;
        Ok(Self { finish, thread })
    }

    pub(crate) fn finish(self) -> anyhow::Result<T> {
        // Fails when the thread has ended already: joining it tells why.
        self.finish.send(()).ok();
        join(self.thread).and_then(|result| result)
    }
}

pub(crate) fn start_readers(shared: &Arc<Shared>) -> anyhow::Result<Vec<Running<Reading>>> {
    let parts = Part::all(&shared.scenario);
    parts
        .into_iter()
        .map(|part| {
            Running::start(
                shared,
                part.name(&shared.scenario),
                move |shared, finished| readers::read(shared, part, finished),
            )
        })
        .collect()
}

/// Opens the publishers' connections; their pacers wait for the start.
pub(crate) fn start_publishers(shared: &Arc<Shared>) -> anyhow::Result<Publishers> {
    let (opened, sockets) = oneshot::channel();
    let acks = Running::start(shared, "acks".to_owned(), |shared, finished| {
        acks::read(shared, opened, finished)
    })?;
    let Ok(lines) = sockets.blocking_recv() else {
        return Err(acks
            .finish()
            .err()
            .unwrap_or_else(|| anyhow::anyhow!("the publishers ended early")));
    };
    let mut pacers = Vec::new();
    for (group, lines) in lines.into_iter().enumerate() {
        let (shared, name) = (
            Arc::clone(shared),
            format!("publish-{}", shared.scenario.groups[group].name),
        );
        let thread = thread::Builder::new().name(name.clone()).spawn(move || {
            shared.enrol(&name);
            Pacer::new(&shared, group, lines).run()
        });
        pacers.push(thread.context("unable to start a publishing thread")?);
    }
    Ok(Publishers { acks, pacers })
}

/// Opens the connections for errands, where there are any.
pub(crate) fn start_errands(shared: &Arc<Shared>) -> anyhow::Result<Option<Running<Errands>>> {
    if shared.scenario.errand_connections() == 0 {
        return Ok(None);
    }
    let (opened, told) = oneshot::channel();
    let running = Running::start(shared, "errands".to_owned(), |shared, finished| {
        errands::run(shared, opened, finished)
    })?;
    if told.blocking_recv().is_err() {
        running.finish()?;
        anyhow::bail!("the errands ended early");
    }
    Ok(Some(running))
}

pub(crate) fn join<T>(thread: thread::JoinHandle<T>) -> anyhow::Result<T> {
    thread
        .join()
        .map_err(|_| anyhow::anyhow!("a thread of the generator panicked"))
}
