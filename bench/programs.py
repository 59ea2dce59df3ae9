# SPDX-License-Identifier: MIT
"""Real programs of Debian's packages and their servers: redis-benchmark with 100 clients, pgbench
with 50. In the guest they come through manyport forward, or by TCP over the peers' networks."""
import glob
import os
import subprocess

POSTGRES = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
# What the guest gets, each with its libraries.
GUEST = ["redis-benchmark"] + [f"{folder}/pgbench" for folder in POSTGRES[-1:]]
SERVICES = ("redis", "postgres")


def command_as_postgres(words):
    """PostgreSQL's server does not run as root."""
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] + words \
        if os.geteuid() == 0 else words


class Servers:
    """Both servers below @folder, started by @start (of the machine), on @ports of 127.0.0.1."""

    def __init__(self, folder, ports, start):
        self.folder, self.ports = f"{folder}/programs", ports
        os.mkdir(self.folder)
        os.chmod(self.folder, 0o777)
        start("redis", ["redis-server", "--port", str(ports["redis"]), "--save", "",
                        "--unixsocket", f"{self.folder}/redis.sock", "--unixsocketperm", "777"],
              path=f"{self.folder}/redis.sock")
        self.start_postgres(start)

    def start_postgres(self, start):
        data, programs = f"{self.folder}/data", POSTGRES[-1]
        subprocess.run(command_as_postgres([f"{programs}/initdb", "-U", "postgres", "-A", "trust",
                                            "--no-sync", "-D", data]),
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        start("postgres", command_as_postgres(
            [f"{programs}/postgres", "-D", data, "-k", self.folder, "-p",
             str(self.ports["postgres"]), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off",
             "-c", "max_connections=200"]), ready="ready to accept connections")
        socket = f"{self.folder}/.s.PGSQL.{self.ports['postgres']}"
        subprocess.run([f"{programs}/pgbench", "-h", self.folder, "-p", str(self.ports["postgres"]),
                        "-U", "postgres", "-i", "-q", "postgres"],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        os.symlink(socket, f"{self.folder}/.s.PGSQL.5432")

    def configuration(self):
        return "".join(f"[Service {name}]\nConnect=unix:{self.folder}/{path}\n" for name, path in
                       zip(SERVICES, ("redis.sock", ".s.PGSQL.5432")))

    def words(self, item, transport):
        """For programs.sh, or None where the transport cannot have the programs."""
        program, family, amount = map(str, item.words)
        tcp = [str(self.ports[name]) for name in SERVICES]
        kind, _, rest = transport.each.partition(":")
        if kind == "port":
            command = "manyport-baseline" if transport.module == "baseline" else "manyport"
            where = ["run" if family == "run" else "forward", rest.split(":")[0], command]
            family = "unix" if family == "run" else family
        elif kind == "tcp":
            family, where = "tcp", [rest.split(":")[0]] + tcp   # the only way that a network has
        elif transport.name == "host":
            where = ["127.0.0.1"] + tcp if family == "tcp" else [self.folder]
            family = "tcp" if family == "tcp" else "unix"
        else:
            return None
        return [program, family, amount] + where
