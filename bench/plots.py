# SPDX-License-Identifier: MIT
"""A picture per question, as SVG and PNG."""
import statistics

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt     # noqa: E402

COLOURS = {
    "baseline": "#7f7f7f", "baseline-irq": "#bcbd22", "manyport": "#c1121f", "manyport-irq": "#f4978e", "fs": "#7b2cbf",
           "fs-irq": "#c77dff", "vport": "#1d4e89", "vport-intx": "#7fa8d1",
           "vsock": "#2a9d8f", "serve": "#b5651d", "vsock-road": "#76c7b7", "local": "#888888",
           "passt": "#e09f3e", "slirp": "#8d6a9f", "host": "#444444"}
SIDES = (("guest", "guest's processor", "#457b9d"), ("front", "QEMU's other threads", "#e9c46a"),
         ("back", "back end", "#e76f51"))
# Shown in tables only: it does not differ.
HIDDEN = ("vport-intx",)


class Drawer:
    def __init__(self, out, run, data, labels):
        self.out, self.data, self.labels = out, data, labels
        self.names = [t.name for t in run.transports if t.name not in HIDDEN]

    def save(self, figure, name):
        """One legend, below all."""
        found = {}
        for axes in figure.axes:
            for handle, label in zip(*axes.get_legend_handles_labels()):
                found.setdefault(label, handle)
        figure.tight_layout()
        figure.legend(found.values(), found.keys(), loc="upper center", bbox_to_anchor=(0.5, 0),
                      ncol=3, frameon=False)
        for kind in ("svg", "png"):
            figure.savefig(f"{self.out}/{name}.{kind}", dpi=110, bbox_inches="tight")
        plt.close(figure)

    def line(self, axes, transport, group, items, metric):
        """Median with the spread of the rounds as a bar."""
        found = [(x, self.data.all(group, item, transport, metric)) for x, item in
                 enumerate(items)]
        found = [(x, sorted(v.values())) for x, v in found if v]
        if not found:
            return
        middle = [statistics.median(v) for _, v in found]
        low = [m - v[0] for m, (_, v) in zip(middle, found)]
        high = [v[-1] - m for m, (_, v) in zip(middle, found)]
        axes.errorbar([x for x, _ in found], middle, yerr=(low, high), label=self.labels[transport],
                      color=COLOURS[transport], marker="o", markersize=5, capsize=2,
                      linestyle="--" if transport == "host" else "-",
                      linewidth=2.4 if transport == "manyport" else 1.3)

    def lines(self, axes, group, items, metric, title, ylabel, xlabel, ticks=None):
        for transport in self.names:
            self.line(axes, transport, group, items, metric)
        axes.set_xticks(range(len(items)), ticks or items)
        axes.set_yscale("log")
        axes.set(title=title, ylabel=ylabel, xlabel=xlabel)
        axes.grid(True, which="both", alpha=0.25)

    def round_trips(self):
        items = self.data.items.get("rtt", [])
        if not items:
            return
        figure, axes = plt.subplots(1, 2, figsize=(12, 5), sharey=True)
        for a, metric, title in zip(axes, ("median_us", "p99_us"), ("median", "p99")):
            self.lines(a, "rtt", items, metric, f"Round trip, {title}",
                       "us (less is better)", "bytes of a message")
        self.save(figure, "round-trip")

    def streams(self):
        ways = [w for w in ("write", "read", "both") if w in self.data.items]
        if not ways:
            return
        figure, axes = plt.subplots(1, len(ways), figsize=(1 + 5 * len(ways), 5), sharey=True,
                                    squeeze=False)
        titles = {"write": "Guest to host", "read": "Host to guest", "both": "Both ways at once"}
        for a, way in zip(axes[0], ways):
            self.lines(a, way, self.data.items[way], "mb_s", titles[way],
                       "MB/s (more is better)", "bytes of a call")
        self.save(figure, "stream")

    def channels(self):
        items = self.data.items.get("many", [])
        sizes = sorted({i.split("x")[1] for i in items}, key=len)
        if not items:
            return
        figure, axes = plt.subplots(2, len(sizes), figsize=(1 + 6 * len(sizes), 8), squeeze=False)
        for column, size in enumerate(sizes):
            mine = [i for i in items if i.endswith("x" + size)]
            ticks = [i.split("x")[0] for i in mine]
            self.lines(axes[0][column], "many", mine, "round_trips_s",
                       f"All channels busy with {size}-byte round trips",
                       "round trips a second", "channels open", ticks)
            self.lines(axes[1][column], "many", mine, "longest_ms", "Longest wait of a channel",
                       "ms (less is better)", "channels open", ticks)
        self.save(figure, "channels")

    def beside(self):
        items = self.data.items.get("beside", [])
        if not items:
            return
        figure, axes = plt.subplots(figsize=(12, 5))
        names = [n for n in self.names
                 if any(self.data.all("beside", i, n, "p99_us") for i in items)]
        width = 0.8 / max(1, len(names))
        for k, name in enumerate(names):
            at = [x + (k - (len(names) - 1) / 2) * width for x in range(len(items))]
            heights = [self.data.median("beside", i, name, "p99_us") or 0 for i in items]
            axes.bar(at, heights, width * 0.92, label=self.labels[name], color=COLOURS[name])
        words = {"alone": "alone", "stalled": "beside a\nstalled channel",
                 "bulk-write": "beside a bulk\nstream to the host",
                 "bulk-read": "beside a bulk\nstream to the guest",
                 "idle": "beside 1,000\nidle channels"}
        axes.set_xticks(range(len(items)), [words.get(i, i) for i in items])
        axes.set_yscale("log")
        axes.set(title="p99 of a 64-byte round trip beside other channels' load",
                 ylabel="us (less is better)")
        axes.grid(True, axis="y", which="both", alpha=0.25)
        self.save(figure, "beside")

    def stack(self, axes, group, item, prefix, title, ylabel):
        """A bar per transport, of the three sides."""
        names = [n for n in self.names
                 if n != "host" and self.data.all(group, item, n, prefix + "_all")]
        bottom = [0.0] * len(names)
        for side, label, colour in SIDES:
            heights = [self.data.median(group, item, n, f"{prefix}_{side}") or 0 for n in names]
            axes.bar(range(len(names)), heights, 0.7, bottom, label=label, color=colour)
            bottom = [b + h for b, h in zip(bottom, heights)]
        for x, total in enumerate(bottom):
            axes.annotate(f"{total:.3g}", (x, total), ha="center", va="bottom", fontsize=8)
        axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
        axes.set(title=title, ylabel=ylabel)
        axes.set_ylim(0, max(bottom, default=1) * 1.1)

    def processor(self):
        wanted = [("rtt", "64", "cpu_us_op", "per 64-byte round trip", "us"),
                  ("write", "64K", "cpu_s_gb", "per GB written, 64K calls", "s"),
                  ("read", "64K", "cpu_s_gb", "per GB read, 64K calls", "s"),
                  ("write", "4K", "cpu_s_gb", "per GB written, 4K calls", "s")]
        wanted = [w for w in wanted if w[1] in self.data.items.get(w[0], [])]
        if not wanted:
            return
        figure, axes = plt.subplots(1, len(wanted), figsize=(4 * len(wanted), 4.5), squeeze=False)
        for a, (group, item, prefix, title, unit) in zip(axes[0], wanted):
            self.stack(a, group, item, prefix, f"Processor time\n{title}", unit)
        self.save(figure, "processor")


def draw_all(out, run, data, labels):
    drawer = Drawer(out, run, data, labels)
    drawer.round_trips()
    drawer.streams()
    drawer.channels()
    drawer.beside()
    drawer.processor()
