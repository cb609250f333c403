"""Bad input: a clear error, nothing changed, the server lives on."""

import os
import random
import socket
import ssl
import threading
import time

import pytest
import requests

from oci import Image, Registry, describe, digest, expect_error


@pytest.fixture(autouse=True)
def still_alive(server):
    yield
    answer = server.session().get(server.url + "/v2/", timeout=10)
    assert answer.status_code == 200, describe(answer)


def raw(server, data, wait_s=5, tls=False):
    """Sends bytes as they are; returns all that comes back until the server closes or nothing comes for a while."""
    port = server.https_port if tls else server.http_port
    with socket.create_connection(("127.0.0.1", port), timeout=wait_s) as plain:
        connection = plain
        if tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            connection = context.wrap_socket(plain)
        try:
            connection.sendall(data)
        except OSError:
            pass
        got = b""
        try:
            while chunk := connection.recv(65536):
                got += chunk
        except OSError:
            pass
        return got


def basic(server):
    return requests.auth._basic_auth_str(*server.auth)  # pylint: disable=protected-access


# -- who you are

def test_without_credentials(server):
    answer = server.session(auth=False).get(server.url + "/v2/", timeout=10)
    expect_error(answer, 401, "UNAUTHORIZED")
    challenge = answer.headers["WWW-Authenticate"]
    assert challenge.lower().startswith("bearer ") and 'realm="' in challenge and 'service="' in challenge
    for path in ("/v2/_catalog", "/v2/admin/x/tags/list", "/v2/admin/x/manifests/1"):
        answer = server.session(auth=False).get(server.url + path, timeout=10)
        expect_error(answer, 401, "UNAUTHORIZED", "DENIED")
        assert "WWW-Authenticate" in answer.headers


@pytest.mark.parametrize("auth", [("admin", "wrong"), ("nobody", "x"), ("", ""), ("admin", "x" * 5000), ("a" * 5000, "x")])
def test_wrong_password(server, auth):
    answer = server.session(auth=auth).get(server.url + "/v2/", timeout=10)
    assert answer.status_code in (400, 401, 429, 431), describe(answer)
    if answer.status_code == 401:
        expect_error(answer, 401, "UNAUTHORIZED")


@pytest.mark.parametrize("value", ["Basic", "Basic !!!", "Basic YWRtaW4=", "Bearer", "Bearer x", "Bearer a.b.c", "Digest x", "Basic \xff"])
def test_malformed_authorization(server, value):
    answer = requests.get(server.url + "/v2/", headers={"Authorization": value.encode("latin-1")}, timeout=10)
    assert answer.status_code in (400, 401), describe(answer)


def realm(server, scope=None):
    answer = requests.get(server.url + "/v2/", timeout=10)
    fields = dict(part.split("=", 1) for part in answer.headers["WWW-Authenticate"].split(" ", 1)[1].split(","))
    params = {"service": fields["service"].strip('"')}
    if scope:
        params["scope"] = scope
    return fields["realm"].strip('"'), params


def test_token_flow(server, registry):
    """The Docker token protocol: challenge, token with Basic, Bearer; a scope too small is 401 with a challenge."""
    registry.push(Image(), "1")
    url, params = realm(server, f"repository:{registry.repo}:pull")
    answer = requests.get(url, params=params, auth=server.auth, verify=False, timeout=10)
    assert answer.status_code == 200, describe(answer)
    body = answer.json()
    token = body["token"]
    assert body.get("access_token", token) == token
    assert body["expires_in"] >= 60 and body["issued_at"]
    bearer = {"Authorization": f"Bearer {token}"}
    assert requests.get(registry.base + "manifests/1", headers=bearer, timeout=10).status_code == 200
    answer = requests.post(registry.base + "blobs/uploads/", headers=bearer, timeout=10)
    expect_error(answer, 401, "UNAUTHORIZED", "DENIED")
    assert f"repository:{registry.repo}:" in answer.headers["WWW-Authenticate"]
    assert "push" in answer.headers["WWW-Authenticate"]
    # altered, and for another service
    bad = {"Authorization": f"Bearer {token[:-6]}AAAAAA"}
    assert requests.get(registry.base + "manifests/1", headers=bad, timeout=10).status_code == 401
    wrong = requests.get(url, params=params, auth=("admin", "wrong"), verify=False, timeout=10)
    expect_error(wrong, 401, "UNAUTHORIZED")


