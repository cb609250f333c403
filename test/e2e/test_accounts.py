"""Accounts: who may do what, public and private repositories, the `user` command, and passwords that change."""

import itertools
import os
import re
import stat

import pytest

from harness import dtr
from oci import Image, Registry, describe, digest, expect_error

_numbers = itertools.count(1)
PASSWORD = "correct horse battery"


@pytest.fixture
def alice(server):
    """A fresh account without any rights but over its own namespace: (name, password)."""
    name = f"alice{next(_numbers)}"
    answer = server.session().post(server.url + "/enzi/v0/accounts", json={"name": name, "password": PASSWORD}, timeout=10)
    assert answer.status_code == 201, describe(answer)
    return name, PASSWORD


def make_public(server, repository, visibility="public"):
    answer = server.session().put(f"{server.url}/api/v0/repositories/{repository}", json={"visibility": visibility}, timeout=10)
    assert answer.status_code == 200, describe(answer)


# -- rights

def test_own_namespace(server, alice):
    mine = Registry(server, f"{alice[0]}/app", auth=alice)
    image = Image()
    mine.push(image, "1")
    mine.pull("1")
    Registry(server, f"{alice[0]}/deep/er/app", auth=alice).push(Image(), "1")
    assert mine.do("DELETE", f"manifests/{image.digest}").status_code == 202


@pytest.mark.parametrize("name", ["admin/app", "somebody/app", "alice", "app"])
def test_other_namespaces(server, alice, name):
    theirs = Registry(server, name, auth=alice)
    expect_error(theirs.do("POST", "blobs/uploads/"), (401, 403), "DENIED", "UNAUTHORIZED")
    expect_error(theirs.do_put("1", Image().manifest), (401, 403), "DENIED", "UNAUTHORIZED")
    expect_error(theirs.do("DELETE", "manifests/1"), (401, 403), "DENIED", "UNAUTHORIZED")


def test_private_repositories_tell_nothing(server, registry, alice):
    """To somebody without rights an existing private repository looks like one that does not exist."""
    image = Image()
    registry.push(image, "1")
    for auth in (alice, False):
        there, nowhere = Registry(server, registry.repo, auth), Registry(server, registry.repo + "x", auth)
        for path in ("manifests/1", "tags/list", f"blobs/{digest(image.config)}", f"referrers/{image.digest}"):
            one, two = there.do("GET", path), nowhere.do("GET", path)
            assert one.status_code in (401, 403, 404), describe(one)
            assert one.status_code == two.status_code
            texts = [re.sub(registry.repo + "x?", "R", answer.text.replace(answer.headers["X-Request-Id"], "I")) for answer in (one, two)]
            assert texts[0] == texts[1]


def test_public_repositories(server, registry, alice):
    image = Image()
    registry.push(image, "1")
    make_public(server, registry.repo)
    theirs = Registry(server, registry.repo, auth=alice)
    theirs.pull("1")
    expect_error(theirs.do("POST", "blobs/uploads/"), (401, 403), "DENIED", "UNAUTHORIZED")
    expect_error(theirs.do("DELETE", "manifests/1"), (401, 403), "DENIED", "UNAUTHORIZED")
    make_public(server, registry.repo, "private")
    assert theirs.get("1").status_code in (401, 403, 404)


def test_blob_knowledge_is_no_right(server, registry, alice):
    """Knowing a digest of somebody's private image neither reads nor mounts it."""
    secret = os.urandom(500)
    name = registry.push_blob(secret)
    mine = Registry(server, f"{alice[0]}/thief", auth=alice)
    mine.push(Image(), "1")
    for params in ({"mount": name, "from": registry.repo}, {"mount": name}):
        answer = mine.do("POST", "blobs/uploads/", params=params)
        assert answer.status_code in (202, 401, 403), describe(answer)
    assert not mine.has_blob(name)
    manifest = Image()
    manifest.manifest = manifest.manifest.replace(digest(manifest.config).encode(), name.encode())
    expect_error(mine.do_put("2", manifest.manifest), (400, 404))
    # of a public one it may be mounted
    make_public(server, registry.repo)
    assert mine.do("POST", "blobs/uploads/", params={"mount": name, "from": registry.repo}).status_code == 201


