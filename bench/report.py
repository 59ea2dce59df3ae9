# SPDX-License-Identifier: MIT
"""The report of a run: text, every sample as CSV, plots."""
import csv
import os
import platform
import resource
import statistics
import subprocess

import plots

PEERS = ("vport", "vsock", "passt", "slirp")
LABELS = {
    "manyport": "manyport", "manyport-irq": "manyport, no polling",
    "baseline": "the baseline", "baseline-irq": "the baseline, no polling",
    "fs": "manyport (virtio-fs)", "fs-irq": "manyport (virtio-fs), no polling",
    "vport": "virtserialport", "vport-intx": "virtserialport, vectors=0",
    "serve": "manyport serve", "vsock-road": "manyport over vsock",
    "vsock": "vsock (vhost-device-vsock)",
    "local": "unix socket within the guest",
    "passt": "TCP (passt)", "slirp": "TCP (QEMU user net)", "host": "unix socket on the host",
}
# Tables: heading, groups, metric, unit, digits.
TABLES = (
    ("Round trip, median", ("rtt",), "median_us", "us", 1),
    ("Round trip, p99", ("rtt",), "p99_us", "us", 1),
    ("Round trip, p99.9", ("rtt",), "p999_us", "us", 1),
    ("Stream", ("read", "write", "both"), "mb_s", "MB/s", 0),
    ("Open, name, one round trip, close", ("open",), "opens_s", "1/s", 0),
    ("Several processes: all round trips", ("processes",), "round_trips_s", "1/s", 0),
    ("Several processes: longest wait of one", ("processes",), "longest_ms", "ms", 1),
    ("Busy channels: all round trips", ("many",), "round_trips_s", "1/s", 0),
    ("Debian's programs, through forward, by run, or TCP", ("programs",), "ops_s", "1/s", 0),
    ("Busy channels: bytes, both ways together", ("many",), "mb_s", "MB/s", 1),
    ("Busy channels: Jain's index", ("many",), "jain", "", 3),
    ("Busy channels: slowest channel's share of the mean", ("many",), "slowest", "", 2),
    ("Busy channels: longest wait of one", ("many",), "longest_ms", "ms", 1),
    ("64-byte round trip beside a load, p99", ("beside",), "p99_us", "us", 1),
    ("64-byte round trip beside a load, median", ("beside",), "median_us", "us", 1),
    ("The bulk stream beside it", ("beside",), "bulk_mb_s", "MB/s", 1),
    ("Processor time per round trip, guest and host", ("rtt",), "cpu_us_op_all", "us", 1),
    ("Processor time per GB, guest and host", ("read", "write", "both"), "cpu_s_gb_all", "s", 2),
    ("Interrupts of the guest per round trip or call", ("rtt", "read", "write", "open"),
     "interrupts_op", "", 2),
    ("manyport's requests per round trip or call", ("rtt", "read", "write"), "requests_op", "", 2),
    ("manyport's kicks", ("rtt", "read", "write"), "kicks_op", "", 2),
    ("manyport's events", ("rtt", "read", "write"), "events_op", "", 2),
    ("manyport's sleeps", ("rtt", "read", "write"), "waits_op", "", 2),
    ("manyport's bytes moved without a copy (share)", ("rtt", "read", "write"), "zero_copy_share",
     "", 2),
    ("System calls per operation, QEMU", ("calls",), "calls_qemu", "", 1),
    ("System calls per operation, back end", ("calls",), "calls_back", "", 1),
    ("System calls per operation, both", ("calls",), "calls_all", "", 1),
    ("Idle channels: opened", ("memory",), "opened", "", 0),
    ("Idle channels: guest's slab per channel", ("memory",), "slab_channel", "bytes", 0),
    ("Idle channels: guest's free memory taken per channel", ("memory",), "mem_channel", "bytes",
     0),
    ("Idle channels: back end's resident memory per channel", ("memory",), "back_channel",
     "bytes", 0),
    ("Idle channels: QEMU's resident memory per channel (the guest's RAM is in it)", ("memory",),
     "qemu_channel", "bytes", 0),
)