def test_token_by_post(server, registry):
    url, params = realm(server, f"repository:{registry.repo}:pull,push")
    form = {**params, "grant_type": "password", "client_id": "test", "username": server.auth[0], "password": server.auth[1]}
    answer = requests.post(url, data=form, verify=False, timeout=10)
    assert answer.status_code == 200, describe(answer)
    token = answer.json()["access_token"]
    posted = requests.post(registry.base + "blobs/uploads/", headers={"Authorization": f"Bearer {token}"}, timeout=10)
    assert posted.status_code == 202, describe(posted)
    form["password"] = "wrong"
    assert requests.post(url, data=form, verify=False, timeout=10).status_code in (400, 401)


def test_token_without_scope_and_with_two(server, registry, other):
    url, params = realm(server)
    token = requests.get(url, params=params, auth=server.auth, verify=False, timeout=10).json()["token"]
    assert requests.get(server.url + "/v2/", headers={"Authorization": f"Bearer {token}"}, timeout=10).status_code == 200
    name = other.push_blob(os.urandom(40))
    scopes = [f"repository:{registry.repo}:pull,push", f"repository:{other.repo}:pull"]
    for scope in (scopes, " ".join(scopes)):
        token = requests.get(url, params={**params, "scope": scope}, auth=server.auth, verify=False, timeout=10).json()["token"]
        answer = requests.post(registry.base + "blobs/uploads/", params={"mount": name, "from": other.repo},
                               headers={"Authorization": f"Bearer {token}"}, timeout=10)
        assert answer.status_code == 201, describe(answer)


def test_anonymous_token(server):
    url, params = realm(server, "repository:admin/private:pull")
    answer = requests.get(url, params=params, verify=False, timeout=10)
    assert answer.status_code == 200, describe(answer)
    token = answer.json()["token"]
    answer = requests.get(server.url + "/v2/admin/private/manifests/1", headers={"Authorization": f"Bearer {token}"}, timeout=10)
    expect_error(answer, (401, 403, 404))


# -- bytes that lie

def test_body_shorter_than_said(server, registry):
    """The connection ends early: no blob, and the upload can go on."""
    data = os.urandom(1000)
    url = registry.start()
    path = url.split(server.plain_host, 1)[1]
    head = (f"PUT {path}?digest={digest(data)} HTTP/1.1\r\nHost: x\r\nAuthorization: {basic(server)}\r\n"
            f"Content-Length: 2000\r\nContent-Type: application/octet-stream\r\n\r\n").encode()
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=5) as connection:
        connection.sendall(head + data)
        time.sleep(0.1)
    time.sleep(0.2)
    assert not registry.has_blob(digest(data))


def test_manifest_body_shorter_than_said(server, registry):
    image = Image()
    for blob in image.blobs:
        registry.push_blob(blob)
    head = (f"PUT /v2/{registry.repo}/manifests/cut HTTP/1.1\r\nHost: x\r\nAuthorization: {basic(server)}\r\n"
            f"Content-Length: {len(image.manifest) + 10}\r\n\r\n").encode()
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=5) as connection:
        connection.sendall(head + image.manifest)
    time.sleep(0.2)
    assert registry.get("cut").status_code == 404


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("request_bytes", [
    b"\r\n\r\n", b"GARBAGE\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /v2/ HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: -1\r\n\r\n",
    b"GET /v2/ HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 200_000 + b"\r\n\r\n", b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /v2/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    b"POST /v2/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n",
    b"GET /v2/\x00 HTTP/1.1\r\nHost: x\r\n\r\n", random.Random(7).randbytes(500) + b"\r\n\r\n",
], ids=lambda b: f"{len(b)} bytes {bytes(b[:12])!r}")
def test_broken_http(server, request_bytes, tls):
    answer = raw(server, request_bytes, wait_s=1, tls=tls)
    assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4", b"HTTP/1.1 5")), answer[:200]


