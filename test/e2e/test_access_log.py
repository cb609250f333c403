"""What the log says of requests: a line for each answer, ids that lead from an error to it, and never a secret."""

import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest
import requests

from harness import clean_env, dtr
from oci import Image, Registry, digest
from test_ucp import eventually

LINE = re.compile(r'(?P<time>20\S+Z) (?P<level>\w+) access (?P<client>\S+) (?P<user>\S+) "(?P<method>\S+) (?P<path>.*)" '
                  r'(?P<status>\d+) (?P<sent>\d+) (?P<received>\d+) (?P<seconds>\d+\.\d+) (?P<request_id>\S+)')
ID = re.compile("[0-9a-f]{16}")


def lines_of(server):
    """The access log, in either format, as dictionaries of texts."""
    found = []
    for line in server.log().splitlines():
        if line.startswith("{"):
            fields = json.loads(line)
            if fields.get("message") == "access":
                found.append({key: "-" if value is None else str(value) for key, value in fields.items()})
        elif " access " in line:
            match = LINE.fullmatch(line)
            assert match, line
            found.append(match.groupdict())
    return found


def line_of(server, request_id):
    eventually(lambda: any(line["request_id"] == request_id for line in lines_of(server)))
    found = [line for line in lines_of(server) if line["request_id"] == request_id]
    assert len(found) == 1, "one line each"
    return found[0]


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_line_for_each_answer(space, form):
    server = space.server("a", "--log-format", form, "--trusted-proxy", "127.0.0.1").start()
    registry = Registry(server, "admin/app")
    image = Image()
    registry.push(image, "1")
    session = server.session()
    got = session.get(server.url + "/v2/admin/app/manifests/1", timeout=10,
                      headers={"X-Forwarded-For": "203.0.113.5, 198.51.100.7", "X-Request-Id": "of-the-balancer.7"})
    assert got.headers["X-Request-Id"] == "of-the-balancer.7"
    line = line_of(server, "of-the-balancer.7")
    assert (line["client"], line["user"], line["method"], line["path"]) == ("198.51.100.7", "admin", "GET", "/v2/admin/app/manifests/1")
    assert (line["status"], line["sent"], line["received"]) == ("200", str(len(image.manifest)), "0")
    assert float(line["seconds"]) < 60 and line["level"] == "info"

    nobody = requests.get(server.url + "/v2/", timeout=10)
    line = line_of(server, nobody.headers["X-Request-Id"])
    assert (line["client"], line["user"], line["status"], line["sent"]) == ("127.0.0.1", "-", "401", str(len(nobody.content)))
    put = registry.do_put("2", image.manifest)
    line = line_of(server, put.headers["X-Request-Id"])
    assert (line["user"], line["method"], line["status"], line["received"]) == ("admin", "PUT", "201", str(len(image.manifest)))
    # A registry token is its account's.
    token = session.get(server.url + "/auth/token", params={"scope": "repository:admin/app:pull"}, timeout=10).json()["token"]
    for _ in range(2):  # the second from memory
        pulled = requests.get(server.url + "/v2/admin/app/manifests/1", headers={"Authorization": f"Bearer {token}"}, timeout=10)
        assert line_of(server, pulled.headers["X-Request-Id"])["user"] == "admin"
    wrong = requests.get(server.url + "/v2/", auth=("admin", "wrong"), timeout=10)
    assert line_of(server, wrong.headers["X-Request-Id"])["user"] == "-", "nothing was verified"

    # Probes that succeed are for those who debug.
    for path in ("/_ping", "/health", "/metrics"):
        assert requests.get(server.url + path, timeout=10).status_code == 200
    last = requests.get(server.url + "/nothing/here", timeout=10)
    line_of(server, last.headers["X-Request-Id"])
    assert not [line for line in lines_of(server) if line["path"] in ("/_ping", "/health", "/metrics")]
    server.stop()
    assert all(ID.fullmatch(line["request_id"]) for line in lines_of(server) if line["request_id"] != "of-the-balancer.7")


