"""Real clients of Debian 12 against a real server: skopeo, podman, buildah, a real dockerd. Over HTTPS, with credentials."""

import json
import os
import shutil
import subprocess
import time

import pytest

from engine import Engine, podman_environment
from harness import clean_env, run, tool
from oci import (OCI_INDEX, OCI_MANIFEST, Artifact, Image, Index, Registry, describe, digest, layout_digest, write_layout)
from steps import restore, skopeo_pull, skopeo_push


def static_image():
    """An image that could run anywhere: one layer with one file."""
    return Image(layers=[{"hello.txt": b"#!/bin/true\n"}, {"data.bin": os.urandom(200_000)}])


@pytest.fixture
def name(server, registry):
    """HOST:PORT/repository of a repository nobody else uses."""
    return f"{server.host}/{registry.repo}"


# -- skopeo

def test_skopeo(server, registry, space):
    layout = write_layout(space.dir("image"), Image())
    skopeo_push(server, layout, f"{registry.repo}:1")
    skopeo_pull(server, f"{registry.repo}:1", space.file("back"))
    assert layout_digest(space.file("back")) == layout_digest(layout)
    flags = ["--tls-verify=false", "--creds", server.creds]
    shown = tool("skopeo", "inspect", *flags, f"docker://{server.host}/{registry.repo}:1").json
    assert shown["Digest"] == layout_digest(layout)
    tags = tool("skopeo", "list-tags", *flags, f"docker://{server.host}/{registry.repo}").json
    assert tags["Tags"] == ["1"]
    tool("skopeo", "delete", *flags, f"docker://{server.host}/{registry.repo}:1")
    assert registry.get("1").status_code == 404


def test_skopeo_checks_our_authority(server, registry, space):
    """With the certificate authority of /ca and no other trust."""
    certs = space.dir("certs")
    with open(os.path.join(certs, "ca.crt"), "w", encoding="ascii") as file:
        file.write(server.ca())
    layout = write_layout(space.dir("image"), Image())
    tool("skopeo", "copy", "--dest-cert-dir", certs, "--dest-creds", server.creds, f"oci:{layout}",
         f"docker://{server.host}/{registry.repo}:1")
    bad = run(["skopeo", "inspect", "--creds", server.creds, f"docker://{server.host}/{registry.repo}:1"])
    assert bad.code != 0 and "x509" in bad.err


def test_skopeo_multi_platform(server, registry, space):
    layout = write_layout(space.dir("image"), Index())
    skopeo_push(server, layout, f"{registry.repo}:multi", "--all")
    skopeo_pull(server, f"{registry.repo}:multi", space.file("back"), "--all")
    assert layout_digest(space.file("back")) == layout_digest(layout)
    # one platform of it
    tool("skopeo", "copy", "--override-arch", "arm64", "--src-tls-verify=false", "--src-creds", server.creds,
         f"docker://{server.host}/{registry.repo}:multi", f"oci:{space.file('arm')}")


def test_skopeo_docker_format(server, registry, space):
    layout = write_layout(space.dir("image"), static_image())
    skopeo_push(server, layout, f"{registry.repo}:v2s2", "--format", "v2s2")
    answer = registry.get("v2s2")
    assert answer.headers["Content-Type"] == "application/vnd.docker.distribution.manifest.v2+json", describe(answer)
    registry.pull("v2s2")


def test_skopeo_between_repositories(server, registry, other, space):
    """The second copy may mount what the first has."""
    layout = write_layout(space.dir("image"), static_image())
    skopeo_push(server, layout, f"{registry.repo}:1")
    tool("skopeo", "copy", "--src-tls-verify=false", "--dest-tls-verify=false", "--src-creds", server.creds, "--dest-creds",
         server.creds, f"docker://{server.host}/{registry.repo}:1", f"docker://{server.host}/{other.repo}:2")
    assert other.get("2").headers["Docker-Content-Digest"] == layout_digest(layout)
    other.pull("2")


