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
            "network of a node      = (deliveries/s × (payload + {overhead:.0} B) + publishes/s × (payload + {:.0} B){}) / nodes",
            model.publish_overhead_bytes.unwrap_or(0.0),
            model.redis.map_or("", |_| " + Redis in + Redis out")
        )?;
    }
    if let Some(redis) = &model.redis {
        let [own, read] = redis.cpu.map(|cores| cores * 1e6);
        let [out_own, out_read] = redis.out_overhead_bytes;
        writeln!(
            out,
            "Redis CPU, µs/s        = ({own:.1} + {read:.1} × nodes) × publishes/s"
        )?;
        writeln!(
            out,
            "Redis memory           = ((payload + {event:.0} B) × events kept + {event:.0} B × publishes/s × 600 s, whose ids are remembered) × factor\n\
             Redis in               = (payload + {:.0} B) × publishes/s",
            redis.in_overhead_bytes,
            event = redis.event_overhead_bytes,
        )?;
        writeln!(
            out,
            "Redis out              = ({out_own:.0} B + (payload + {out_read:.0} B) × nodes) × publishes/s"
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::model::RedisModel;
    use crate::report::{RedisReport, Report, StageReport};

    fn future(node: &str) -> Future {
        let text = format!(
            "[load]\nusers-online = 50000\nrooms = 5000\nmembers-per-room = 10\nmessages-per-s = 1000\n\
             connects-per-s = 100\nhistory-per-room = 100\n[node]\nmemory-gib = 16\n{node}"
        );
        toml::from_str(&text).unwrap()
    }

    /// Round numbers with a payload of 128 bytes, so that a person can follow.
    fn model() -> Model {
        Model {
            cpu: [2e-6, 1e-4, 1e-5, 0.0],
            cpu_per_connect: Some(1e-4),
            memory: [10_000.0, 1_000.0, 0.0],
            memory_base: 20.0 * MIB,
            delivery_overhead_bytes: Some(72.0),
            publish_overhead_bytes: Some(172.0),
            ..Model::default()
        }
    }

    fn model_over_redis() -> Model {
        let redis = RedisModel {
            cpu: [1e-4, 5e-5],
            in_overhead_bytes: 872.0,
            out_overhead_bytes: [100.0, 372.0],
            event_overhead_bytes: 272.0,
        };
        Model {
            cpu: [2e-6, 1e-4, 1e-5, 5e-5],
            redis: Some(redis),
            cluster_runs: 1,
            ..model()
        }
    }

    /// 1,000 connections in 100 channels for ten seconds, 100 publishes/s and 1,000 deliveries/s.
    fn run(name: &str, nodes: u32) -> Run {
        let mut report = Report::default();
        report.scenario.payload_bytes = 128.0;
        report.opening.ready = 1_000;
        report.opening.channels = 100;
        report.server.nodes = nodes;
        report.server.resident_bytes_end = Some(20 << 20);
        report.stages.push(StageReport {
            seconds: 10.0,
            online: 1_000.0,
            publishes_per_s: 100.0,
            deliveries_per_s: 1_000.0,
            server_cpu_cores: Some(0.02),
            server_delivery_bytes: Some(4e6),
            server_received_bytes: Some(6e5),
            ..StageReport::default()
        });
        Run {
            name: name.to_owned(),
            report,
        }
    }

    fn run_over_redis(name: &str) -> Run {
        let mut run = run(name, 3);
        run.report.stages[0].redis = Some(RedisReport {
            cpu_cores: 0.05,
            in_bytes_per_s: 50_000.0,
            out_bytes_per_s: 80_000.0,
            memory_growth_bytes: MIB,
            ..RedisReport::default()
        });
        run
    }

    fn shown(model: &Model, node: &str, runs: &[Run], checks: &[Run]) -> String {
        let future = future(node);
        let plan = Plan::of(model, &future).unwrap();
        markdown(&plan, model, &future, runs, checks)
    }

    fn assert_lines(text: &str, lines: &[&str]) {
        for line in lines {
            let said = text.lines().any(|said| said == *line);
            assert!(said, "`{line}` is not in\n{text}");
        }
    }

    #[test]
    fn a_plan_for_one_node_tells_its_needs_and_nothing_of_redis() {
        let text = shown(&model(), "spare = 0\n", &[run("rooms", 1)], &[]);
        assert_lines(
            &text,
            &[
                "## 1 nodes, of which 0 may be lost",
                "For 50000 connections in 5000 channels, 1000 publishes/s and 10000 deliveries/s.",
                "| each node, with 0 lost | needs | may use | nodes for this alone |",
                "| CPU, cores | 0.31 | 2.40 | 1 |",
                "| memory, MiB | 501.61 | 11468.80 | 1 |",
                "| network, Mbit/s | 18.40 | 600.00 | 1 |",
                "| connections | 50000.00 | 100000.00 | 1 |",
                "network of a node      = (deliveries/s × (payload + 72 B) + publishes/s × (payload + 172 B)) / nodes",
            ],
        );
        for absent in ["Redis", "come back", "No run had several nodes"] {
            assert!(!text.contains(absent), "`{absent}` is in\n{text}");
        }
    }

    #[test]
    fn a_plan_over_redis_tells_what_a_lost_node_throws_back_and_the_size_of_redis() {
        let node = "cores = 0.5\ncpu-target = 0.5\n";
        let text = shown(&model_over_redis(), node, &[run_over_redis("several")], &[]);
        assert_lines(
            &text,
            &[
                "## 3 nodes, of which 1 may be lost",
                "| each node, with 1 lost | needs | may use | nodes for this alone |",
                "| CPU, cores | 0.18 | 0.25 | 2 |",
                "| memory, MiB | 263.19 | 11468.80 | 1 |",
                "| network, Mbit/s | 17.60 | 600.00 | 1 |",
                "| connections | 25000.00 | 100000.00 | 1 |",
                "When 1 node(s) are lost, 16667 connections come back at the others, in 1.7 s at the least, on all their cores.",
                "Redis: 1 primary(ies), 0.25 cores, 693 MiB of memory, 8.0 Mbit/s in, 12.8 Mbit/s out.",
            ],
        );
    }

    #[test]
    fn every_factor_of_the_formulas_is_told() {
        let model = Model {
            memory: [10_000.0, 1_000.0, 400.0],
            ..model_over_redis()
        };
        let text = shown(&model, "cores = 0.5\ncpu-target = 0.5\n", &[], &[]);
        assert_lines(
            &text,
            &[
                "### Formulas",
                "CPU, µs/s of all nodes = 2.000 × connections + 100.00 × publishes/s + 10.00 × deliveries/s + 50.00 × publishes/s × (nodes − 1)",
                "                       + 100 × new connections/s",
                "memory of a node       = 20.0 MiB + (10000 B × connections + 1000 B × channels × min(nodes, members)) / nodes",
                "                         (and 400 B for each event that was published in the measured runs, which fills up)",
                "network of a node      = (deliveries/s × (payload + 72 B) + publishes/s × (payload + 172 B) + Redis in + Redis out) / nodes",
                "Redis CPU, µs/s        = (100.0 + 50.0 × nodes) × publishes/s",
                "Redis memory           = ((payload + 272 B) × events kept + 272 B × publishes/s × 600 s, whose ids are remembered) × factor",
                "Redis in               = (payload + 872 B) × publishes/s",
                "Redis out              = (100 B + (payload + 372 B) × nodes) × publishes/s",
                "nodes                  = the most of these, so that each keeps its target, + 1 spare",
            ],
        );
    }

    #[test]
    fn the_error_is_told_for_each_figure_of_each_run() {
        let (runs, checks) = ([run_over_redis("several")], [run("rooms", 1)]);
        let text = shown(&model_over_redis(), "", &runs, &checks);
        assert_lines(
            &text,
            &[
                "### Error",
                "| run | figure | measured | formula | error |",
                "| several (learned from) | network of all nodes, Mbit/s | 3.680 | 1.840 | -50 % |",
                "| several (learned from) | server cores | 0.020 | 0.032 | +60 % |",
                "| several (learned from) | Redis cores | 0.050 | 0.025 | -50 % |",
                "| several (learned from) | Redis in, Mbit/s | 0.400 | 0.800 | +100 % |",
                "| several (learned from) | Redis out, Mbit/s | 0.640 | 1.280 | +100 % |",
                "| several (learned from) | growth of Redis's memory, MiB | 1.000 | 0.381 | -62 % |",
                "| several (learned from) | server memory, MiB | 20.000 | 69.823 | +249 % |",
                "| rooms (**kept aside**) | server cores | 0.020 | 0.022 | +10 % |",
                "| rooms (**kept aside**) | server memory, MiB | 20.000 | 29.632 | +48 % |",
            ],
        );
        assert!(!text.contains("No run was kept aside"), "{text}");
    }

    #[test]
    fn what_no_run_tells_is_said_to_be_unknown() {
        let model = Model {
            cpu_per_connect: None,
            ..model()
        };
        let text = shown(&model, "", &[run("rooms", 1)], &[]);
        assert_lines(
            &text,
            &[
                "When 1 node(s) are lost, 25000 connections come back at the others, in a time that no run tells.",
                "Redis: not known. Several nodes need one; measure a run on it with `--redis HOST:PORT` and give its result too.",
                "No run had several nodes: what each node does for the others' messages is counted as nothing.",
                "No run was kept aside (`--check`): these errors are kinder than the future will be.",
            ],
        );
    }
}