class Data:
    def __init__(self, samples):
        self.values = {}
        self.items = {}
        for group, item, transport, number, values in samples:
            self.values.setdefault((group, item, transport), {})[number] = values
            items = self.items.setdefault(group, [])
            if item not in items:
                items.append(item)

    def all(self, group, item, transport, metric):
        """Round to value."""
        rounds = self.values.get((group, item, transport), {})
        return {n: v[metric] for n, v in rounds.items() if metric in v}

    def median(self, *where):
        found = self.all(*where)
        return statistics.median(found.values()) if found else None

    def ratio(self, metric, over, under):
        """Median of the rounds' own ratios; over and under are (group, item, transport)."""
        a, b = self.all(*over, metric), self.all(*under, metric)
        ratios = [a[n] / b[n] for n in a if b.get(n)]
        return statistics.median(ratios) if ratios else None

    def best_peer(self, group, item, metric, want_least):
        found = {p: self.median(group, item, p, metric) for p in PEERS}
        found = {p: v for p, v in found.items() if v}
        if not found:
            return None
        return (min if want_least else max)(found, key=found.get)


def targets_of(data):
    """The goals: (work, against, goal, ratio or None, is met)."""
    rows = []

    def row(work, against, goal, value, at_least=True):
        met = None if value is None else value >= goal if at_least else value <= goal
        rows.append((work, against, f"{'>=' if at_least else '<='} {goal:g}", value, met))

    def against_host(item, goal):
        for way in ("write", "read"):
            row(f"stream {item} {way}", "unix socket on the host", goal,
                data.ratio("mb_s", (way, item, "manyport"), (way, item, "host")))

    def against_best(work, group, item, metric, goal, at_least, mine="manyport"):
        peer = data.best_peer(group, item, metric, not at_least)
        value = data.ratio(metric, (group, item, mine), (group, item, peer)) if peer else None
        row(work, f"best peer ({LABELS[peer]})" if peer else "best peer", goal, value, at_least)

    against_host("1M", .8)
    against_host("64K", .5)
    against_best("both ways 64K", "both", "64K", "mb_s", 3, True)
    row("both ways 64K", "unix socket on the host", .3,
        data.ratio("mb_s", ("both", "64K", "manyport"), ("both", "64K", "host")))
    for item in ("bulk-write", "bulk-read"):
        against_best(f"p99 of a ping-pong, {item}", "beside", item, "p99_us", .5, False)
        against_best(f"the stream beside it, {item}", "beside", item, "bulk_mb_s", 1, True)
    against_best("stream 64K write", "write", "64K", "mb_s", 4, True)
    against_best("stream 64K read", "read", "64K", "mb_s", 4, True)
    for item in ("1K", "4K"):
        for way in ("write", "read"):
            against_best(f"stream {item} {way}", way, item, "mb_s", 2, True)
    row("round trip 64, as it ships", "unix socket on the host", 1.1,
        data.ratio("median_us", ("rtt", "64", "manyport"), ("rtt", "64", "host")), False)
    quiet = "manyport-irq" if ("rtt", "64", "manyport-irq") in data.values else "manyport"
    against_best("round trip 64, interrupts only", "rtt", "64", "median_us", .8, False, quiet)
    row("open + name + round trip + close", LABELS["vsock"], 2.5,
        data.ratio("opens_s", ("open", "open", "manyport"), ("open", "open", "vsock")))
    for item in data.items.get("programs", []):
        for peer in ("slirp", "passt"):
            row(item, LABELS[peer], 1.5,
                data.ratio("ops_s", ("programs", item, "manyport"), ("programs", item, peer)))
    row("1000 busy channels, round trips/s", LABELS["vsock"], 2.5,
        data.ratio("round_trips_s", ("many", "1000x64", "manyport"), ("many", "1000x64", "vsock")))
    row("p99 of a ping-pong, stalled", "itself alone", 1.1,
        data.ratio("p99_us", ("beside", "stalled", "manyport"), ("beside", "alone", "manyport")),
        False)
    for item in data.items.get("memory", ["10000"]):
        row(f"idle channel of {item}, guest (bytes)", "-", 1024,
            data.median("memory", item, "manyport", "slab_channel"), False)
        row(f"idle channel of {item}, daemon (bytes)", "-", 512,
            data.median("memory", item, "manyport", "back_channel"), False)
    row("10000 channels, slowest served (share)", "-", .01,
        data.median("many", "10000x64", "manyport", "slowest"))
    against_best("processor time per round trip, 64", "rtt", "64", "cpu_us_op_all", 1, False)
    for item in ("64K", "1M"):
        for way in ("write", "read"):
            against_best(f"processor time per GB, {item} {way}", way, item, "cpu_s_gb_all", 1,
                         False)
    return rows


def number(value, digits):
    return "-" if value is None else f"{value:.{digits}f}"