def test_wrong_password(server, registry, space):
    layout = write_layout(space.dir("image"), Image())
    done = run(["skopeo", "copy", "--dest-tls-verify=false", "--dest-creds", "admin:wrong", f"oci:{layout}",
                f"docker://{server.host}/{registry.repo}:1"])
    assert done.code != 0
    assert "unauthorized" in done.err.lower() or "authentication" in done.err.lower(), done


# -- podman and buildah

@pytest.fixture
def containers(space):
    return podman_environment(space)


def test_podman(server, registry, name, containers, space):
    layout = write_layout(space.dir("image"), static_image())
    policy = ("--signature-policy", space.file("policy.json"))
    tool("podman", "login", "--tls-verify=false", "-u", "admin", "-p", server.password, server.host, env=containers)
    tool("podman", "pull", "-q", *policy, f"oci:{layout}", env=containers)
    image = tool("podman", "images", "-q", "--no-trunc", env=containers).text.split()[0]
    tool("podman", "push", "-q", "--tls-verify=false", image, f"docker://{name}:1", env=containers)
    registry.pull("1")
    tool("podman", "rmi", "-f", image, env=containers)
    tool("podman", "pull", "-q", *policy, "--tls-verify=false", f"{name}:1", env=containers)
    assert image in tool("podman", "images", "-q", "--no-trunc", env=containers).text.split()
    tool("podman", "logout", server.host, env=containers)
    assert run(["podman", "pull", "-q", *policy, "--tls-verify=false", f"{name}:1"], env=containers).code != 0


def test_buildah(server, registry, name, containers, space):
    with open(space.file("payload"), "wb") as file:
        file.write(os.urandom(5000))
    container = tool("buildah", "from", "scratch", env=containers).text.strip()
    tool("buildah", "copy", "-q", container, space.file("payload"), "/payload", env=containers)
    tool("buildah", "config", "--entrypoint", '["/payload"]', container, env=containers)
    image = tool("buildah", "commit", "-q", "--signature-policy", space.file("policy.json"), container,
                 env=containers).text.strip()
    tool("buildah", "push", "-q", "--tls-verify=false", "--creds", server.creds, image, f"docker://{name}:built", env=containers)
    registry.pull("built")


# -- docker, a real engine

@pytest.fixture
def docker(space):
    engine = Engine(space)
    yield engine
    engine.close()


def load_image(docker, space):
    layout = write_layout(space.dir("image"), static_image())
    tool("skopeo", "copy", f"oci:{layout}", f"docker-archive:{space.file('image.tar')}:local/hello:1")
    docker("load", "-i", space.file("image.tar"))
    return docker("images", "-q", "--no-trunc", "local/hello:1").text.strip()


def test_docker(server, registry, name, docker, space):
    image = load_image(docker, space)
    docker("login", "-u", "admin", "--password-stdin", server.host, stdin=server.password.encode())
    docker("tag", "local/hello:1", f"{name}:1")
    docker("push", f"{name}:1")
    registry.pull("1")
    pushed = registry.get("1").headers["Docker-Content-Digest"]
    # again, and into another repository, where the layers are mounted
    docker("push", f"{name}:1")
    docker("tag", "local/hello:1", f"{name}-two:1")
    assert "Mounted from" in docker("push", f"{name}-two:1").text
    docker("rmi", "-f", image)
    docker("pull", f"{name}:1")
    assert docker("images", "-q", "--no-trunc", f"{name}:1").text.strip() == image
    assert pushed in docker("inspect", f"{name}:1").text
    docker("pull", f"{name}@{pushed}")
    assert docker("login", "-u", "admin", "--password-stdin", server.host, stdin=b"wrong", check=None).code != 0
    docker("logout", server.host)
    docker("rmi", "-f", image)
    assert docker("pull", f"{name}:1", check=None).code != 0


