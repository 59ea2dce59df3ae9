# SPDX-License-Identifier: MIT
"""System calls per operation of QEMU and the back end: not timed. A fixed number of
operations and three times as many are run; the difference is what the operations cost,
without what surrounds them."""
import os
import re
import signal
import subprocess
import time


class PerfCounter:
    """Counts the system calls of processes. It has begun when perf starts its command,
    which waits for a pipe to be opened, and ends with it."""

    def __init__(self, folder, pids):
        self.pipe, self.out = f"{folder}/perf.pipe", f"{folder}/perf.out"
        if not os.path.exists(self.pipe):
            os.mkfifo(self.pipe)
        self.process = subprocess.Popen(
            ["perf", "stat", "-x", ",", "-o", self.out, "-e", "raw_syscalls:sys_enter",
             "-p", ",".join(map(str, pids)), "--", "cat", self.pipe],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.writer = open(self.pipe, "w")

    def end(self):
        self.writer.close()
        self.process.wait(20)
        with open(self.out) as f:
            return int(re.search(r"^(\d+),", f.read(), re.MULTILINE).group(1))


class StraceCounter:
    def __init__(self, folder, pids):
        self.out, log = f"{folder}/strace.out", f"{folder}/strace.log"
        words = [w for pid in pids for w in ("-p", str(pid))]
        self.process = subprocess.Popen(["strace", "-f", "-c", "-o", self.out] + words,
                                        stderr=open(log, "w"))
        while self.process.poll() is None and "attached" not in open(log).read():
            time.sleep(0.02)
        time.sleep(0.2)

    def end(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(20)
        with open(self.out) as f:
            total = [line for line in f if line.rstrip().endswith("total")]
        return int(total[-1].split()[3]) if total else 0


def working_counter():
    try:
        done = subprocess.run(["perf", "stat", "-e", "raw_syscalls:sys_enter", "true"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if done.returncode == 0:
            return PerfCounter
    except FileNotFoundError:
        pass
    return StraceCounter


def count(run, items):
    counter, start = working_counter(), time.monotonic()
    run.calls_by = "perf" if counter is PerfCounter else "strace (which slows it all)"
    for item in items:
        for transport in run.transports:
            if transport.name != "host" and run.can(item, transport):
                count_item(run, counter, item, transport)
    print(f"calls: counted in {time.monotonic() - start:.0f} s", flush=True)


def count_item(run, counter, item, transport):
    pids = {"qemu": run.host.pids["qemu"]}
    if transport.back:
        pids["back"] = run.host.pids[transport.back]
    values = {}
    for name, pid in pids.items():
        counts = []
        for ops in (item.words[-1], item.words[-1] * 3):
            counting = counter(run.host.dir, [pid])
            text, status = run.host.client(transport, transport.each,
                                           item.words[:-1] + [f"ops={ops}"], run.limit_of(item))
            counts.append(counting.end())
            if status != 0:
                run.note_error(item, transport, text.strip()[-200:] or "no answer")
                return
        values[f"calls_{name}"] = (counts[1] - counts[0]) / (item.words[-1] * 2)
    values["calls_all"] = sum(values.values())
    run.samples.append((item.group, item.name, transport.name, 1, values))
