//! What happens when things break: real nodes, real Redis, real faults, and a checker that names what went wrong.

mod proxies;
mod redis_processes;
