//! What happens when things break: real nodes, real Redis, real faults, and a checker that names what went wrong.

mod checker;
mod proxies;
mod recorder;
mod redis_processes;
