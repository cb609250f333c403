"""The container image of a release, on a real engine: served, backed up and restored as an operator would, volume by volume."""

import io
import os
import subprocess
import tarfile
import time

import pytest
import requests

from engine import Engine, Podman
from harness import UCP, DTR, ROOT, clean_env, free_port, run, tool
from oci import Image, Registry
from test_ucp import eventually

FOLDERS = ("config", "ca", "metadata", "registry")


@pytest.fixture(scope="module")
def archive(module_space):
    """What tools/image made of the programs under test."""
    path = module_space.file("image.tar")
    tool(os.path.join(ROOT, "tools", "image"), "--output", path, "--name", "dtr:test", env={"DTR_BIN": DTR, "UCP_BIN": UCP}, timeout=120)
    return path


@pytest.fixture(scope="module")
def docker(module_space, archive):
    try:
        engine = Engine(module_space)
    except (AssertionError, OSError) as error:
        pytest.skip(f"NO DOCKER ENGINE STARTS HERE, THE IMAGE IS NOT TESTED: {error}")
    try:
        engine("load", "-i", archive)
        yield engine
    finally:
        for container in engine("ps", "-aq").text.split():
            engine("rm", "-f", container)
        engine.close()


@pytest.fixture(scope="module")
def podman(module_space, archive):
    engine = Podman(module_space)
    engine("load", "-q", "-i", archive)
    yield engine
    for container in engine("ps", "-aq").text.split():
        engine("rm", "-f", container)


def volumes(name, program="dtr", folders=FOLDERS):
    """-v for each folder of the data directory, or for all in one."""
    if not folders:
        return ["-v", f"{name}:/var/lib/{program}"]
    return [word for folder in folders for word in ("-v", f"{name}-{folder}:/var/lib/{program}/{folder}")]


class Contained:
    """`dtr serve` or `ucp serve` in a container of its own, on the host's network."""

    def __init__(self, docker, name, program="dtr", mounts=None):
        self.docker, self.name, self.program = docker, name, program
        self.mounts = volumes(name, program, () if program == "ucp" else FOLDERS) if mounts is None else mounts
        self.port, self.plain_port = free_port(), free_port()
        self.host, self.url = f"127.0.0.1:{self.port}", f"http://127.0.0.1:{self.plain_port}"
        self.password = None

    def start(self, *args):
        self.docker("run", "-d", "--name", self.name, "--network", "host", "--health-interval", "1s", *self.mounts,
                    "--entrypoint", f"/usr/bin/{self.program}", "dtr:test", "serve", "--listen", self.host, "--http-listen",
                    f"127.0.0.1:{self.plain_port}", *args)
        deadline = time.monotonic() + 30
        while f"{self.program}: ready" not in self.log():
            assert time.monotonic() < deadline and self.state() == "running", self.log()
            time.sleep(0.1)
        return self

    def log(self):
        done = self.docker("logs", self.name)
        return done.text + done.err

    def state(self):
        return self.docker("inspect", "-f", "{{.State.Status}}", self.name).text.strip()

    def file(self, path):
        """A file of the container, as `docker cp` gives it."""
        packed = self.docker("cp", f"{self.name}:{path}", "-")
        with tarfile.open(fileobj=io.BytesIO(packed.out)) as tar:
            member = tar.getmembers()[0]
            assert member.isreg(), f"{path} is no file"
            return member, tar.extractfile(member).read()

    def stop(self):
        self.docker("stop", "-t", "15", self.name)
        assert self.docker("inspect", "-f", "{{.State.ExitCode}}", self.name).text.strip() == "0", self.log()
        self.docker("rm", "-v", self.name)

    def ca(self):
        return requests.get(f"https://{self.host}/ca", verify=False, timeout=10).text

    def session(self, auth=True):
        session = requests.Session()
        session.trust_env = False
        session.auth = ("admin", self.password) if auth is True else (auth or None)
        return session

    def ucp(self):
        return ["--ucp-url", self.host, "--ucp-ca", self.ca(), "--ucp-username", "admin", "--ucp-password", self.password]


def once(docker, *args, options=("--log-driver", "none"), stdin=None, stdout=None, check=0):
    """docker run -i --rm IMAGE ARGS, with the streams as they are."""
    return docker("run", "-i", "--rm", "--network", "host", *options, "dtr:test", *args, stdin=stdin, stdout=stdout, check=check)


