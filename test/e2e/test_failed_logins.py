"""Failed logins: who is stopped by them and who is not, and what an administrator sees."""

import base64
import concurrent.futures
import os
import re

import pytest
import requests

from harness import dtr
from oci import Image, Registry

PASSWORD = "correct horse"


@pytest.fixture
def server(space):
    """Believes this machine to be a balancer, so that a test can come from anywhere."""
    server = space.server("a", "--trusted-proxy", "127.0.0.1").start()
    for name in ("alice", "bob"):
        made = server.session().post(server.url + "/enzi/v0/accounts", json={"name": name, "password": PASSWORD}, timeout=30)
        assert made.status_code == 201, made.text
    return server


def log_in(server, name, password, address="192.0.2.1"):
    credentials = base64.b64encode(f"{name}:{password}".encode()).decode()
    return requests.get(server.url + "/v2/", timeout=60,
                        headers={"Authorization": f"Basic {credentials}", "X-Forwarded-For": address}).status_code


def change_password(server, name, password):
    """Nothing that was verified before is remembered afterwards."""
    changed = server.session().post(f"{server.url}/enzi/v0/accounts/{name}/changePassword", json={"newPassword": password},
                                    timeout=30)
    assert changed.status_code == 204, changed.text


def listed(server, *args):
    lines = dtr("audit", "--logins", *args, *server.cli_auth(), check=0).text.splitlines()
    return [line.split("\t") for line in lines]


def test_a_burst_is_one_line_and_one_row(server):
    answers = [log_in(server, "Alice", f"guess {i}") for i in range(14)]
    assert answers == [401] * 10 + [429] * 4
    assert log_in(server, "al ice\x1b[2J", "x", "192.0.2.9") == 401
    server.restart()
    rows = listed(server)
    assert sorted(row[1:] for row in rows) == [["al?ice?[2j", "192.0.2.9", "1 wrong", "0 refused"],
                                               ["alice", "192.0.2.1", "10 wrong", "4 refused"]]
    lines = re.findall(r"failed logins: (.*)", server.log())
    assert sorted(lines) == ["name al?ice?[2j from 192.0.2.9: 1 wrong, 0 refused", "name alice from 192.0.2.1: 10 wrong, 4 refused"]
    assert "guess" not in server.log()
    answer = server.session(("alice", PASSWORD)).get(server.url + "/api/v0/failed_logins", timeout=30)
    assert answer.status_code == 403
    archive = os.path.join(os.path.dirname(server.data_dir), "backup.tar")
    server.backup(archive)
    with open(archive, "rb") as file:
        assert b"192.0.2.9" not in file.read(), "they are not carried by backups"


def test_a_flood_at_an_account_does_not_stop_it_where_it_logs_in(server):
    assert log_in(server, "alice", PASSWORD, "198.51.100.7") == 200
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda i: log_in(server, "alice", f"guess {i}", f"203.0.{i // 250}.{i % 250 + 1}"), range(60)))
    assert answers.count(401) == 30 and answers.count(429) == 30, answers
    change_password(server, "alice", "another one")
    assert log_in(server, "alice", "another one", "203.0.113.200") == 429
    assert log_in(server, "alice", "another one", "198.51.100.7") == 200
    assert log_in(server, "bob", PASSWORD, "203.0.0.1") == 200


def test_what_looks_like_a_token_takes_no_tries(server):
    bad = ["dtr_" + f"{i:040}" for i in range(30)]
    assert {log_in(server, "alice", token) for token in bad} == {401}
    assert log_in(server, "alice", PASSWORD) == 200
    Registry(server, "alice/x", auth=("alice", PASSWORD)).push(Image(), "1")


def test_many_names_flush_nothing(server):
    assert [log_in(server, "alice", f"guess {i}") for i in range(11)] == [401] * 10 + [429]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda i: log_in(server, f"name{i}", "x", f"10.{i // 250}.0.{i % 250}"), range(150)))
    assert log_in(server, "alice", PASSWORD) == 429
    assert log_in(server, "bob", PASSWORD) == 200