def test_catalog_shows_what_one_may_see(server, registry, alice):
    registry.push(Image(), "1")
    Registry(server, f"{alice[0]}/app", auth=alice).push(Image(), "1")
    listed = server.session(alice).get(server.url + "/v2/_catalog?n=1000", timeout=10).json()["repositories"]
    assert f"{alice[0]}/app" in listed and registry.repo not in listed
    make_public(server, registry.repo)
    listed = server.session(alice).get(server.url + "/v2/_catalog?n=1000", timeout=10).json()["repositories"]
    assert registry.repo in listed


def test_administration_is_for_administrators(server, alice):
    session = server.session(alice)
    for method, path in (("GET", "/enzi/v0/accounts"), ("POST", "/enzi/v0/accounts"), ("DELETE", "/enzi/v0/accounts/admin"),
                         ("GET", "/api/v0/events")):
        answer = session.request(method, server.url + path, json={"name": "evil", "password": PASSWORD}, timeout=10)
        assert answer.status_code in (401, 403), describe(answer)
    assert dtr("backup", *server.cli_auth()[:4], "--ucp-username", alice[0], "--ucp-password", alice[1]).code == 6


def test_backup_needs_an_administrator_who_showed_a_password(server):
    answer = server.session(auth=False).post(server.url + "/api/v0/backup", timeout=10)
    assert answer.status_code in (401, 404, 405), describe(answer)


# -- the command

@pytest.fixture
def user(server, space):
    """Runs `dtr user` as the administrator; a new password comes from a file, as there is no terminal."""
    env = {"UCP_URL": server.host, "UCP_CA": server.ca(), "UCP_USERNAME": "admin", "UCP_PASSWORD": server.password}

    def call(*args, password=None, check=0):
        flags = []
        if password is not None:
            with open(space.file("new"), "w", encoding="ascii") as file:
                file.write(password + "\n")
            flags = ["--password-file", space.file("new")]
        return dtr("user", *args, *flags, env=env, check=check)

    return call


def test_user_command(server, user):
    name = f"bob{next(_numbers)}"
    user("create", name, password=PASSWORD)
    assert name in user("list").text.split()
    Registry(server, f"{name}/app", auth=(name, PASSWORD)).push(Image(), "1")

    user("passwd", name, password="another long password")
    # the old one is remembered nowhere
    assert server.session((name, PASSWORD)).get(server.url + "/v2/", timeout=10).status_code == 401
    assert server.session((name, "another long password")).get(server.url + "/v2/", timeout=10).status_code == 200

    user("remove", name)
    assert name not in user("list").text.split()
    assert server.session((name, "another long password")).get(server.url + "/v2/", timeout=10).status_code == 401


def test_user_command_refuses(server, user):
    assert user("create", "Not A Name", password=PASSWORD, check=None).code != 0
    assert user("create", f"carl{next(_numbers)}", password="short", check=None).code != 0
    assert user("create", "admin", password=PASSWORD, check=None).code != 0
    assert user("remove", "nobody-of-that-name", check=None).code != 0
    assert user("remove", "admin", check=None).code != 0  # the last administrator stays
    assert server.session().get(server.url + "/v2/", timeout=10).status_code == 200


def test_administrator_from_a_password_file(space):
    path = space.file("password")
    with open(path, "w", encoding="ascii") as file:
        file.write("chosen by the operator\n")
    server = space.server("a", "--admin-password-file", path).start()
    assert server.session(("admin", "chosen by the operator")).get(server.url + "/v2/", timeout=10).status_code == 200


def test_what_an_installation_hands_out(space):
    """Files of 0600 in the data directory, no links, and never printed."""
    server = space.server("a").start()
    for name in ("admin-password", "recovery-key"):
        assert os.lstat(os.path.join(server.data_dir, name)).st_mode == stat.S_IFREG | 0o600
        assert not os.path.lexists(os.path.join(server.data_dir, "config", name))
        for line in server.read(name).split():
            if len(line) > 10 and not line.startswith(("#", "RW", "age1", "20")):
                assert line not in server.log()
    key = server.read("recovery-key")
    assert "AGE-SECRET-KEY-1" in key and "# dtr-signer: RW" in key
