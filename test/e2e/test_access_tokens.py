"""Access tokens: passwords for machines, which outlive a restore unless it revokes them."""

import datetime
import os
import time

import pytest

from harness import dtr, run
from oci import Image, Registry


@pytest.fixture
def server(space):
    return space.server("a").start()


def make(server, label="build server"):
    done = dtr("token", "create", "--label", label, *server.cli_auth(), check=0)
    return done.text.strip()


def ids(server):
    return [line.split("\t") for line in dtr("token", "list", *server.cli_auth(), check=0).text.splitlines()]


def pushes(server, token, name="admin"):
    """What a push with it is answered: over Basic, and over a registry token."""
    registry = Registry(server, "admin/built", auth=(name, token))
    basic = registry.do("POST", "blobs/uploads/").status_code
    asked = server.session((name, token)).get(server.url + "/auth/token", timeout=10,
                                              params={"service": "dtr", "scope": "repository:admin/built:push,pull"})
    return basic, asked.status_code


def test_a_token_is_a_password_that_can_be_taken_back(server):
    token = make(server)
    assert token.startswith("dtr_") and pushes(server, token) == (202, 200)
    assert "build server" in ids(server)[0][3]
    Registry(server, "admin/built", auth=("admin", token)).push(Image(), "1")
    dtr("token", "revoke", ids(server)[0][0], *server.cli_auth(), check=0)
    assert pushes(server, token) == (401, 401)
    assert ids(server) == []
    assert token not in server.log()


def test_a_token_is_stopped_and_started_again_and_tells_its_last_use(server):
    token = make(server)
    fresh = ids(server)[0]
    assert fresh[2] == "never used" and fresh[3:] == ["build server", ""]
    assert pushes(server, token) == (202, 200)
    assert ids(server)[0][2] >= fresh[1]
    dtr("token", "deactivate", fresh[0], *server.cli_auth(), check=0)
    assert pushes(server, token) == (401, 401) and ids(server)[0][4] == "inactive"
    dtr("token", "activate", fresh[0], *server.cli_auth(), check=0)
    assert pushes(server, token) == (202, 200)
    with server.session() as admin:
        one = f"{server.url}/api/v0/api_tokens/{fresh[0]}"
        row = admin.patch(one, json={"tokenLabel": "renamed"}, timeout=10).json()
        assert (row["tokenLabel"], row["isActive"], row["generatedBy"]) == ("renamed", True, "admin") and row["creatorUa"]
        assert admin.get(one, timeout=10).json() == row
        for body, status in (({"isActive": "no"}, 400), ({"scope": "backup"}, 400), ({"tokenLabel": ""}, 400)):
            assert admin.patch(one, json=body, timeout=10).status_code == status
        assert admin.get(one, timeout=10).json() == row
        assert admin.patch(one[:-1] + "x", json={"isActive": False}, timeout=10).status_code == 404


def test_tokens_that_nobody_uses_go_together(server):
    used, idle = make(server, "used"), make(server, "idle")
    url = server.url + "/api/v0/api_tokens"
    with server.session() as admin:
        assert admin.delete(url, timeout=10).status_code == 400
        assert admin.delete(url + "?unusedSince=yesterday", timeout=10).status_code == 400
        made = max(one["createdAt"] for one in admin.get(url, timeout=10).json())
        time.sleep(1.1)
        assert pushes(server, used) == (202, 200)
        since = (datetime.datetime.fromisoformat(made.replace("Z", "+00:00")) + datetime.timedelta(milliseconds=500)).isoformat()
        gone = admin.delete(url, params={"unusedSince": since.replace("+00:00", "Z")}, timeout=10).json()["revoked"]
        assert len(gone) == 1 and [one["tokenLabel"] for one in admin.get(url, timeout=10).json()] == ["used"]
    assert pushes(server, idle) == (401, 401) and pushes(server, used) == (202, 200)


def test_a_token_manages_neither_accounts_nor_tokens(server):
    token = make(server)
    with server.session(("admin", token)) as session:
        body = {"newPassword": "taken over by the build server"}
        assert session.post(server.url + "/enzi/v0/accounts/admin/changePassword", json=body, timeout=10).status_code == 403
        assert session.post(server.url + "/enzi/v0/accounts", json={"name": "x"}, timeout=10).status_code == 403
        assert session.post(server.url + "/api/v0/api_tokens", json={"tokenLabel": "x"}, timeout=10).status_code == 403
        assert session.get(server.url + "/enzi/v0/accounts", timeout=10).status_code == 200


def test_somebody_elses_tokens(server, space):
    with open(space.file("password"), "w", encoding="ascii") as file:
        file.write("alice has a long password\n")
    dtr("user", "create", "alice", "--password-file", space.file("password"), *server.cli_auth(), check=0)
    dtr("token", "create", "--label", "hers", "--account", "alice", *server.cli_auth(), check=0)
    alice = server.session(("alice", "alice has a long password"))
    own = alice.get(server.url + "/api/v0/api_tokens", timeout=10).json()
    assert [one["tokenLabel"] for one in own] == ["hers"] and "token" not in own[0]
    assert alice.get(server.url + "/api/v0/api_tokens?account=admin", timeout=10).status_code == 403
    assert alice.delete(server.url + f"/api/v0/api_tokens/{own[0]['id']}", timeout=10).status_code == 204


@pytest.mark.parametrize("flags,answer", [([], (202, 200)), (["--revoke-access-tokens"], (401, 401))])
def test_a_restore_keeps_them_or_revokes_them(server, space, flags, answer):
    token, password = make(server), server.password
    server.backup(space.file("b.tar"))
    key = os.path.join(server.data_dir, "recovery-key")
    names = run(["tar", "-tf", space.file("b.tar")], check=0).text
    assert "/secrets/access_tokens" in names and "accounts/access_tokens" not in names
    done = dtr("restore", "--data-dir", space.dir("b"), "--identity", key, *flags, space.file("b.tar"), check=0)
    assert ("1 access tokens are revoked" in done.err) == bool(flags)
    restored = space.server("b", password=password).start()
    assert pushes(restored, token) == answer


def test_a_token_revoked_since_is_named_when_a_rewind_makes_it_valid_again(server, space):
    make(server, "kept")
    make(server, "revoked later")
    server.backup(space.file("b.tar"))
    gone = [one for one in ids(server) if one[3] == "revoked later"][0][0]
    dtr("token", "revoke", gone, *server.cli_auth(), check=0)
    server.stop()
    key = os.path.join(server.data_dir, "recovery-key")
    done = dtr("restore", "--rewind", "--data-dir", server.data_dir, "--identity", key, space.file("b.tar"), check=0)
    assert f"revoked later ({gone}) was revoked after the backup was made, and is valid again" in done.err
    assert "kept" not in done.err.replace("is kept", "")