def test_path_tricks(server):
    for path in ("/v2/../../etc/passwd", "/v2/%2e%2e/%2e%2e/etc/passwd", "/v2/admin/x/blobs/..%2f..%2fetc%2fpasswd",
                 "/v2/admin/x/blobs/sha256:" + "..%2f" * 10, "/v2/admin/x/manifests/..%2f..%2fconfig%2fadmin-password",
                 "/v2/admin/x/blobs/uploads/..%2f..%2f..%2fconfig%2fadmin-password", "/v2/admin%00/x/tags/list", "//v2//",
                 "/v2/%ff/tags/list",
                 "/v2/admin/x/blobs/uploads/" + "a" * 5000, "/config/admin-password", "/..%2fadmin-password"):
        answer = raw(server, f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {basic(server)}\r\nConnection: close\r\n\r\n".encode())
        assert answer[:10] in (b"HTTP/1.1 4", b"HTTP/1.1 3"), f"{path}: {answer[:200]}"
        assert server.password.encode() not in answer


def test_pipelined_requests(server, registry):
    """Two requests in one packet get two answers, in order."""
    head = f"Host: x\r\nAuthorization: {basic(server)}\r\n"
    answer = raw(server, (f"GET /v2/ HTTP/1.1\r\n{head}\r\nGET /v2/{registry.repo}/manifests/none HTTP/1.1\r\n{head}"
                          f"Connection: close\r\n\r\n").encode())
    assert answer.index(b"HTTP/1.1 200") < answer.index(b"HTTP/1.1 404")


def test_expect_continue(server, registry):
    data = os.urandom(10_000)
    url = registry.start()
    path = url.split(server.plain_host, 1)[1]
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=5) as connection:
        connection.sendall((f"PUT {path}?digest={digest(data)} HTTP/1.1\r\nHost: x\r\nAuthorization: {basic(server)}\r\n"
                            f"Content-Length: {len(data)}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n").encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 100")
        connection.sendall(data)
        assert connection.recv(100).startswith(b"HTTP/1.1 201")
    assert registry.get_blob(digest(data)).content == data


def test_slow_clients_hold_no_worker(server, registry):
    """Many half-sent requests and half-read answers, and the next request is still answered at once."""
    name = registry.push_blob(os.urandom(4 << 20))
    sockets = []
    try:
        for i in range(120):
            connection = socket.create_connection(("127.0.0.1", server.http_port), timeout=5)
            sockets.append(connection)
            if i % 3 == 0:
                connection.sendall(b"GET /v2/ HTTP/1.1\r\nHost:")
            elif i % 3 == 1:
                connection.sendall((f"GET /v2/{registry.repo}/blobs/{name} HTTP/1.1\r\nHost: x\r\n"
                                    f"Authorization: {basic(server)}\r\n\r\n").encode())
            else:
                connection.sendall((f"PUT /v2/{registry.repo}/manifests/slow HTTP/1.1\r\nHost: x\r\n"
                                    f"Authorization: {basic(server)}\r\nContent-Length: 1000\r\n\r\n{{").encode())
        started = time.monotonic()
        for _ in range(20):
            assert registry.do("GET", "/v2/").status_code == 200
        data = os.urandom(100_000)
        assert registry.get_blob(registry.push_blob(data)).content == data
        assert time.monotonic() - started < 5
    finally:
        for connection in sockets:
            connection.close()


def test_many_at_once(server, registry):
    """Forty clients push and pull together; each gets what it asked for, or is told to come back (429, 503)."""
    problems = []

    def work(number):
        mine = Registry(server, registry.repo)
        data = os.urandom(20_000)
        try:
            for _ in range(3):
                name = mine.push_blob(data)
                assert mine.get_blob(name).content == data
        except AssertionError as error:
            if not any(code in str(error) for code in ("-> 429", "-> 503")):
                problems.append((number, str(error)[:500]))
        except requests.RequestException as error:
            problems.append((number, repr(error)))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems, problems[:3]


def test_service_endpoints(server):
    session = server.session(auth=False)
    for base in (server.url, server.https_url):
        assert session.get(base + "/_ping", verify=False, timeout=10).status_code == 200
        assert session.get(base + "/health", verify=False, timeout=10).status_code == 200
        assert "BEGIN CERTIFICATE" in session.get(base + "/ca", verify=False, timeout=10).text
    metrics = server.session().get(server.url + "/metrics", timeout=10)
    assert metrics.status_code == 200
    for line in metrics.text.splitlines():
        assert line.startswith("#") or len(line.rsplit(" ", 1)) == 2, line
    assert session.get(server.url + "/nothing-here", timeout=10).status_code == 404


def test_certificate_is_ours(server, space):
    with open(space.file("ca.pem"), "w", encoding="ascii") as file:
        file.write(server.ca())
    session = server.session()
    assert session.get(server.https_url + "/v2/", verify=space.file("ca.pem"), timeout=10).status_code == 200


def test_graceful_end(space):
    """SIGTERM lets a running download finish, and ends within ten seconds all the same."""
    server = space.server("a").start()
    registry = Registry(server, "admin/x")
    data = os.urandom(8 << 20)
    name = registry.push_blob(data)
    answer = registry.do("GET", f"blobs/{name}", stream=True)
    first = answer.raw.read(1000)
    stopper = threading.Thread(target=server.stop)
    stopper.start()
    time.sleep(0.3)
    rest = answer.raw.read()
    stopper.join()
    assert first + rest == data
