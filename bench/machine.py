# SPDX-License-Identifier: MIT
"""All that is started for a run: the server, the back ends, the guest; and their ends."""
import os
import re
import resource
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import programs

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, os.environ.get("O", "build"))
CLIENT = f"{BUILD}/bench-client"
WORLD = f"{ROOT}/tests/world"
CHANNELS = 20000
DESCRIPTORS = 65536
# Without the "fast" string instructions, which make the guest's kernel copy a byte per
# emulated instruction: several times slower than a loop, and nothing like hardware.
CPU = "max,-erms,-fsrm"
# Where the devices sit on the PCI bus, so that the guest's names can be told apart.
# With interrupt lines, as manyport's (slot 2) and vport-intx's, they must not share one.
SLOTS = {"control": 0x10, "vport": 0x11, "vsock": 0x12, "vport-intx": 0x13, "passt": 0x14,
         "slirp": 0x15, "fs": 0x16, "baseline": 0x18, "org.manyport.0": 0x19}
# Transports of the module, which may have a parameter that ends polling.
OURS = ("manyport", "baseline", "fs")
DOOR = "/run/manyport/port"
MACS = {"slirp": "52:54:00:00:00:02", "passt": "52:54:00:00:00:03"}


class GuestGone(Exception):
    """The guest has ended, or its control channel."""


