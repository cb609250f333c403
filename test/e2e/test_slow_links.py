"""Real clients over a slow link: what the server bounds in time and memory must not end a push or a pull that goes on.

The link is a proxy for TCP that lets a few KiB through at a time, each way; everything a client does goes through it.
"""

import os
import socket
import threading
import time

import pytest

from engine import Engine, Podman
from harness import run, tool
from oci import Image, Registry, write_layout

BYTES_A_SECOND = 160 << 10
LAYER_BYTES = 500_000


class SlowLink:
    """Forwards what comes to a port of its own to another one, at BYTES_A_SECOND each way for all connections together."""

    PIECE = 4 << 10

    def __init__(self, port):
        self.target = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.turns = {"there": threading.Lock(), "back": threading.Lock()}
        self.carried = {"there": 0, "back": 0}
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.target))
            for way, source, sink in (("there", client, server), ("back", server, client)):
                threading.Thread(target=self.carry, args=[way, source, sink], daemon=True).start()

    def carry(self, way, source, sink):
        try:
            while piece := source.recv(self.PIECE):
                with self.turns[way]:
                    time.sleep(len(piece) / BYTES_A_SECOND)
                    self.carried[way] += len(piece)
                sink.sendall(piece)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            for one in (source, sink):
                one.close()

    def close(self):
        self.listener.close()


@pytest.fixture(scope="module")
def link(server):
    link = SlowLink(server.http_port)
    yield link
    link.close()


@pytest.fixture(scope="module")
def engine(module_space):
    engine = Engine(module_space)
    yield engine
    engine.close()


@pytest.fixture
def layout(space):
    return write_layout(space.dir("image"), Image(layers=[{"data.bin": os.urandom(LAYER_BYTES)}]))


def seen(link, server, name):
    """What was pushed is all there, and went over the link both ways."""
    Registry(server, f"admin/{name}").pull("1")
    assert link.carried["there"] > LAYER_BYTES and link.carried["back"] > LAYER_BYTES
    link.carried.update(there=0, back=0)


def test_skopeo(server, link, layout, space):
    image = f"docker://127.0.0.1:{link.port}/admin/skopeo:1"
    tool("skopeo", "copy", "--dest-tls-verify=false", "--dest-creds", server.creds, f"oci:{layout}", image)
    tool("skopeo", "copy", "--src-tls-verify=false", "--src-creds", server.creds, image, f"oci:{space.file('back')}")
    seen(link, server, "skopeo")


def test_podman(server, link, layout, space):
    podman = Podman(space)
    image = f"127.0.0.1:{link.port}/admin/podman:1"
    policy = ("--signature-policy", space.file("policy.json"))
    given = ["-q", "--tls-verify=false", "--creds", server.creds]
    podman("pull", "-q", *policy, f"oci:{layout}")
    pulled = podman("images", "-q", "--no-trunc").text.split()[0]
    podman("push", *given, pulled, f"docker://{image}")
    podman("rmi", "-f", pulled)
    podman("pull", *given, *policy, image)
    assert pulled in podman("images", "-q", "--no-trunc").text.split()
    seen(link, server, "podman")


def loaded(engine, layout, space, name):
    """The layout as an image of the engine, under that name."""
    archive = space.file("image.tar")
    tool("skopeo", "copy", f"oci:{layout}", f"docker-archive:{archive}:{name}")
    engine("load", "-i", archive)


def test_docker(server, link, engine, layout, space):
    host = f"127.0.0.1:{link.port}"
    image = f"{host}/admin/docker:1"
    loaded(engine, layout, space, image)
    engine("login", "-u", "admin", "--password-stdin", host, stdin=server.password.encode())
    engine("push", image)
    engine("rmi", image)
    engine("pull", image)
    seen(link, server, "docker")


def test_buildkit(server, link, engine, layout, space):
    """Builds on an image that it pulls itself, and the result is pushed."""
    host = f"127.0.0.1:{link.port}"
    tool("skopeo", "copy", "--dest-tls-verify=false", "--dest-creds", server.creds, f"oci:{layout}",
         f"docker://{server.plain_host}/admin/base:1")
    with open(os.path.join(space.dir("context"), "Dockerfile"), "w", encoding="ascii") as file:
        file.write(f"FROM {host}/admin/base:1\nCOPY more /more\n")
    with open(os.path.join(space.dir("context"), "more"), "wb") as file:
        file.write(os.urandom(LAYER_BYTES))
    engine("login", "-u", "admin", "--password-stdin", host, stdin=server.password.encode())
    image = f"{host}/admin/buildkit:1"
    built = run(["/usr/bin/docker", "--config", engine.config, "-H", engine.socket, "build", "-t", image, space.dir("context")],
                env={"DOCKER_BUILDKIT": "1"})
    assert built.code == 0, built
    engine("push", image)
    seen(link, server, "buildkit")


def test_containerd(server, link, engine, layout, space):
    image = f"127.0.0.1:{link.port}/admin/containerd:1"
    archive = space.file("image.tar")
    tool("skopeo", "copy", f"oci:{layout}", f"oci-archive:{archive}:{image}")
    ctr = ["ctr", "-a", f"{engine.root}/exec/containerd/containerd.sock", "-n", "slow"]
    given = ["--plain-http", "-u", server.creds]
    tool(*ctr, "images", "import", archive)
    tool(*ctr, "images", "push", *given, image)
    tool(*ctr, "images", "rm", image)
    tool(*ctr, "content", "prune", "references", check=None)
    tool(*ctr, "images", "pull", *given, image)
    Registry(server, "admin/containerd").pull("1")
    assert link.carried["there"] > LAYER_BYTES
    link.carried.update(there=0, back=0)