def test_the_session_in_containers(docker, space):
    first = Contained(docker, "first").start()
    member, content = first.file("/var/lib/dtr/config/admin-password")
    assert (member.uid, member.mode & 0o777) == (1000, 0o600)
    first.password = content.decode().strip()
    _, key = first.file("/var/lib/dtr/config/recovery-key")
    keys = space.dir("keys")
    with open(os.path.join(keys, "recovery-key"), "wb") as file:
        file.write(key)
    os.chmod(keys, 0o755)
    os.chmod(os.path.join(keys, "recovery-key"), 0o644)
    image = Image()
    Registry(first, "admin/team/app").push(image, "1.0")
    ca = first.ca()
    replica = first.session().get(first.url + "/api/v0/meta/cluster_status", timeout=10).json()["replica_health"].popitem()[0]

    # docker run -i --rm IMAGE backup ... > backup.tar ; tar -tf backup.tar
    target = space.file("backup.tar")
    with open(target, "wb") as out:
        done = once(docker, "backup", *first.ucp(), "--existing-replica-id", replica, stdout=out)
    assert "sealed" in done.err
    names = tool("tar", "-tf", target).text.splitlines()
    assert any("blobs/sha256" in name for name in names) and len({name.split("/")[0] for name in names}) == 1
    run([DTR, "verify", "--identity", os.path.join(keys, "recovery-key"), target], check=0)
    # Exit codes and silence on stdout pass through as well.
    wrong = first.ucp()[:-1] + ["not this"]
    assert once(docker, "backup", *wrong, check=6).out == b""

    first.stop()
    for folder in FOLDERS:
        docker("volume", "rm", f"first-{folder}")

    # docker run -i --rm IMAGE restore ... < backup.tar, into fresh volumes
    second = Contained(docker, "second")
    with open(target, "rb") as file:
        done = once(docker, "restore", "--identity", "/keys/recovery-key", "--dtr-external-url", second.host,
                    "--replica-id", replica, "--dtr-use-default-storage", options=[
                        "--log-driver", "none", "-v", f"{keys}:/keys:ro", *volumes("second")], stdin=file)
    assert "restored backup" in done.err
    second.password = first.password
    second.start()
    assert image.digest in Registry(second, "admin/team/app").pull("1.0")
    assert second.ca() == ca
    shown = second.session().get(second.url + "/api/v0/meta/cluster_status", timeout=10).json()
    assert replica in shown["replica_health"]
    # Commands beside the server, in its own container.
    listed = docker("exec", second.name, "/usr/bin/dtr", "repo", "list", *second.ucp()).text
    assert "admin/team/app" in listed
    log = second.log()
    assert second.password not in log and "PRIVATE KEY" not in log
    second.stop()


def test_the_session_with_ucp_in_containers(docker, space):
    """UCP, the registry and each command in containers of their own; the key of the backup comes from UCP's escrow."""
    identity = Contained(docker, "identity", "ucp").start()
    identity.password = identity.file("/var/lib/ucp/admin-password")[1].decode().strip()
    given, replica = identity.ucp(), "0123456789ab"
    registry = Contained(docker, "registry")
    registry.password = identity.password
    once(docker, "install", *given, "--replica-id", replica, "--dtr-external-url", registry.host, options=volumes("registry"))
    registry.start()
    image = Image()
    eventually(lambda: registry.session().get(registry.url + "/v2/_catalog", timeout=10).status_code == 200)
    Registry(registry, "admin/team/app").push(image, "1.0")

    target, accounts = space.file("backup.tar"), space.file("ucp.tar")
    with open(target, "wb") as out:
        once(docker, "backup", *given, "--existing-replica-id", replica, stdout=out)
    as_ucp = ["--log-driver", "none", "--entrypoint", "/usr/bin/ucp"]
    with open(accounts, "wb") as out:
        once(docker, "backup", *given, options=as_ucp, stdout=out)
    key = space.file("ucp-key")
    with open(key, "wb") as out:
        out.write(identity.file("/var/lib/ucp/recovery-key")[1])
    os.chmod(key, 0o644)
    registry.stop()
    identity.stop()
    for volume in ["identity", *(f"registry-{folder}" for folder in FOLDERS)]:
        docker("volume", "rm", volume)

    with open(accounts, "rb") as file:
        once(docker, "restore", "--identity", "/key", stdin=file,
             options=[*as_ucp, "-v", f"{key}:/key:ro", *volumes("identity", "ucp", ())])
    identity.start()
    with open(target, "rb") as file:
        done = once(docker, "restore", *given, "--dtr-external-url", registry.host,
                    options=["--log-driver", "none", *volumes("registry")], stdin=file)
    assert "accounts are those of UCP" in done.err
    registry.start()
    eventually(lambda: registry.session().get(registry.url + "/v2/_catalog", timeout=10).status_code == 200)
    assert image.digest in Registry(registry, "admin/team/app").pull("1.0")
    for server in (registry, identity):
        assert registry.password not in server.log() and "PRIVATE KEY" not in server.log()
        server.stop()


