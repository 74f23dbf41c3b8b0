"""The result for machines, for people and as pictures."""

import json

LIMITS = ("bare-single", "bare-joined")
OURS = "parlor"
SHOWN = {
    "cpu": ("p50_ms", "p99_ms", "deliveries_per_s"),
    "fanout-1k": ("p99_ms", "server_cores", "generator_busy", "resident_mib_after"),
    "fanout-10k": ("p99_ms", "server_cores", "generator_busy", "resident_mib_after"),
    "rooms-cpu": ("p50_ms", "p99_ms", "deliveries_per_s"),
    "rooms": ("p99_ms", "server_cores", "generator_busy", "resident_mib_after"),
    "idle": ("cpu_us_per_connection", "resident_mib"),
    "cut-and-back": ("back_50_ms", "back_all_ms", "missed_per_client", "cpu_us_per_return", "log_reads_per_channel"),
    "mass-close": ("worst_before_ms", "gone_after_s", "cpu_us_per_close", "failed_connects"),
    "stuck-reader": ("resident_kib_per_stuck", "kernel_kib_per_stuck", "p99_ms", "p99_beside_one", "p99_beside_many"),
    "idle-cpu": ("cores", "connections"),
    "after-burst": ("idle_mib", "burst_mib", "at_once_mib", "after_mib"),
}


def write(out, result, works):
    (out / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    (out / "result.md").write_text(markdown(result, works))
    for work in works:
        figures = result["works"].get(work.name, {})
        if figures:
            (out / f"{work.name}.svg").write_text(svg(work, figures))


def markdown(result, works):
    machine = result["machine"]
    settings = ", ".join(f"{key} = {value}" for key, value in machine["settings"].items())
    lines = [
        f"{machine['date']}, {machine['cores']} cores ({machine['cpu']}), Linux {machine['kernel']}, load {machine['load_at_start']:.1f} at the start; {settings}.",
        "", "Versions: " + "; ".join(f"{name} {version}" for name, version in result["peers"].items()) + ".", "",
    ]
    for work in works:
        lines += table(work, result["works"].get(work.name, {}))
    return "\n".join(lines) + "\n"


def table(work, figures):
    extras, beside = SHOWN[work.name], references(work, figures)
    columns = [work.unit, *beside, *extras]
    lines = [f"### {work.title}", "", f"| server | {' | '.join(columns)} |", "|---|" + "---:|" * len(columns)]
    for name, found in figures.items():
        if "failed" in found:
            lines.append(f"| {name} | – ({' '.join(found['failed'].split())[:80]}) | " + " | " * (len(columns) - 2) + " |")
            continue
        value = found[work.figure]
        cells = [number(value)] + [ratio(value, reference) for reference in beside.values()] + [number(found.get(extra)) for extra in extras]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines + [""]


def references(work, figures):
    """What every figure is divided by, by column: the limit, and Parlor's own figure of the same run where it has one."""
    ours = figures.get(OURS, {}).get(work.figure)
    return {"× limit": limit_of(work, figures)} | ({"× Parlor": ours} if ours else {})


def ratio(value, reference):
    return f"{value / reference:.2f}" if reference and value is not None else ""


def limit_of(work, figures):
    """The best of the bare loop's two ways."""
    found = [figures[name].get(work.figure) for name in LIMITS if name in figures]
    found = [value for value in found if value]
    if not found:
        return None
    return min(found) if work.best == "low" else max(found)


def number(value):
    if value is None:
        return ""
    if abs(value) >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def svg(work, figures):
    """Bars on a logarithmic scale: one server may be a hundred times another."""
    import math

    shown = [(name, found[work.figure]) for name, found in figures.items() if found.get(work.figure)]
    shown = [(name, value) for name, value in shown if value > 0]
    if not shown:
        return '<svg xmlns="http://www.w3.org/2000/svg"/>\n'
    low = min(value for _, value in shown) / 2
    span = math.log(max(value for _, value in shown) / low) or 1
    rows, height = [], 24 * len(shown) + 68
    for index, (name, value) in enumerate(shown):
        y, width = 58 + 24 * index, 420 * math.log(value / low) / span
        colour = "#9aa0a6" if name in LIMITS else "#1a73e8" if name.startswith("parlor") else "#e0a030"
        rows.append(f'<text x="130" y="{y + 13}" text-anchor="end">{name}</text><rect x="138" y="{y}" width="{width:.0f}" height="17" fill="{colour}"/>')
        rows.append(f'<text x="{144 + width:.0f}" y="{y + 13}">{number(value)}</text>')
    better = "less is better" if work.best == "low" else "more is better"
    title = work.title.replace("<", "&lt;")
    head = f'<text x="10" y="20" font-weight="bold">{title}</text><text x="10" y="40">{work.unit} ({better}, logarithmic)</text>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="680" height="{height}" font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>{head}{"".join(rows)}</svg>\n'
