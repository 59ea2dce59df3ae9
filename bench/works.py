# SPDX-License-Identifier: MIT
"""What is measured: groups of items. All rounds of a group are run before the next group,
so that a peer which breaks in one of the last has its figures from the first."""


class Item:
    """One figure for each transport: the client's words, and which server it talks to."""

    def __init__(self, group, name, words, server="each", single=True, times=1, rounds=None,
                 limit=None, leaves=False, only=None, without=()):
        self.group, self.name, self.words, self.server = group, name, words, server
        self.single = single        # a port that has only one open can do it
        self.times = times          # as long as a sample's time else is
        self.rounds = rounds        # at most
        self.limit = limit          # seconds until it is given up, and not tried again
        self.leaves = leaves        # connections to servers that never end
        self.only, self.without = only, without     # names of transports


def size_name(size):
    for unit, name in ((1 << 20, "M"), (1 << 10, "K")):
        if size >= unit:
            return f"{size // unit}{name}"
    return str(size)


class Plan:
    def __init__(self, quick):
        self.quick = quick
        self.rounds = 5
        self.seconds = 0.15 if quick else 0.5
        self.rtt_sizes = [64, 65536] if quick else [1, 64, 4096, 65536]
        self.stream_sizes = [1024, 4096, 65536, 1 << 20] if quick else \
            [64, 1024, 4096, 65536, 262144, 1 << 20]
        self.both_sizes = [65536] if quick else self.stream_sizes
        self.channels = [1, 10, 100, 1000]
        self.many_sizes = [64] if quick else [64, 16384]
        self.check_sizes = [65536] if quick else [1, 4096, 65536, 1 << 20]
        self.memory = 1000 if quick else 10000

    def many(self):
        items = [Item("many", f"{n}x{size_name(s)}", ["many", f"channels={n}", f"size={s}"],
                      "many", single=False)
                 for s in self.many_sizes for n in self.channels]
        if not self.quick:
            items.insert(4, Item("many", "10000x64", ["many", "channels=10000", "size=64"], "many",
                                 single=False, rounds=3, limit=45))
        return items

    def groups(self):
        """Name of the group to its items, in the order in which they are run."""
        return {
            # First, while no back end has memory from before to use again.
            "memory": [Item("memory", str(self.memory), ["memory", f"channels={self.memory}"],
                            "many", single=False, limit=45)],
            "rtt": [Item("rtt", size_name(s), ["rtt", f"size={s}"], times=2)
                    for s in self.rtt_sizes],
            "beside": [
                Item("beside", "alone", ["beside", "beside=nothing"]),
                Item("beside", "stalled", ["beside", "beside=stalled"], single=False,
                     leaves=True, without=("vsock",)),
                Item("beside", "bulk-write", ["beside", "beside=bulk-write"], single=False),
                Item("beside", "bulk-read", ["beside", "beside=bulk-read"], single=False,
                     leaves=True),
                Item("beside", "busy", ["beside", "beside=busy"]),
                Item("beside", "idle", ["beside", "beside=idle", "channels=1000"], single=False,
                     rounds=3)],
            "open": [Item("open", "open", ["open"], "many")],
            "read": self.streams("read", self.stream_sizes),
            "write": self.streams("write", self.stream_sizes),
            "both": self.streams("both", self.both_sizes),
            "many": self.many(),
            # Several processes, with a channel each.
            "processes": [Item("processes", f"{n}x64", ["processes", f"channels={n}", "size=64"],
                               single=False) for n in (2, 8, 32)],
            "programs": [Item("programs", f"{program}-{family}", [program, family, amount],
                              limit=60)
                         for program, amount in (("redis", 5000), ("pgbench", 2))
                         for family in ("unix", "tcp", "run")],
            "check": [Item("check", f"{way}-{size_name(s)}",
                           ["check", f"direction={way}", f"size={s}"])
                      for way in ("echo", "read", "write", "both")
                      for s in self.check_sizes
                      if s > 1 or way == "echo"],
            "calls": [
                Item("calls", "rtt-64", ["rtt", "size=64", 500]),
                Item("calls", "write-4K", ["stream", "direction=write", "size=4096", 5000]),
                Item("calls", "read-4K", ["stream", "direction=read", "size=4096", 5000]),
                Item("calls", "write-64K", ["stream", "direction=write", "size=65536", 500]),
                Item("calls", "read-64K", ["stream", "direction=read", "size=65536", 500]),
                Item("calls", "write-1M", ["stream", "direction=write", "size=1048576", 50]),
                Item("calls", "read-1M", ["stream", "direction=read", "size=1048576", 50])],
            # vhost-device-vsock wakes its thread and the guest thousands of times a second for
            # as long as it runs once a connection has stalled: so after all the others.
            "last": [Item("beside", "stalled", ["beside", "beside=stalled"], single=False,
                          leaves=True, only=("vsock",))],
        }

    @staticmethod
    def streams(way, sizes):
        return [Item(way, size_name(s), ["stream", f"direction={way}", f"size={s}"])
                for s in sizes]

    @staticmethod
    def first_round(group):
        """Round 0 warms up. These warm up in each sample, or are not timed."""
        return 1 if group in ("many", "processes", "beside", "check", "memory", "calls", "last") else 0

    def rounds_of(self, group):
        """Timed rounds, without the warm-up; what only counts needs one."""
        if group in ("check", "memory", "calls"):
            return 1
        return self.rounds