# -- what outlives a container

@pytest.mark.parametrize("folders", [(), FOLDERS], ids=["one volume", "four volumes"])
@pytest.mark.parametrize("kind", ["docker", "podman"])
def test_everything_outlives_the_container(request, kind, folders):
    """rm and run, with the same -v: the same authority, accounts, repositories and bytes. The secrets are files there."""
    engine = request.getfixturevalue(kind)
    name = f"lives-{len(folders)}"
    first = Contained(engine, name, mounts=volumes(name, folders=folders)).start()
    place = "/var/lib/dtr/config" if folders else "/var/lib/dtr"
    first.password = first.file(f"{place}/admin-password")[1].decode().strip()
    key = first.file(f"{place}/recovery-key")[1]
    assert b"AGE-SECRET-KEY-1" in key and f"{place}/recovery-key is still on this machine" in first.log()
    image = Image()
    Registry(first, "admin/team/app").push(image, "1.0")
    ca = first.ca()
    assert "warning: " not in first.log().replace("still on this machine", "")
    first.stop()

    second = Contained(engine, name, mounts=first.mounts)
    second.password = first.password
    second.start("--no-install")
    assert second.ca() == ca
    assert image.digest in Registry(second, "admin/team/app").pull("1.0")
    assert second.file(f"{place}/recovery-key")[1] == key
    second.stop()


def refused(docker, program, command, *options):
    """The command in a container with these options is refused for safety; what it says."""
    done = docker("run", "-i", "--rm", "--network", "host", *options, "--entrypoint", f"/usr/bin/{program}", "dtr:test", *command,
                  stdin=b"whatever comes", check=10)
    assert done.out == b"" and "deleted with the container" in done.err and "--ephemeral" in done.err, done
    return done.err


@pytest.mark.parametrize("kind", ["docker", "podman"])
def test_nothing_is_made_where_it_would_be_lost(request, kind):
    """docker run -i --rm IMAGE restore < backup.tar would say "restored", and --rm delete it."""
    engine = request.getfixturevalue(kind)
    listen = ["--listen", f"127.0.0.1:{free_port()}"]
    for program, command in (("dtr", ["restore"]), ("dtr", ["install"]), ("dtr", ["serve", *listen]), ("ucp", ["restore"]),
                             ("ucp", ["serve", *listen])):
        assert f"add -v {program}:/var/lib/{program} to docker run" in refused(engine, program, command)
    assert "add -v dtr:/data/x to docker run" in refused(engine, "dtr", ["restore", "--data-dir", "/data/x"])
    # A mount beside it, or of some of the folders, is not enough.
    refused(engine, "dtr", ["restore"], "-v", "beside:/var/lib/dtr2")
    said = refused(engine, "dtr", ["serve", *listen], *volumes("some", folders=("config", "ca")))
    assert "add -v dtr-metadata:/var/lib/dtr/metadata -v dtr-registry:/var/lib/dtr/registry to docker run" in said


@pytest.mark.parametrize("mounts, args, warning", [
    ([], ["--ephemeral"], "deleted with the container"),
    (["-v", "/var/lib/dtr"], [], "a volume without a name"),
    (["--tmpfs", "/var/lib/dtr:uid=1000,gid=1000,mode=0700"], [], "is in memory"),
], ids=["ephemeral", "anonymous", "tmpfs"])
def test_what_may_be_lost_is_warned_about(docker, mounts, args, warning):
    server = Contained(docker, "may-be-lost", mounts=mounts).start(*args)
    assert f"warning: /var/lib/dtr" in server.log() and warning in server.log()
    server.stop()


