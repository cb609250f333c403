"""The two servers of the comparison, and the load generator aimed at one of them."""

import base64
import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))
BUILD = os.path.join(ROOT, "build", "release")


def built(program):
    return os.path.join(BUILD, program)


def free_port():
    for port in range(18000 + os.getpid() % 4000, 32000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise SystemExit("no free port")


def wait_for(url, process):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(url, timeout=2)  # noqa: S310
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.05)
    raise SystemExit(f"{url} does not answer")


class Registry:
    """A server of ours or of the peer's; ended by its pid."""

    name = durability = version = ""
    password = ""

    def __init__(self, folder, *args):
        self.folder, self.args = folder, [str(a) for a in args]
        os.makedirs(folder, exist_ok=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.launch = self.command()
        begin = time.monotonic()
        self.start()
        self.started_s = time.monotonic() - begin
        time.sleep(2)
        self.idle_kib, self.idle_private_kib = self.memory("VmRSS"), self.memory("RssAnon")

    def start(self):
        """Again, after stop(): on the same ports and data."""
        with open(os.path.join(self.folder, "log"), "ab") as log:
            self.process = subprocess.Popen(self.launch, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True)
        wait_for(self.url + "/v2/", self.process)

    def command(self):
        raise NotImplementedError

    def memory(self, field):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            for line in status:
                if line.startswith(field + ":"):
                    return int(line.split()[1])
        return 0

    def reset_peak(self):
        try:
            with open(f"/proc/{self.process.pid}/clear_refs", "w", encoding="ascii") as file:
                file.write("5")
        except OSError:
            pass

    def verify_password(self):
        """Argon2id takes 19 MiB for as long as it lasts; then the server knows the password for a minute."""

    def cpu_s(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Peer(Registry):
    name = "docker-registry"
    durability = "does not sync: an acknowledged push may be lost with the power"

    def command(self):
        config = os.path.join(self.folder, "config.yml")
        with open(config, "w", encoding="ascii") as file:
            json.dump({"version": "0.1", "log": {"level": "error", "accesslog": {"disabled": True}},
                       "storage": {"filesystem": {"rootdirectory": os.path.join(self.folder, "data")}},
                       "http": {"addr": f"127.0.0.1:{self.port}"}}, file)
        shown = subprocess.run(["dpkg-query", "-W", "-f=${Version}", "docker-registry"], stdout=subprocess.PIPE,
                               check=False)
        Peer.version = shown.stdout.decode()
        return ["docker-registry", "serve", config]


class Ours(Registry):
    name = "dtr"
    durability = "every acknowledged push is synced: files, directories and database"

    def command(self):
        shown = subprocess.run([built("dtr"), "version"], stdout=subprocess.PIPE, check=False)
        Ours.version = shown.stdout.decode().strip().splitlines()[0] if shown.stdout else "?"
        self.https_port = free_port_other(self.port)
        return [built("dtr"), "serve", "--data-dir", os.path.join(self.folder, "data"), "--listen",
                f"127.0.0.1:{self.https_port}", "--http-listen", f"127.0.0.1:{self.port}",
                "--access-log", "off",  # as the peer's
                *self.args]

    @property
    def data(self):
        return os.path.join(self.folder, "data")

    def log_in(self):
        with open(os.path.join(self.data, "admin-password"), encoding="ascii") as file:
            self.password = file.read().strip()
        return self

    def verify_password(self):
        request = urllib.request.Request(self.url + "/v2/")
        request.add_header("Authorization", "Basic " + base64.b64encode(f"admin:{self.password}".encode()).decode())
        with urllib.request.urlopen(request, timeout=30):  # noqa: S310
            pass

    def connection(self):
        """Flags of a command that talks to it; the password goes by UCP_PASSWORD."""
        return ["--ucp-url", f"127.0.0.1:{self.https_port}", "--ucp-insecure-tls", "--ucp-username", "admin"]

    def environment(self):
        return {**os.environ, "UCP_PASSWORD": self.password}


def free_port_other(taken):
    port = free_port()
    while port == taken:
        with socket.socket() as hold:
            hold.bind(("127.0.0.1", port))
            port = free_port()
    return port


def drive(registry, arguments, seed, seconds, repository=None):
    registry.verify_password()
    registry.reset_peak()
    before = registry.cpu_s()
    begin = time.monotonic()
    done = subprocess.run(
        [built("bench/bench_driver"), *arguments.split(), "--url", registry.url, "--seed", str(seed),
         "--seconds", str(seconds), "--repo", repository or f"admin/bench{seed}"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False,
        env={**os.environ, "BENCH_PASSWORD": registry.password})
    if done.returncode != 0:
        return None
    result = json.loads(done.stdout)
    result["peak_kib"] = registry.memory("VmHWM")
    result["server_cpus"] = (registry.cpu_s() - before) / (time.monotonic() - begin)
    return result
