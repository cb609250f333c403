"""What container tools need on this kind of machine: a real Docker engine, and an environment for podman."""

import os
import subprocess
import time

from harness import clean_env, run


class Engine:
    """dockerd with a data root of its own, without networking; ended by its pid, its mounts undone."""

    def __init__(self, space):
        self.space = space
        self.root = space.dir("docker")
        self.socket = f"unix://{self.root}/sock"
        self.config = space.dir("docker-config")
        self.had_key = os.path.exists("/etc/docker/key.json")
        with open(f"{self.root}/daemon.json", "w", encoding="ascii") as file:
            file.write("{}")
        with open(f"{self.root}/log", "ab") as log:
            self.process = subprocess.Popen(
                ["dockerd", "--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver=vfs",
                 "--data-root", f"{self.root}/data", "--exec-root", f"{self.root}/exec", "--pidfile", f"{self.root}/pid",
                 "-H", self.socket, "--config-file", f"{self.root}/daemon.json"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=clean_env(), start_new_session=True)
        deadline = time.monotonic() + 60
        while run(["docker", "-H", self.socket, "info"]).code != 0:
            assert self.process.poll() is None and time.monotonic() < deadline, self.log()
            time.sleep(0.2)

    def log(self):
        with open(f"{self.root}/log", encoding="utf-8", errors="replace") as file:
            return file.read()[-6000:]

    def __call__(self, *args, **options):
        options.setdefault("check", 0)
        return run(["docker", "--config", self.config, "-H", self.socket, *args], **options)

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        with open("/proc/self/mounts", encoding="utf-8") as file:
            mounts = [line.split()[1] for line in file if line.split()[1].startswith(self.root)]
        for mount in sorted(mounts, reverse=True):
            run(["umount", "-l", mount])
        if not self.had_key and os.path.exists("/etc/docker/key.json"):
            os.remove("/etc/docker/key.json")


class Podman:
    """podman with a container storage of its own; called as an Engine is."""

    def __init__(self, space):
        self.environment = podman_environment(space)

    def __call__(self, *args, **options):
        options.setdefault("check", 0)
        return run(["podman", *args], env=self.environment, **options)


def podman_environment(space):
    """With a container storage of its own; also for buildah."""
    with open(space.file("containers.conf"), "w", encoding="ascii") as file:
        file.write('[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]\nnetns = "host"\n'
                   '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n')
    with open(space.file("storage.conf"), "w", encoding="ascii") as file:
        file.write(f'[storage]\ndriver = "vfs"\nrunroot = "{space.dir("runroot")}"\ngraphroot = "{space.dir("graphroot")}"\n')
    with open(space.file("policy.json"), "w", encoding="ascii") as file:
        file.write('{"default":[{"type":"insecureAcceptAnything"}]}')
    with open(space.file("auth.json"), "w", encoding="ascii") as file:
        file.write("{}")
    return {"CONTAINERS_CONF": space.file("containers.conf"), "CONTAINERS_STORAGE_CONF": space.file("storage.conf"),
            "REGISTRY_AUTH_FILE": space.file("auth.json"), "TMPDIR": space.dir("tmp"), "XDG_RUNTIME_DIR": space.dir("run"),
            "HOME": space.dir("home")}