@pytest.mark.parametrize("program", ["dtr", "ucp"])
def test_health_needs_no_shell_and_no_password(docker, program):
    server = Contained(docker, f"healthy-{program}", program).start()
    status = lambda: docker("inspect", "-f", "{{.State.Health.Status}}", server.name).text.strip()
    eventually(lambda: status() == "healthy")
    assert docker("exec", server.name, "/usr/bin/dtr", "health").json["Healthy"] is True
    nothing = docker("exec", server.name, f"/usr/bin/{program}", "health", "--data-dir", "/tmp", check=3)
    assert "no server is running on /tmp" in nothing.err
    server.stop()


def test_health_with_podman(podman):
    server = Contained(podman, "healthy").start()
    podman("healthcheck", "run", server.name)
    server.stop()


def test_what_the_engine_keeps_of_a_backup(docker, space):
    """Why the manual says --log-driver none: the engine's default log holds every byte of stdout."""
    server = Contained(docker, "third").start()
    server.password = server.file("/var/lib/dtr/config/admin-password")[1].decode().strip()
    sizes = {}
    for driver in ("json-file", "none"):
        with open(space.file(driver), "wb") as out:
            docker("run", "-i", "--name", driver, "--network", "host", "--log-driver", driver, "dtr:test", "backup", *server.ucp(),
                   stdout=out)
        log = docker("inspect", "-f", "{{.LogPath}}", driver).text.strip()
        sizes[driver] = os.path.getsize(log) if log and os.path.exists(log) else 0
    assert sizes["json-file"] > os.path.getsize(space.file("json-file"))
    assert sizes["none"] == 0
    # Nothing of it passes the engine if a volume takes it.
    once(docker, "backup", *server.ucp(), "--output", "/out/backup.tar", options=["-v", "out:/out", "--user", "0"])
    path = docker("volume", "inspect", "-f", "{{.Mountpoint}}", "out").text.strip()
    run([DTR, "verify", os.path.join(path, "backup.tar")], check=0)
    server.stop()


def test_a_terminal_is_no_place_for_a_backup(docker):
    done = docker("run", "--rm", "-t", "--network", "host", "--log-driver", "none", "dtr:test", "backup", "--ucp-url", "127.0.0.1:1",
                  "--ucp-username", "a", "--ucp-password", "b", check=10)
    assert "terminal" in done.text + done.err


def test_the_image_is_small_and_private(docker, archive, space):
    assert docker("run", "--rm", "dtr:test", "version").text == run([DTR, "version"]).text
    assert docker("run", "--rm", "dtr:test", "images").text.startswith("dtr:")
    docker("run", "--rm", "dtr:test", check=2)
    shown = docker("inspect", "dtr:test").json[0]
    assert shown["Config"]["User"] == "1000:1000"
    assert not shown["Config"].get("Volumes"), "a volume that nobody named is lost with its container"
    assert shown["Config"]["Healthcheck"]["Test"] == ["CMD", "/usr/bin/dtr", "health"]
    docker("create", "--name", "look", "dtr:test")
    exported = docker("export", "look").out
    with tarfile.open(fileobj=io.BytesIO(exported)) as tar:
        members = {m.name: m for m in tar}
    assert not any(name.startswith(("bin/", "usr/sbin/", "usr/share/", "work/", "home/")) for name in members)
    assert sorted(n for n in members if n.startswith("usr/bin/"))[-1] in ("usr/bin/dtr", "usr/bin/ucp")
    assert members["tmp"].mode & 0o7777 == 0o1777
    for folder in [f"{program}{sub}" for program in ("dtr", "ucp") for sub in ("", *(f"/{folder}" for folder in FOLDERS))]:
        assert (members[f"var/lib/{folder}"].uid, members[f"var/lib/{folder}"].mode & 0o777) == (1000, 0o700)
    assert not any(m.mode & 0o6000 for m in members.values()), "nothing in it runs as somebody else"


def test_the_same_programs_make_the_same_image(archive, space):
    again = space.file("again.tar")
    tool(os.path.join(ROOT, "tools", "image"), "--output", again, "--name", "dtr:test", env={"DTR_BIN": DTR, "UCP_BIN": UCP}, timeout=120)
    tool("cmp", archive, again)
    refused = run([os.path.join(ROOT, "tools", "image"), "--output", space.file("none")], env={"DTR_BIN": space.file("nothing")})
    assert refused.code != 0 and "nothing" in refused.err and not os.path.exists(space.file("none"))