@pytest.mark.parametrize("choice,expected", [("errors", ["401"]), ("off", [])])
def test_less_of_it(space, choice, expected):
    server = space.server("a", "--access-log", choice).start()
    assert server.session().get(server.url + "/v2/", timeout=10).status_code == 200
    assert requests.get(server.url + "/v2/", timeout=10).status_code == 401
    server.stop()
    assert [line["status"] for line in lines_of(server)] == expected
    done = dtr("serve", "--data-dir", space.file("b"), "--access-log", "sometimes")
    assert done.code == 2 and not os.path.exists(space.file("b"))


def talk(server, data):
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=30) as connection:
        connection.sendall(data)
        got = b""
        while chunk := connection.recv(65536):
            got += chunk
    head, _, body = got.partition(b"\r\n\r\n")
    first, *headers = head.decode().split("\r\n")
    return int(first.split()[1]), dict(header.lower().split(": ", 1) for header in headers), json.loads(body)


REFUSED = [("two hosts", b"GET /v2/a/tags/list?token=c4nary HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "/v2/a/tags/list"),
           ("a bad target", b"GET /v2/%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400, "-"),
           ("no request", b"\x16\x03\x01\x02\x00\r\n\r\n", 400, "-"),
           ("long headers", b"GET /v2/ HTTP/1.1\r\nHost: a\r\nA: " + b"a" * 40000, 431, "/v2/"),
           ("a slow head", b"GET /v2/ HTTP/1.1\r\nHost: a\r\n", 408, "/v2/"),
           ("an unknown coding", b"PUT /v2/a/manifests/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: br\r\n\r\n", 501, "/v2/a/manifests/x"),
           ("an expectation", b"PUT /v2/ HTTP/1.1\r\nHost: a\r\nExpect: tea\r\nContent-Length: 1\r\n\r\n", 417, "/v2/")]


def test_refusals_of_the_server_itself(space):
    """They are of the registry's interface, and named like any other answer."""
    server = space.server("a").start()
    for what, data, status, path in REFUSED:
        answered, headers, body = talk(server, data)
        assert answered == status, what
        assert headers["docker-distribution-api-version"] == "registry/2.0", what
        assert body["errors"][0]["code"] and body["errors"][0]["message"], what
        assert ID.fullmatch(headers["x-request-id"]) and body["request_id"] == headers["x-request-id"], what
        line = line_of(server, headers["x-request-id"])
        assert (line["status"], line["path"]) == (str(status), path), what
    status, headers, _ = talk(server, b"GET /api/v0/x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
    assert status == 400 and "docker-distribution-api-version" not in headers, "that is another interface"
    assert "c4nary" not in server.log()


def test_an_id_leads_from_an_error_to_the_log(space):
    server = space.server("a").start()
    registry = Registry(server, "admin/app")
    image = Image()
    registry.push(image, "1")
    server.stop()
    damaged = 0
    for root, _, names in os.walk(os.path.join(server.data_dir, "registry")):
        for name in names:
            path = os.path.join(root, name)
            with open(path, "rb") as file:
                if digest(file.read()) != image.digest:
                    continue
            os.chmod(path, 0o600)
            with open(path, "r+b") as file:
                file.write(b"{x")
            damaged += 1
    assert damaged == 1
    server.start()
    answer = registry.get("1")
    name = answer.headers["X-Request-Id"]
    assert answer.status_code == 500 and answer.json()["request_id"] == name and answer.json()["errors"], answer.text
    assert re.search(rf" error .* request_id={name}$", server.log(), re.M), server.log()
    assert line_of(server, name)["status"] == "500"
    missing = registry.get("2")
    assert missing.status_code == 404 and missing.json()["request_id"] == missing.headers["X-Request-Id"]


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_secret_is_in_it(space, form):
    """Whatever opens something, wherever a client may put it."""
    server = space.server("a", "--log-format", form, "--log-level", "debug").start()
    registry = Registry(server, "admin/app")
    secrets = {"password": "c4nary-password", "token": "c4nary-token", "code": "c4nary-code", "state": "c4nary-state"}
    requests.get(server.url + "/v2/", auth=("admin", secrets["password"]), timeout=10)
    requests.get(server.url + "/v2/", headers={"Authorization": "Bearer " + secrets["token"]}, timeout=10)
    requests.get(server.url + "/auth/token", timeout=10, params={"account": secrets["password"], "token": secrets["token"],
                                                                 "password": secrets["password"], "scope": "repository:a/b:pull"})
    requests.get(server.url + "/enzi/v0/oidc/callback", params={key: secrets[key] for key in ("code", "state")}, timeout=10)
    requests.post(server.url + "/auth/token", timeout=10, data={"grant_type": "password", "username": "admin",
                                                                "password": secrets["password"]})
    requests.get(server.url + "/v2/?" + secrets["token"], timeout=10)
    # The name of a session with bytes and of one without is the right to go on with it.
    empty = registry.start()
    begun = registry.start()
    moved = registry.patch(begun, b"12345")
    for url in (empty, begun, moved):
        name = url.split("/")[-1].split("?")[0]
        secrets[name] = name[8:40]
        registry.do("GET", url)
    server.stop()
    shown = [line["path"] for line in lines_of(server)]
    assert any("scope=repository" in path for path in shown) and any("code=***" in path for path in shown), shown
    assert any(re.search(r"/blobs/uploads/\w{8}\*\*\*", path) for path in shown), shown
    for what, secret in secrets.items():
        assert secret not in server.log(), what


def test_a_log_that_nobody_reads_keeps_nobody_up(space):
    server = space.server("a")
    with subprocess.Popen(server.command(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                          env=clean_env(), start_new_session=True) as process:
        try:
            while b"ready" not in process.stderr.readline():
                pass
            session = requests.Session()
            url = f"{server.url}/v2/{'a' * 900}/tags/list"
            for _ in range(2500):
                assert session.get(url, timeout=10).status_code in (400, 401, 404)
            rest = []
            reader = threading.Thread(target=lambda: rest.append(process.stderr.read()))
            reader.start()
            process.send_signal(signal.SIGTERM)
            reader.join(30)
            assert process.wait(30) == 0
        finally:
            process.kill()
    assert re.search(rb"\d+ lines of the access log were lost", rest[0])
    assert all(LINE.fullmatch(line) for line in rest[0].decode().splitlines() if " access " in line and " lines of " not in line)


def test_serve_looks_before_it_touches_anything(space):
    """Addresses, files and what is in them, also where there is a data directory already."""
    rubbish = space.file("rubbish.pem")
    with open(rubbish, "w", encoding="ascii") as file:
        file.write("no certificate\n")
    empty = space.file("empty")
    with open(empty, "w", encoding="ascii"):
        pass
    at = time.monotonic()
    for args in (["--listen", "nowhere"], ["--listen", "[::1:80"], ["--http-listen", "127.0.0.1:99999"],
                 ["--http-listen", "a b:80"], ["--external-url", "ftp://x"], ["--trusted-proxy", "10.0.0.0/33"],
                 ["--tls-cert", rubbish, "--tls-key", rubbish], ["--tls-cert", space.file("none"), "--tls-key", rubbish],
                 ["--admin-password-file", space.file("none")], ["--admin-password-file", empty],
                 ["--config", space.file("none")], ["--set", "gc.grace=tomorrow"], ["--set", "blobs.max-size=big"],
                 ["--set", "no.such=1"], ["--log-level", "loud"], ["--replica-id", "short"], ["--replica-https-port", "70000"]):
        place = space.file("never")
        done = dtr("serve", "--data-dir", place, *args)
        assert done.code not in (0, 1), (args, done.code, done.err)
        assert not os.path.exists(place), args
    assert time.monotonic() - at < 600