def table(rows):
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    lines = []
    for r in rows:
        cells = [r[0].ljust(widths[0])] + [c.rjust(w) for c, w in zip(r[1:], widths[1:])]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "-" * max(map(len, lines)))
    return "\n".join(lines)


def median_and_spread(found, digits):
    values = sorted(found.values())
    text = number(statistics.median(values), digits)
    if len(values) > 1:
        text += f" ({number(values[0], digits)}..{number(values[-1], digits)})"
    return text


def metric_table(run, data, heading, groups, metric, unit, digits):
    transports = [t.name for t in run.transports]
    keys = [(g, i) for g in groups for i in data.items.get(g, [])]
    cells = {(k, t): data.all(*k, t, metric) for k in keys for t in transports}
    used = [t for t in transports if any(cells[k, t] for k in keys)]
    keys = [k for k in keys if any(cells[k, t] for t in used)]
    if not keys:
        return ""
    rows = [[""] + used]
    for key in keys:
        row = [f"{key[0]} {key[1]}" if key[0] != key[1] else key[0]]
        for t in used:
            if cells[key, t]:
                row.append(median_and_spread(cells[key, t], digits))
            else:
                row.append("FAILED" if (*key, t) in run.errors else "-")
        rows.append(row)
    unit = f" [{unit}]" if unit else ""
    return f"{heading}{unit}\n\n{table(rows)}\n"


def side_table(run, data, heading, groups, prefix, digits):
    """Whose processor time it is: medians, so they need not add up exactly."""
    names = [t.name for t in run.transports]
    rows = [[""] + names]
    for group in groups:
        for item in data.items.get(group, []):
            row = [f"{group} {item}"]
            for name in names:
                sides = [data.median(group, item, name, f"{prefix}_{side}")
                         for side in ("guest", "front", "back", "server")]
                row.append("-" if sides[0] is None else "+".join(
                    number(s, digits) for s in sides[:3] if s is not None) +
                    f" ({number(sides[3], digits)})")
            rows.append(row)
    return f"{heading}\n\n{table(rows)}\n" if len(rows) > 1 else ""


METRICS = {"rtt": "median_us", "read": "mb_s", "write": "mb_s", "both": "mb_s",
           "open": "opens_s", "many": "round_trips_s",
           "processes": "round_trips_s", "programs": "ops_s", "beside": "p99_us"}


def baseline_table(run, data):
    """Today divided by the baseline, round by round. A row is the same where 1 lies between the
    quartiles of its rounds."""
    if not run.options.baseline:
        return ""
    rows = [["", "of", "median", "quartiles", "rounds", "is"]]
    for suffix in ("", "-irq"):
        for group, metric in METRICS.items():
            for item in data.items.get(group, []):
                new, old = (data.all(group, item, name + suffix, metric)
                            for name in ("manyport", "baseline"))
                ratios = [new[n] / old[n] for n in new if old.get(n)]
                if len(ratios) < 2:
                    continue
                low, median, high = statistics.quantiles(ratios, method="inclusive")
                verdict = "same"
                if not low <= 1 <= high:
                    verdict = "better" if (median > 1) != metric.endswith("_us") else "worse"
                rows.append([f"{group} {item}{suffix and ', no polling'}", metric,
                             number(median, 3), f"{low:.3f}..{high:.3f}", str(len(ratios)), verdict])
    return (f"Divided by the baseline, {run.options.baseline} (each round's own ratio)\n\n"
            f"{table(rows)}\n")


def ratio_table(run, data):
    others = [t.name for t in run.transports if t.name != "manyport"]
    rows = [["", "of"] + others]
    for group, metric in METRICS.items():
        for item in data.items.get(group, []):
            ratios = [data.ratio(metric, (group, item, "manyport"), (group, item, t))
                      for t in others]
            if any(ratios):
                rows.append([f"{group} {item}", metric] + [number(r, 2) for r in ratios])
    if len(rows) == 1:
        return ""
    return ("manyport divided by each (median of the rounds' own ratios; small is good for us, "
            f"large for others)\n\n{table(rows)}\n")


def target_table(run, data):
    if run.options.cpus > 1:
        return f"Goals are for one processor in the guest: {run.options.cpus} are not judged.\n"
    rows = [["goal", "against", "wanted", "measured", "met"]]
    for work, against, goal, value, met in targets_of(data):
        if met is None and run.options.only:
            continue
        rows.append([work, against, goal, number(value, 2),
                     "not measured" if met is None else "yes" if met else "no"])
    return f"Goals (a ratio, unless it says bytes)\n\n{table(rows)}\n" if rows[1:] else ""


