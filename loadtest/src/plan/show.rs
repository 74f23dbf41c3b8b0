//! The plan for people: the answer first, then how it was got and how wrong it may be.

use std::fmt::Write as _;

use super::Run;
use super::future::Future;
use super::model::Model;
use super::size::Plan;

pub(super) fn markdown(
    plan: &Plan,
    model: &Model,
    future: &Future,
    runs: &[Run],
    checks: &[Run],
) -> String {
    let mut text = String::new();
    let out = &mut text;
    answer(out, plan, future)
        .and_then(|()| formulas(out, plan, model))
        .and_then(|()| errors(out, model, runs, checks))
        .expect("a string takes all text");
    text
}

fn answer(out: &mut String, plan: &Plan, future: &Future) -> std::fmt::Result {
    writeln!(
        out,
        "## {} nodes, of which {} may be lost\n",
        plan.nodes, plan.spare
    )?;
    writeln!(
        out,
        "For {:.0} connections in {:.0} channels, {:.0} publishes/s and {:.0} deliveries/s.\n",
        future.connections(),
        future.channels(),
        future.publishes_per_s(),
        future.deliveries_per_s()
    )?;
    writeln!(
        out,
        "| each node, with {} lost | needs | may use | nodes for this alone |",
        plan.spare
    )?;
    writeln!(out, "|---|---:|---:|---:|")?;
    let per_node = [
        plan.cores_per_node,
        plan.memory_per_node_bytes,
        plan.network_per_node_mbit_s,
        plan.connections_per_node,
    ];
    for (need, value) in plan.needs.iter().zip(per_node) {
        let (name, unit) = match need.what {
            "memory, bytes" => ("memory, MiB", MIB),
            other => (other, 1.0),
        };
        writeln!(
            out,
            "| {name} | {:.2} | {:.2} | {} |",
            value / unit,
            need.allowed / unit,
            need.nodes
        )?;
    }
    writeln!(out)?;
    if plan.spare > 0 {
        let loss = &plan.loss;
        let time = loss.reconnect_s.map_or_else(
            || "in a time that no run tells".to_owned(),
            |seconds| format!("in {seconds:.1} s at the least, on all their cores"),
        );
        writeln!(
            out,
            "When {} node(s) are lost, {:.0} connections come back at the others, {time}.\n",
            plan.spare, loss.connections
        )?;
    }
    match &plan.redis {
        Some(redis) => writeln!(
            out,
            "Redis: {} primary(ies), {:.2} cores, {:.0} MiB of memory, {:.1} Mbit/s in, {:.1} Mbit/s out.\n",
            redis.primaries,
            redis.cores,
            redis.memory_bytes / MIB,
            redis.in_mbit_s,
            redis.out_mbit_s
        ),
        None if plan.nodes > 1 => writeln!(
            out,
            "Redis: not known. Several nodes need one; measure a run on it with `--redis HOST:PORT` and give its result too.\n"
        ),
        None => Ok(()),
    }
}

fn formulas(out: &mut String, plan: &Plan, model: &Model) -> std::fmt::Result {
    let [connection, publish, delivery, tailed] = model.cpu.map(|cores| cores * 1e6);
    let [bytes, channel, event] = model.memory;
    writeln!(out, "### Formulas\n\n```")?;
    writeln!(
        out,
        "CPU, µs/s of all nodes = {connection:.3} × connections + {publish:.2} × publishes/s + {delivery:.2} × deliveries/s + {tailed:.2} × publishes/s × (nodes − 1)"
    )?;
    if let Some(cpu) = model.cpu_per_connect {
        writeln!(
            out,
            "                       + {:.0} × new connections/s",
            cpu * 1e6
        )?;
    }
    writeln!(
        out,
        "memory of a node       = {:.1} MiB + ({bytes:.0} B × connections + {channel:.0} B × channels × min(nodes, members)) / nodes",
        model.memory_base / MIB
    )?;
    if event > 0.0 {
        writeln!(
            out,
            "                         (and {event:.0} B for each event that was published in the measured runs, which fills up)"
        )?;
    }
    if let Some(overhead) = model.delivery_overhead_bytes {
        writeln!(
            out,
            "network of a node      = (deliveries/s × (payload + {overhead:.0} B) + publishes/s × {:.0} B{}) / nodes",
            model.publish_bytes.unwrap_or(0.0),
            model.redis.map_or("", |_| " + Redis in + Redis out")
        )?;
    }
    if let Some(redis) = &model.redis {
        let [own, read] = redis.cpu.map(|cores| cores * 1e6);
        let [out_own, out_read] = redis.out_bytes;
        writeln!(
            out,
            "Redis CPU, µs/s        = ({own:.1} + {read:.1} × nodes) × publishes/s"
        )?;
        writeln!(
            out,
            "Redis memory           = {:.0} B × (events kept + publishes/s × 600 s, whose ids are remembered) × factor\n\
             Redis in               = {:.0} B × publishes/s",
            redis.bytes_per_event, redis.in_bytes
        )?;
        writeln!(
            out,
            "Redis out              = ({out_own:.0} B + {out_read:.0} B × nodes) × publishes/s"
        )?;
    }
    writeln!(
        out,
        "nodes                  = the most of these, so that each keeps its target, + {} spare\n```\n",
        plan.spare
    )?;
    if model.cluster_runs == 0 && plan.nodes > 1 {
        writeln!(
            out,
            "No run had several nodes: what each node does for the others' messages is counted as nothing.\n"
        )?;
    }
    Ok(())
}

fn errors(out: &mut String, model: &Model, runs: &[Run], checks: &[Run]) -> std::fmt::Result {
    writeln!(
        out,
        "### Error\n\n| run | figure | measured | formula | error |\n|---|---|---:|---:|---:|"
    )?;
    let all = runs
        .iter()
        .map(|run| (run, "learned from"))
        .chain(checks.iter().map(|run| (run, "**kept aside**")));
    for (run, how) in all {
        for compared in model.compare(&run.report) {
            let error = (compared.predicted - compared.measured)
                / compared.measured.abs().max(f64::MIN_POSITIVE);
            writeln!(
                out,
                "| {} ({how}) | {} | {:.3} | {:.3} | {:+.0} % |",
                run.name,
                compared.what,
                compared.measured,
                compared.predicted,
                error * 100.0
            )?;
        }
    }
    if checks.is_empty() {
        writeln!(
            out,
            "\nNo run was kept aside (`--check`): these errors are kinder than the future will be."
        )?;
    }
    Ok(())
}

const MIB: f64 = 1_048_576.0;