class Transport:
    """One way from the client to the server: each is the one-process-per-connection
    server's address, many the other's (or None); back is what its back end is called
    in the marks; single is true when it cannot be open twice; module is which of the guest's
    modules it needs, if there are two."""

    def __init__(self, name, each, many, back=None, single=False):
        self.name, self.each, self.many, self.back = name, each, many, back
        self.single, self.module = single, None
        self.irq = self.before = self.after = None
        self.dead = None


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def output_of(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def version_of(program):
    done = subprocess.run([program, "--version"], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL)
    return done.stdout.split("\n")[0]


def raise_descriptor_limit():
    """For ten thousand channels, of which some back ends hold two each."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(hard, DESCRIPTORS),) * 2)
    except (OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Machine:
    def __init__(self, seconds, insmod_args=None, suite=None, baseline=None, has_programs=False,
                 icount=None, cpus=1, accel="tcg", fs_settings=""):
        """With a suite of Debian's QEMU (tests/world/qemu) that one; manyport's device is then the
        one of virtio-fs, which it has in any case. baseline: a commit, whose daemon has a
        device of its own beside, and whose module takes turns with today's. has_programs: with
        those of programs.py and their servers. icount: the guest's clock counts instructions, of
        so many ns each (as a power of two). cpus: processors of the guest. accel: as
        tests/world/boot has it, "" for what works here. fs_settings: lines for [Guest] of the daemon
        behind the device of virtio-fs."""
        self.qemu = ["--qemu", suite, "--device", "console" if suite == "patched" else "fs"] \
            if suite else []
        self.dir = tempfile.mkdtemp(prefix="manyport-bench.")
        # passt gives up its rights, and makes its socket with them.
        os.chmod(self.dir, 0o755)
        self.processes, self.pids, self.missing = {}, {}, {}
        self.baseline = baseline and output_of(f"{ROOT}/bench/baseline", baseline)
        self.module, self.insmod_args = "manyport", insmod_args
        self.cpu = CPU
        self.tcp = {name: free_port() for name in ("each", "passt", "slirp", *programs.SERVICES)}
        self.has_programs, self.programs = has_programs, None
        self.icount = icount
        self.cpus, self.accel, self.fs_settings = cpus, accel, fs_settings
        self.next_id, self.boot_status = 0, None
        self.pending = b""
        raise_descriptor_limit()
        try:
            self.start_servers()
            self.start_back_ends()
            self.start_guest(seconds)
            self.write_watch()
        except BaseException:
            self.stop()
            raise

    # --- Processes of the host

    def start(self, name, command, ready=None, path=None, optional=False):
        """Starts it and waits until it has said ready, or until path is there."""
        log = f"{self.dir}/{name}.log"
        with open(log, "w") as out:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                       start_new_session=True)
        self.processes[name], self.pids[name] = process, process.pid
        for _ in range(1200):
            if path and os.path.exists(path):
                return True
            if ready and ready in self.log_of(name):
                return True
            if process.poll() is not None:
                break
            time.sleep(0.05)
        del self.processes[name], self.pids[name]
        if process.poll() is None:
            process.kill()
        if not optional:
            raise SystemExit(f"{name} did not start:\n{self.log_of(name)}")
        self.missing[name] = f"did not start: {self.log_of(name).strip()[-200:]}"
        return False

    def end_connections(self):
        """Ends the servers of connections that were left full, and gives their back ends a
        moment: some work on such a one for long after its client has gone."""
        os.kill(self.pids["server-each"], signal.SIGHUP)
        time.sleep(1)

    def log_of(self, name):
        with open(f"{self.dir}/{name}.log", errors="replace") as f:
            return f.read()

    def start_servers(self):
        server = [f"{BUILD}/bench-server", "--watch", f"{self.dir}/watch"]
        self.start("server-each", server + ["each", f"unix:{self.dir}/each",
                                            f"tcp:{self.tcp['each']}"], ready="ready")
        # One for each transport: connections that one leaves behind harm no other.
        for name in ("manyport", "baseline", "roads", "vsock", "passt", "slirp", "host"):
            address = f"unix:{self.dir}/{name}-many"
            if name in self.tcp:
                address = f"tcp:{self.tcp[name]}"
            self.start(f"server-many-{name}", server + ["many", address], ready="ready")
        for name in ("vport", "vport-intx"):
            self.start(f"server-{name}", server + ["each", f"unix:{self.dir}/{name}"],
                       ready="ready")
        # vhost-device-vsock connects to UDS_PORT for the guest's port PORT.
        os.symlink(f"{self.dir}/each", f"{self.dir}/vsock_1001")
        os.symlink(f"{self.dir}/vsock-many", f"{self.dir}/vsock_1002")
        self.start("manyportd-roads",
                   [f"{BUILD}/manyportd", f"--stream=unix:{self.dir}/org.manyport.0",
                    f"--vsock-unix={self.dir}/vsock_1003", f"--service=each=unix:{self.dir}/each",
                    f"--service=many=unix:{self.dir}/roads-many"], ready="queues")
        if self.has_programs:
            self.programs = programs.Servers(self.dir, self.tcp, self.start)

    def start_daemon(self, name, port, device, many="manyport", folder=BUILD, settings=""):
        with open(f"{self.dir}/{name}.conf", "w") as f:
            f.write(f"[Guest]\nName=bench\nDevice={device}\nMaxChannels={CHANNELS}\n{settings}"
                    f"[Port {port}]\nId=0\nMaxChannels={CHANNELS}\n"
                    f"[Service each]\nConnect=unix:{self.dir}/each\n"
                    f"[Service many]\nConnect=unix:{self.dir}/{many}-many\n")
            if self.programs:
                f.write(self.programs.configuration())
        self.start(name, [f"{folder}/manyportd", f"--socket-path={self.dir}/{name}.sock",
                          f"--config={self.dir}/{name}.conf"], ready="listening")

    def start_back_ends(self):
        peers = output_of(f"{WORLD}/peers")
        device = self.qemu[3] if self.qemu else "console"
        self.start_daemon("manyportd", "manyport", device)
        if self.baseline:
            self.start_daemon("manyportd-baseline", "baseline", device, "baseline", self.baseline)
        if not self.qemu:
            self.start_daemon("manyportd-fs", "manyport-fs", "fs", settings=self.fs_settings)
        self.start("vsock", [f"{peers}/vhost-device-vsock", "--guest-cid=3",
                             f"--socket={self.dir}/vsock.sock", f"--uds-path={self.dir}/vsock"],
                   path=f"{self.dir}/vsock.sock", optional=True)
        if self.qemu[1:2] == ["bookworm"]:
            self.missing["passt"] = "QEMU 7.2 crashes when the guest's driver starts it"
        elif self.qemu[1:2] == ["patched"]:
            for name in ("passt", "slirp"):
                self.missing[name] = "the smallest QEMU has no networks"
        else:
            self.start_passt(peers)
        self.versions = {
            "vhost-device-vsock": version_of(f"{peers}/vhost-device-vsock"),
            "passt": version_of(f"{peers}/passt"),
            "qemu": version_of(output_of(f"{WORLD}/qemu", *self.qemu[1:2])),
        }

    def start_passt(self, peers):
        passt = f"{self.dir}/passt"
        os.mkdir(passt)
        os.chmod(passt, 0o777)
        self.start("passt", [f"{peers}/passt", "-f", "--vhost-user", "-s", f"{passt}/socket", "-4",
                             "-i", "lo", "-a", "10.0.3.15", "-n", "24", "-g", "10.0.3.2",
                             "--no-dhcp", "-D", "none", "-S", "none"],
                   ready="You can start qemu", optional=True)

    # --- The guest

    def qemu_arguments(self):
        words = ["-name", "manyport-bench,debug-threads=on", "-pidfile", f"{self.dir}/qemu.pid",
                 "-cpu", CPU]
        if self.icount is not None:
            words += ["-icount", f"shift={self.icount},sleep=on"]

        def add(kind, value):
            words.extend((f"-{kind}", value))

        def serial(name, chardev, more=""):
            add("chardev", f"socket,id={name},path={self.dir}/{name},{chardev}")
            add("device", f"virtio-serial-pci,id=bus-{name},addr={SLOTS[name]:#x}{more}")
            add("device", f"virtserialport,bus=bus-{name}.0,chardev={name},name={name}")

        if "manyportd-fs" in self.pids:
            add("chardev", f"socket,id=fs,path={self.dir}/manyportd-fs.sock")
            add("device", f"vhost-user-fs-pci,chardev=fs,tag=manyport,num-request-queues=3,"
                          f"queue-size=1024,addr={SLOTS['fs']:#x}")
        if self.baseline:
            device = "vhost-user-fs-pci,tag=baseline,num-request-queues=3,queue-size=1024" \
                if self.qemu else "vhost-user-test-device-pci,virtio-id=3,config_size=12," \
                                  "num_vqs=4,vq_size=1024"
            add("chardev", f"socket,id=baseline,path={self.dir}/manyportd-baseline.sock")
            add("device", f"{device},chardev=baseline,addr={SLOTS['baseline']:#x}")
        serial("control", "server=on,wait=off")
        # Older QEMUs know whole seconds only.
        again = "reconnect=1" if self.qemu else "reconnect-ms=100"
        serial("vport", again)
        serial("vport-intx", again, ",vectors=0")
        serial("org.manyport.0", "server=on,wait=off")
        if "vsock" in self.pids:
            add("chardev", f"socket,id=vsock,path={self.dir}/vsock.sock")
            add("device", f"vhost-user-vsock-pci,chardev=vsock,addr={SLOTS['vsock']:#x}")
        if "passt" in self.pids:
            add("chardev", f"socket,id=passt,path={self.dir}/passt/socket")
            add("netdev", "vhost-user,id=passt,chardev=passt")
        if "slirp" not in self.missing:
            add("netdev", "user,id=slirp,ipv6=off")
        for name in ("passt", "slirp"):
            if name not in self.missing:
                add("device", f"virtio-net-pci,netdev={name},mac={MACS[name]},romfile=,"
                              f"addr={SLOTS[name]:#x}")
        return [word for w in words for word in ("--machine-arg", w)]

    def start_guest(self, seconds):
        module = output_of(f"{WORLD}/module", "qemu", f"{ROOT}/kmod", f"{ROOT}/include")
        files = f"{self.dir}/files"
        os.mkdir(files)
        shutil.copy(CLIENT, files)
        shutil.copy(f"{BUILD}/bench-server", files)
        shutil.copy(f"{BUILD}/manyport", files)
        shutil.copy(f"{ROOT}/bench/guest.sh", files)
        if self.programs:
            shutil.copy(f"{ROOT}/bench/programs.sh", files)
            shutil.copy(f"{BUILD}/manyport-run.so", files)
        if self.baseline:
            shutil.copy(f"{ROOT}/bench/use-module.sh", files)
            shutil.copy(f"{module}/manyport.ko", files)
            shutil.copy(f"{self.baseline}/manyport.ko", f"{files}/baseline.ko")
            shutil.copy(f"{self.baseline}/manyport", f"{files}/manyport-baseline")
        command = [f"{WORLD}/boot", "--world", "qemu", "--mem", "3072",
                   "--cpus", str(self.cpus),
                   "--socket", f"{self.dir}/manyportd.sock", "--vq-size", "1024",
                   "--module", f"{module}/manyport.ko"]
        for program in programs.GUEST if self.programs else ():
            command += ["--program", program]
        if self.accel:
            command += ["--accel", self.accel]
        if self.insmod_args:
            command += ["--insmod-args", self.insmod_args]
        command += ["--wait-for", "/dev/virtio-ports/manyport", "--files", files,
                    "--log", f"{self.dir}/kernel.log", "--timeout", str(seconds)]
        command += self.qemu + self.qemu_arguments() + ["--", "sh", "guest.sh"]
        self.start("boot", command, path=f"{self.dir}/control")
        self.connect_control()
        self.pids["qemu"] = int(open(f"{self.dir}/qemu.pid").read())
        self.vcpus = []
        for task in os.listdir(f"/proc/{self.pids['qemu']}/task"):
            comm = open(f"/proc/{self.pids['qemu']}/task/{task}/comm").read().strip()
            if re.match(r"CPU [0-9]+/|ALL CPUs/", comm):
                self.vcpus.append(int(task))

    def connect_control(self):
        self.control = socket.socket(socket.AF_UNIX)
        self.control.connect(f"{self.dir}/control")
        try:
            text, status = self.read_answer("ready", 90)
        except GuestGone:
            status = None
        if status != 0:
            try:
                self.processes["boot"].wait(20)
            except subprocess.TimeoutExpired:
                pass
            raise SystemExit("the guest did not come up:\n" + self.log_of("boot"))
        self.setup = text
        self.devices, self.parameters = {}, {}
        by_slot = {f"0000:00:{slot:02x}.0": name for name, slot in SLOTS.items()}
        for line in text.split("\n"):
            words = line.split()
            if words[:1] == ["device"]:
                self.devices[by_slot.get(words[2], "manyport")] = words[1]
            elif words[:1] == ["parameter"]:
                self.parameters[words[1]] = words[2]
            elif words[:1] in (["kernel"], ["clock"]):
                self.versions["guest " + words[0]] = words[1]

    def read_answer(self, answer_id, seconds):
        """The text before "end ID STATUS" and the status; (text, None) when the time is up."""
        end, text = time.monotonic() + seconds, []
        while True:
            while b"\n" in self.pending:
                line, self.pending = self.pending.split(b"\n", 1)
                line = line.decode(errors="replace")
                words = line.split()
                if words[:2] == ["end", answer_id]:
                    return "\n".join(text), int(words[2])
                text.append(line)
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.control], [], [], left)[0]:
                return "\n".join(text), None
            try:
                data = self.control.recv(65536)
            except OSError:
                data = b""
            if not data:
                raise GuestGone("the guest has ended, or its control channel")
            self.pending += data

    def guest(self, command, seconds):
        """Runs a command in the guest, which kills it after that time."""
        self.next_id += 1
        try:
            self.control.sendall(f"{self.next_id} {seconds + 3} {command}\n".encode())
        except OSError as error:
            raise GuestGone(f"the guest's control channel: {error}") from error
        # To end a process with thousands of connections takes its time.
        return self.read_answer(str(self.next_id), seconds + 30)

    def host(self, command, seconds):
        try:
            done = subprocess.run(command, timeout=seconds + 3, text=True, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            return done.stdout, done.returncode
        except subprocess.TimeoutExpired:
            return "", None

    # --- What the measurements need

    def write_watch(self):
        """The figures of a MARK; see watch.c."""
        with open(f"{self.dir}/watch", "w") as f:
            for i, vcpu in enumerate(self.vcpus):
                f.write(f"guest{i} thread {self.pids['qemu']} {vcpu}\n")
            for name in ("qemu", "manyportd", "manyportd-fs", "manyportd-baseline", "vsock",
                         "passt"):
                if name in self.pids:
                    f.write(f"{name} process {self.pids[name]}\n{name}_rss rss {self.pids[name]}\n")

    def transports(self):
        tcp = self.tcp
        node = "/dev/virtio-ports"
        found = [
            Transport("manyport", f"port:{node}/manyport:each", f"port:{node}/manyport:many",
                      "manyportd"),
            Transport("fs", f"port:{node}/manyport-fs:each", f"port:{node}/manyport-fs:many",
                      "manyportd-fs"),
            Transport("vport", f"vport:{node}/vport", None, single=True),
            Transport("vport-intx", f"vport:{node}/vport-intx", None, single=True),
            Transport("serve", f"each@unix:{DOOR}", f"many@unix:{DOOR}", "manyportd-roads"),
            Transport("vsock", "vsock:2:1001", "vsock:2:1002", "vsock"),
            Transport("vsock-road", "each@vsock:2:1003", "many@vsock:2:1003", "manyportd-roads"),
            Transport("passt", f"tcp:10.0.3.2:{tcp['each']}", f"tcp:10.0.3.2:{tcp['passt']}",
                      "passt"),
            Transport("slirp", f"tcp:10.0.2.2:{tcp['each']}", f"tcp:10.0.2.2:{tcp['slirp']}"),
            Transport("local", "unix:/run/local", None, single=True),
            Transport("host", f"unix:{self.dir}/each", f"unix:{self.dir}/host-many"),
        ]
        if self.qemu:
            del found[1]
        if self.baseline:
            found.insert(1, Transport("baseline", f"port:{node}/baseline:each",
                                      f"port:{node}/baseline:many", "manyportd-baseline"))
        for name in self.parameters:
            if "poll" in name:
                # The same without polling, when there is a parameter that says so.
                path = f"/sys/module/manyport/parameters/{name}"
                for loud in [t for t in found if t.name in OURS]:
                    quiet = Transport(f"{loud.name}-irq", loud.each, loud.many, loud.back)
                    quiet.before = f"echo 0 >{path}"
                    quiet.after = f"echo {self.parameters[name]} >{path}"
                    found.insert(found.index(loud) + 1, quiet)
                break
        for transport in found:
            if self.baseline and transport.name.removesuffix("-irq") in OURS:
                is_old = transport.name.startswith("baseline")
                transport.module = "baseline" if is_old else "manyport"
            transport.irq = self.devices.get(transport.name.removesuffix("-irq"))
            transport.dead = self.missing.get(transport.name)
        return found

    def load_module_of(self, transport):
        module = transport.module or self.module
        if module == self.module:
            return
        text, status = self.guest(f"sh use-module.sh {module} {self.insmod_args or ''}", 60)
        if status != 0:
            raise GuestGone(f"the guest cannot load {module}.ko: {text}")
        self.module = module

    def client(self, transport, target, words, limit):
        """Runs the client over a transport; returns its output and status."""
        self.load_module_of(transport)
        words = words + [f"limit={limit}"]
        if transport.name == "host":
            return self.host([CLIENT, target] + words, limit)
        if transport.irq:
            words.append(f"irq={transport.irq}")
        command = " ".join(["bench-client", target] + words)
        if transport.before:
            command = f"{transport.before}; {command}; s=$?; {transport.after}; exit $s"
        else:
            command = f"exec {command}"
        return self.guest(command, limit)

    def program(self, transport, item, limit):
        """Runs a program over a transport that can have it; returns its output and status."""
        self.load_module_of(transport)
        words = self.programs.words(item, transport)
        if transport.name == "host":
            return self.host([f"{ROOT}/bench/programs.sh"] + words, limit)
        return self.guest(" ".join(["exec sh programs.sh"] + words), limit)

    def reset(self, transport):
        """A stock port's connection is in the middle of something: a new one."""
        if transport.single:
            os.kill(self.pids[f"server-{transport.name}"], signal.SIGHUP)
            time.sleep(0.5)

    def stop(self):
        if hasattr(self, "control") and self.processes["boot"].poll() is None:
            try:
                self.control.sendall(b"exit\n")
                self.boot_status = self.processes["boot"].wait(30)
            except (OSError, subprocess.TimeoutExpired):
                pass
        self.boot_log = self.log_of("boot") if os.path.exists(f"{self.dir}/boot.log") else ""
        for process in reversed(list(self.processes.values())):
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
        shutil.rmtree(self.dir, ignore_errors=True)