def command_output(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                          cwd=os.path.dirname(os.path.abspath(__file__)))
    return done.stdout.strip()


def header(run, host, seconds):
    with open("/proc/cpuinfo") as f:
        models = [line.split(":", 1)[1].strip() for line in f if line.startswith("model name")]
    changed = " and changes" if command_output("git", "status", "--porcelain", "-uno") else ""
    lines = [
        ("date", command_output("date", "-u", "+%Y-%m-%d %H:%M UTC")),
        ("commit", command_output("git", "rev-parse", "--short=12", "HEAD") + changed),
        ("machine", f"{len(models)} x {models[0] if models else platform.machine()}, Linux "
                    f"{platform.release()}"),
        ("limits", f"{resource.getrlimit(resource.RLIMIT_NOFILE)[1]} descriptors for a process"),
        ("load", open("/proc/loadavg").read().split()[1] + " (5 minutes, at the end)"),
        ("guest", f"Linux {host.versions.get('guest kernel')}, TCG, -cpu {host.cpu}, {host.cpus} vCPU, "
                  f"clock {host.versions.get('guest clock')}"),
        ("versions", ", ".join(host.versions[k] for k in ("qemu", "vhost-device-vsock", "passt"))),
        ("module", " ".join(f"{k}={v}" for k, v in host.parameters.items())),
        ("rounds", f"{run.plan.rounds} of {run.plan.seconds} s each, after one to warm up; "
                   f"{seconds / 60:.0f} minutes in all"),
    ]
    return "\n".join(f"{name + ':':10} {text}" for name, text in lines) + "\n"


def checks(run, data):
    items = data.items.get("check", [])
    if not items:
        return ""
    rows = []
    for t in run.transports:
        good = sum(bool(data.all("check", i, t.name, "ok")) for i in items)
        bad = sum(("check", i, t.name) in run.errors for i in items)
        rows.append([t.name, f"{good} of {len(items)} right" + (f", {bad} FAILED" if bad else "")])
    return f"Contents (a pass of its own)\n\n{table([['', 'checked']] + rows)}\n"


def symptoms(run):
    lines = []
    for (group, item, transport), texts in run.errors.items():
        lines.append(f"  {transport}: {group} {item}, {len(texts)} times: {texts[0]}")
    for t in run.transports:
        if t.dead:
            lines.append(f"  {t.name}: {t.dead}")
    return "What failed, and how\n\n" + ("\n".join(lines) if lines else "  nothing") + "\n"


def write_csv(path, samples):
    with open(path, "w", newline="") as f:
        out = csv.writer(f)
        out.writerow(("group", "item", "transport", "round", "metric", "value"))
        for group, item, transport, number_, values in samples:
            for metric, value in values.items():
                out.writerow((group, item, transport, number_, metric, f"{value:.10g}"))


def write(out, run, host, seconds):
    data = Data(run.samples)
    os.makedirs(out, exist_ok=True)
    write_csv(f"{out}/results.csv", run.samples)
    parts = ["manyport benchmark\n", header(run, host, seconds)]
    parts.append("Columns: " + "; ".join(f"{t.name} = {LABELS[t.name]}" for t in run.transports) +
                 ".\nCells: median (least..most) of the rounds; - not measured or not possible.\n")
    parts += [target_table(run, data), symptoms(run), checks(run, data), ratio_table(run, data),
              baseline_table(run, data)]
    parts += [metric_table(run, data, *t) for t in TABLES]
    whose = "guest's processor + QEMU's other threads + back end (bench server, not counted)"
    parts += [side_table(run, data, f"Whose time, per round trip: {whose} [us]", ("rtt",),
                         "cpu_us_op", 1),
              side_table(run, data, f"Whose time, per GB: {whose} [s]",
                         ("read", "write", "both"), "cpu_s_gb", 2)]
    if hasattr(run, "calls_by"):
        parts.append(f"System calls were counted with {run.calls_by}.\n")
    text = "\n".join(p for p in parts if p)
    with open(f"{out}/report.txt", "w") as f:
        f.write(text)
    plots.draw_all(out, run, data, LABELS)
    latest = os.path.join(os.path.dirname(os.path.abspath(out)), "latest")
    if os.path.islink(latest) or not os.path.exists(latest):
        if os.path.islink(latest):
            os.unlink(latest)
        os.symlink(os.path.basename(os.path.abspath(out)), latest)
    print("\n".join(p for p in parts[3:8] if p))
    print(f"report: {out}/report.txt")