def test_docker_pulls_what_skopeo_pushed(server, registry, name, docker, space):
    """A multi-platform index, of which docker takes its own platform."""
    images = [Image(layers=[{"a": b"a"}], architecture=a) for a in ("amd64", "arm64")]
    skopeo_push(server, write_layout(space.dir("multi"), Index(images)), f"{registry.repo}:multi", "--all")
    docker("login", "-u", "admin", "--password-stdin", server.host, stdin=server.password.encode())
    docker("pull", f"{name}:multi")


def test_containerd(server, registry, space):
    """ctr content fetch speaks the same protocol over plain HTTP."""
    registry.push(Index(), "multi")
    root = space.dir("containerd")
    with open(f"{root}/config.toml", "w", encoding="ascii") as file:
        file.write(f'version = 2\nroot = "{root}/root"\nstate = "{root}/state"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
                   f'[grpc]\n  address = "{root}/sock"\n[ttrpc]\n  address = "{root}/ttrpc"\n')
    with open(f"{root}/log", "wb") as log:
        daemon = subprocess.Popen(["containerd", "-c", f"{root}/config.toml"], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                  env=clean_env(), start_new_session=True)
    try:
        deadline = time.monotonic() + 30
        while run(["ctr", "-a", f"{root}/sock", "version"]).code != 0:
            assert daemon.poll() is None and time.monotonic() < deadline
            time.sleep(0.2)
        done = tool("ctr", "-a", f"{root}/sock", "content", "fetch", "--plain-http", "--user", server.creds,
                    f"{server.plain_host}/{registry.repo}:multi")
        assert done.code == 0
    finally:
        daemon.terminate()
        daemon.wait(20)


# -- the same story with everything in it

def test_story_with_every_kind(space):
    """Index, artifact with referrers, sha512 and 500 tags, pushed by stock clients where they can; lost and restored."""
    server = space.server("a").start()
    repository = Registry(server, "admin/everything")
    index, plain, wide = Index(), static_image(), Image(algorithm="sha512")
    skopeo_push(server, write_layout(space.dir("index"), index), "admin/everything:multi", "--all")
    skopeo_push(server, write_layout(space.dir("plain"), plain), "admin/everything:plain")
    repository.push(wide)
    assert repository.do_put(wide.digest, wide.manifest, tag="wide").status_code == 201
    signature = Artifact("application/vnd.example.signature", index.descriptor(), annotations={"by": "somebody"})
    assert repository.push(signature).headers["OCI-Subject"] == index.digest
    bill = Artifact("application/vnd.example.sbom+json", signature.descriptor())
    repository.push(bill)
    tags = [f"build-{i}" for i in range(500)]
    for tag in tags:
        assert repository.do_put(tag, plain.manifest, OCI_MANIFEST).status_code == 201
    expected = sorted([*tags, "multi", "plain", "wide"])
    assert repository.tags() == expected

    archive, key, password = space.file("b.tar"), space.file("key"), server.password
    server.backup(archive)
    shutil.copy(os.path.join(server.data_dir, "recovery-key"), key)
    server.stop()
    shutil.rmtree(server.data_dir)
    restore(space.file("b"), archive, "--identity", key)
    back = space.server("b", password=password).start()
    repository = Registry(back, "admin/everything")
    assert repository.tags() == expected
    skopeo_pull(back, "admin/everything:multi", space.file("index-back"), "--all")
    assert layout_digest(space.file("index-back")) == index.digest
    skopeo_pull(back, "admin/everything:build-499", space.file("plain-back"))
    assert layout_digest(space.file("plain-back")) == plain.digest
    assert set(repository.pull("wide")) == {wide.digest, *(digest(b, "sha512") for b in wide.blobs)}
    listed = repository.referrers(index.digest)
    assert [(e["digest"], e["artifactType"], e["annotations"]) for e in listed] == [
        (signature.digest, "application/vnd.example.signature", {"by": "somebody"})]
    assert [e["digest"] for e in repository.referrers(signature.digest)] == [bill.digest]
    assert json.loads(repository.get("multi").content)["mediaType"] == OCI_INDEX
