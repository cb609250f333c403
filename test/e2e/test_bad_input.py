"""Bad input, bad disks, bad clocks: each gets the answer that is specified for it, a sentence that helps, and changes
nothing. What is asked of the wire and has a test elsewhere:

    wrong digest                        test_conformance_blobs.py test_bad_digest, test_conformance_manifests.py test_wrong_digest
    body cut short                      test_limits.py test_body_shorter_than_said, test_manifest_body_shorter_than_said
    chunks out of order, bad ranges     test_conformance_blobs.py test_out_of_order_chunks_are_416_and_recoverable, test_bad_content_range
    unknown upload                      test_conformance_blobs.py test_unknown_upload
    manifest too large                  test_conformance_manifests.py test_manifest_over_the_limit_is_413
    invalid JSON, not UTF-8             test_conformance_manifests.py test_invalid_manifest
    blobs a manifest needs are missing  test_conformance_manifests.py test_missing_layer
    names, tags                         test_conformance_lists.py test_bad_names, test_conformance_manifests.py test_tag_grammar
    path tricks                         test_limits.py test_path_tricks
    slow clients                        test_limits.py test_slow_clients_hold_no_worker
    no space for a restore, an archive  test_disasters.py test_case_12_*, test_case_13_*
    a lost volume, a second process     test_story.py test_a_forgotten_mount_is_no_fresh_start, test_second_serve
"""

import contextlib
import glob
import os
import random
import socket
import statistics
import threading
import time

import pytest
import requests

from harness import dtr, run, tool
from oci import OCI_MANIFEST, OCTETS, Image, Registry, describe, digest, expect_error
from steps import is_untouched, restore
from test_disasters import key_of, small_disk
from test_limits import basic, raw, realm

FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"


def state(server):
    """Everything a client can see: repositories, tags, and the log of all changes."""
    session = server.session()
    names = session.get(server.url + "/v2/_catalog", params={"n": 1000}, timeout=10).json()["repositories"]
    tags = {name: session.get(f"{server.url}/v2/{name}/tags/list", timeout=10).text for name in names}
    last, events = 0, []
    while True:
        page = session.get(server.url + "/api/v0/events", params={"after": last}, timeout=10).json()["events"]
        fresh = [event for event in page if event["sequence"] > last]
        if not fresh:
            return names, tags, events
        events += fresh
        last = fresh[-1]["sequence"]


@contextlib.contextmanager
def unchanged(server):
    before = state(server)
    yield
    assert state(server) == before


# -- what goes over the wire

@pytest.mark.parametrize("said,sent", [(4, 10), (10, 4)], ids=["longer than said", "shorter than said"])
def test_chunk_of_another_length(server, registry, said, sent):
    """Content-Range says one length, the body has another: 416 or 400, and the upload is where it was."""
    url = registry.patch(registry.start(), b"0123", 0)
    with unchanged(server):
        answer = registry.do("PATCH", url, data=b"x" * sent, headers={"Content-Type": OCTETS, "Content-Range": f"4-{3 + said}"})
        expect_error(answer, (400, 416))
        status = registry.do("GET", url)
        assert (status.status_code, status.headers["Range"]) == (204, "0-3"), describe(status)


def test_body_longer_than_said(server, registry):
    """What follows the body is another request, and garbage is no request: nothing of it is stored."""
    data = os.urandom(1000)
    path = registry.start().split(server.plain_host, 1)[1]
    answer = raw(server, (f"PUT {path}?digest={digest(data)} HTTP/1.1\r\nHost: x\r\nAuthorization: {basic(server)}\r\n"
                          f"Content-Length: {len(data)}\r\nContent-Type: {OCTETS}\r\n\r\n").encode() + data + b"\x00\x01 and more\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 201") and answer.count(b"HTTP/1.1 400") == 1, answer
    assert registry.get_blob(digest(data)).content == data


def test_pipelined_garbage(server):
    """The request before it is answered, the garbage is refused, the connection ends."""
    with unchanged(server):
        good = f"GET /v2/ HTTP/1.1\r\nHost: x\r\nAuthorization: {basic(server)}\r\n\r\n".encode()
        for garbage in (b"\x00\x01\x02\r\n\r\n", b"GET\r\n\r\n", b"{}\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", os.urandom(200) + b"\r\n\r\n"):
            answer = raw(server, good + garbage + good, wait_s=2)
            assert answer.startswith(b"HTTP/1.1 200") and answer.count(b"HTTP/1.1 2") == 1, answer
            assert b"HTTP/1.1 400" in answer and b"Connection: close" in answer, answer


@pytest.mark.parametrize("lines", [b"".join(b"X-%d: y\r\n" % i for i in range(20_000)), b"X: " + b"y" * 500_000 + b"\r\n",
                                   b"A:\r\n" * 100_000], ids=["many headers", "a long one", "many empty ones"])
def test_header_flood(server, lines):
    with unchanged(server):
        answer = raw(server, b"GET /v2/ HTTP/1.1\r\nHost: x\r\n" + lines + b"\r\n", wait_s=3)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 431") or answer.startswith(b"HTTP/1.1 400"), answer[:300]


def test_slowloris_holds_nobody_up(server, registry):
    """Heads that come a byte at a time from many connections: everybody else is served as if they were not there."""
    connections = [socket.create_connection(("127.0.0.1", server.http_port), timeout=5) for _ in range(200)]
    over = threading.Event()

    def drip():
        head = b"GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Slow: " + b"a" * 1000
        for byte in head:
            for connection in connections:
                with contextlib.suppress(OSError):
                    connection.send(bytes([byte]))
            if over.wait(0.01):
                return

    dripping = threading.Thread(target=drip)
    dripping.start()
    try:
        took = []
        for number in range(20):
            started = time.monotonic()
            registry.push(Image(), f"t{number}")
            took.append(time.monotonic() - started)
        assert statistics.median(took) < 1 and max(took) < 5, took
    finally:
        over.set()
        dripping.join()
        for connection in connections:
            connection.close()


@pytest.mark.parametrize("path", ["/v2/admin/x/../y/tags/list", "/v2/admin/x%2f..%2fy/manifests/1", "/v2//admin/x/manifests/1",
                                  "/v2/admin/x/manifests/1%00", "/v2/admin/x/blobs/sha256:%2e%2e", "/v2/%2e%2e%2fadmin/x/blobs/uploads/",
                                  "/v2/admin\\x/manifests/1", "/v2/admin/x/manifests/%c0%ae%c0%ae"])
def test_path_tricks_write_nothing(server, path):
    """The paths that are refused for reading (test_limits.py) are refused for writing, and make no repository."""
    with unchanged(server):
        for method in ("PUT", "POST", "PATCH", "DELETE"):
            body = b"{}" if method == "PUT" else b""
            answer = raw(server, f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {basic(server)}\r\n"
                                 f"Content-Type: {OCI_MANIFEST}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                                 .encode() + body)
            assert answer.startswith(b"HTTP/1.1 4"), f"{method} {path}: {answer[:300]}"


@pytest.mark.parametrize("body", [b"\xff\xfe\xfa", b'{"schemaVersion":2,"config":"\xff"}', b"{", b"[]", b'{"schemaVersion":2}', b"{}" * 10])
def test_bad_manifests_change_nothing(server, registry, body):
    registry.push(Image(), "kept")
    with unchanged(server):
        for reference in ("new", "kept", digest(body)):
            expect_error(registry.do_put(reference, body), 400)


def test_missing_blobs_change_nothing(server, registry):
    registry.push(Image(), "kept")
    with unchanged(server):
        answer = registry.do_put("kept", Image().manifest)
        expect_error(answer, (400, 404), "MANIFEST_BLOB_UNKNOWN")
        assert "sha256:" in answer.text


def test_mutated_requests(server, registry, figure):
    """Requests of real clients with bytes changed, dropped, doubled and spliced: an answer or a closed connection, no 500, and
    the server lives on. DTR_BYTES_SEED=n replays."""
    seed = int(os.environ.get("DTR_BYTES_SEED", "7"))
    dice = random.Random(seed)
    image = Image()
    registry.push(image, "kept")
    upload = registry.start().split(server.plain_host, 1)[1]
    head = f"Host: x\r\nAuthorization: {basic(server)}\r\nConnection: close\r\n"
    scope = f"service=dtr-registry&scope=repository:{registry.repo}:pull,push"
    requests_ = [text.encode() for text in (
        f"GET /v2/ HTTP/1.1\r\n{head}\r\n",
        f"GET /v2/_catalog?n=10&last=a HTTP/1.1\r\n{head}\r\n",
        f"GET /v2/{registry.repo}/tags/list?n=5 HTTP/1.1\r\n{head}\r\n",
        f"HEAD /v2/{registry.repo}/manifests/kept HTTP/1.1\r\n{head}Accept: {OCI_MANIFEST}\r\n\r\n",
        f"GET /v2/{registry.repo}/blobs/{digest(image.config)} HTTP/1.1\r\n{head}Range: bytes=0-9\r\n\r\n",
        f"GET /v2/{registry.repo}/referrers/{image.digest}?artifactType=a/b HTTP/1.1\r\n{head}\r\n",
        f"POST /v2/{registry.repo}/blobs/uploads/?mount={digest(image.config)}&from={registry.repo} HTTP/1.1\r\n{head}"
        "Content-Length: 0\r\n\r\n",
        f"PATCH {upload} HTTP/1.1\r\n{head}Content-Type: {OCTETS}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        f"PUT {upload}?digest={digest(b'hello')} HTTP/1.1\r\n{head}Content-Length: 5\r\n\r\nhello",
        f"PUT /v2/{registry.repo}/manifests/new HTTP/1.1\r\n{head}Content-Type: {OCI_MANIFEST}\r\n"
        f"Content-Length: {len(image.manifest)}\r\n\r\n{image.manifest.decode()}",
        f"GET /auth/token?{scope} HTTP/1.1\r\n{head}\r\n",
        f"POST /auth/token HTTP/1.1\r\n{head}Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(scope)}\r\n\r\n"
        f"{scope}",
        f"GET /api/v0/events?after=0&limit=3 HTTP/1.1\r\n{head}\r\n")]
    tries = 20_000 if os.environ.get("DTR_TEST_LONG") else 500
    answered = 0
    for number in range(tries):
        data = bytearray(dice.choice(requests_))
        for _ in range(dice.randint(1, 4)):
            at, count = dice.randrange(len(data)), dice.randint(1, 8)
            kind = dice.randrange(5)
            if kind == 0:
                data[at] = dice.randrange(256)
            elif kind == 1:
                data[at] = dice.choice(b"\r\n :%/?&=+.,;\0\"'\\\xff0")
            elif kind == 2 and len(data) > 20:
                del data[at:at + count]
            elif kind == 3:
                data[at:at] = data[at:at + count]
            else:
                other = dice.choice(requests_)
                data[at:at] = other[dice.randrange(len(other)):][:count * 4]
        answer = raw(server, bytes(data), wait_s=0.1)
        answered += answer.startswith(b"HTTP/1.1 ")
        assert answer == b"" or answer.startswith(b"HTTP/1."), f"seed {seed}, number {number}: {bytes(data)!r}\n{answer[:300]}"
        assert not answer.startswith(b"HTTP/1.1 500"), f"seed {seed}, number {number}: {bytes(data)!r}\n{answer[:300]}"
        assert server.process.poll() is None, f"seed {seed}, number {number}: {bytes(data)!r}"
    figure(f"mutated requests, seed {seed}: {tries} sent, {answered} answered")
    registry.pull("kept")


# -- who is asking

def token_for(server, scope=None, auth=True):
    url, params = realm(server, scope)
    answer = requests.get(url, params=params, auth=server.auth if auth else None, verify=False, timeout=10)
    assert answer.status_code == 200, describe(answer)
    return answer.json()["token"]


def test_forged_tokens(server, registry):
    """A token with any character changed, dropped or doubled, and parts of two tokens put together: 401, and the server
    lives on. (One padding sign in the middle of a token once ended it.)"""
    registry.push(Image(), "1")
    good = token_for(server, f"repository:{registry.repo}:pull")
    other = token_for(server, auth=False)
    dice = random.Random(11)
    forged = [other]
    for _ in range(150):
        at = dice.randrange(len(good))
        kind = dice.randrange(3)
        char = dice.choice("=+/-_.A9 ")
        forged.append(good[:at] + (char + good[at + 1:] if kind == 0 else good[at + 1:] if kind == 1 else char + good[at:]))
    parts, others = good.split("."), other.split(".")
    forged += [f"{parts[0]}.{others[1]}.{parts[2]}", f"{parts[0]}.{parts[1]}.{others[2]}", f"{parts[0]}.{parts[1]}.", "..", "=" * 90,
               f"{parts[0]}..{parts[2]}", f"{parts[0]}.=.{parts[2]}", f"{parts[0]}.{parts[1]}=.{parts[2]}", "a" * 40_000]
    with unchanged(server), requests.Session() as session:
        for token in forged:
            if token == good:
                continue
            answer = session.get(registry.base + "manifests/1", headers={"Authorization": f"Bearer {token}"}, timeout=10)
            assert answer.status_code in (400, 401, 404, 431), f"{token}\n{describe(answer)}"
            answer = session.post(registry.base + "blobs/uploads/", headers={"Authorization": f"Bearer {token}"}, timeout=10)
            assert answer.status_code in (400, 401, 403, 404, 431), f"{token}\n{describe(answer)}"
    assert requests.get(registry.base + "manifests/1", headers={"Authorization": f"Bearer {good}"}, timeout=10).status_code == 200


def test_passwords_are_throttled(space):
    """After ten failures for one account from one address: 429 that says when to come back; other accounts go on."""
    server = space.server("a").start()
    with unchanged(server):
        answers = [server.session(auth=("bob", f"guess {i}")).get(server.url + "/v2/", timeout=10) for i in range(12)]
        codes = [answer.status_code for answer in answers]
        assert codes[0] == 401 and codes[-1] == 429 and sorted(codes) == codes, codes
        expect_error(answers[-1], 429, "TOOMANYREQUESTS")
        assert 50 < int(answers[-1].headers["Retry-After"]) <= 61
        assert "try again in" in answers[-1].text
        assert Registry(server, "admin/x").do("GET", "/v2/").status_code == 200


def test_unknown_names_cost_as_much_as_wrong_passwords(space):
    """No answer tells which names exist: neither its text nor its time."""
    server = space.server("a").start()

    def ask(name, number):
        with server.session(auth=(name, f"wrong {number}")) as session:
            started = time.perf_counter()
            answer = session.get(server.url + "/v2/", timeout=10)
            took, fields = time.perf_counter() - started, answer.json()
            assert fields.pop("request_id") == answer.headers["X-Request-Id"]  # the one thing of it that is random
            return took, (answer.status_code, str(fields), answer.headers["WWW-Authenticate"])

    known, unknown, said = [], [], set()
    for number in range(8):
        for name, times in (("admin", known), (f"nobody{number}", unknown)):
            took, answer = ask(name, number)
            times.append(took)
            said.add(answer)
    assert len(said) == 1, said
    assert 0.4 < statistics.median(unknown) / statistics.median(known) < 2.5, (known, unknown)
    assert min(unknown) > 0.004, unknown  # a hash was computed


# -- disks

def test_full_disk_recovers(space):
    """507 (or 503) while there is no room; as soon as there is some, pushes work again, without a restart."""
    with small_disk(space, "small", "160m") as small:
        server = space.server("small").start()
        registry = Registry(server, "admin/x")
        kept = Image()
        registry.push(kept, "kept")
        filler = os.path.join(small, "filler")
        with open(filler, "wb") as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(1 << 20))
        data = os.urandom(3 << 20)
        with unchanged(server):
            answer = registry.do("POST", "blobs/uploads/", params={"digest": digest(data)}, data=data)
            assert answer.status_code in (503, 507), describe(answer)
            assert "space" in answer.text or "full" in answer.text, describe(answer)
            answer = registry.do_put("new", kept.manifest)
            assert answer.status_code in (503, 507), describe(answer)
            registry.pull("kept")
        os.remove(filler)
        assert not registry.has_blob(digest(data))
        registry.push_blob(data)
        registry.push(Image(), "after")
        registry.pull("after")
        server.stop()


@contextlib.contextmanager
def read_only(path):
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    tool("mount", "--bind", "-o", "ro", path, path)
    try:
        yield
    finally:
        run(["umount", "-l", path])


def test_read_only_disk_under_a_running_server(space):
    server = space.server("a").start()
    registry = Registry(server, "admin/x")
    registry.push(Image(), "kept")
    data = os.urandom(5000)
    with read_only(os.path.join(server.data_dir, "registry")), unchanged(server):
        answer = registry.do("POST", "blobs/uploads/", params={"digest": digest(data)}, data=data)
        assert answer.status_code in (503, 507) and "ead-only" in answer.text, describe(answer)
        assert not registry.has_blob(digest(data))
        registry.pull("kept")
    registry.push_blob(data)
    registry.push(Image(), "after")


def test_read_only_disk_at_the_start(space):
    server = space.server("a").start()
    Registry(server, "admin/x").push(Image(), "kept")
    server.stop()
    with read_only(server.data_dir):
        done = run(server.command(), timeout=30)
        assert done.code not in (0, -6, -11) and "ead-only" in done.err and "mount it writable" in done.err, done
    Registry(server.start(), "admin/x").pull("kept")


def damaged(data, how):
    if how == "first bytes":
        return bytes(100) + data[100:]
    if how == "cut":
        return data[:len(data) // 2]
    if how == "pages":
        return data[:8192] + random.Random(1).randbytes(8192) + data[16384:]
    if how == "empty":
        return b""
    return b"this was a database once\n" * 1000


@pytest.mark.parametrize("how", ["first bytes", "cut", "pages", "empty", "another file", "gone"])
def test_damaged_metadata(space, how):
    """Refuses to start, with 5, and names the file and the way back."""
    server = space.server("a").start()
    registry = Registry(server, "admin/x")
    for number in range(25):
        registry.push(Image(), f"t{number}")
    server.stop()
    path, = glob.glob(os.path.join(server.data_dir, "metadata", "*", "dtr.sqlite"))
    with open(path, "rb") as file:
        good = file.read()
    for leftover in glob.glob(path + "-*"):
        os.remove(leftover)
    if how == "gone":
        os.rename(path, path + ".lost")  # the folder is not empty: no forgotten mount
    else:
        with open(path, "wb") as file:
            file.write(damaged(good, how))
    for _ in range(2):
        done = run(server.command(), timeout=30)
        assert done.code == 5, done
        assert "dtr restore" in done.err and server.data_dir in done.err, done
    for leftover in glob.glob(path + "-*"):
        os.remove(leftover)
    with open(path, "wb") as file:
        file.write(good)
    Registry(server.start(), "admin/x").pull("t0")


# -- clocks

@pytest.mark.parametrize("off", ["-10y", "+10y"])
def test_case_19_clock_years_off(space, off):
    """A source whose clock is ten years off: backup, verify, restore and pull give the same as ever; and a server whose
    clock was put right goes on with what it has."""
    if not os.path.exists(FAKETIME):
        pytest.fail(f"{FAKETIME} is not there: tools/setup installs it")
    wrong = {"LD_PRELOAD": FAKETIME, "FAKETIME": off, "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}
    server = space.server("a", env=wrong).start()
    registry = Registry(server, "admin/x")
    image = Image()
    year = registry.push(image, "1").headers["Date"].split()[3]
    assert abs(int(year) - time.gmtime().tm_year) >= 9, "the clock was not off"
    old_token = token_for(server)
    dtr("backup", *server.cli_auth(), "--output", space.file("b.tar"), env=wrong, check=0)
    # put right: nothing depends on the order of times
    server.env = None
    server.restart()
    registry.push(Image(), "2")
    registry.pull("1")
    answer = requests.get(server.url + "/v2/", headers={"Authorization": f"Bearer {old_token}"}, timeout=10)
    expect_error(answer, 401, "UNAUTHORIZED")  # expired long ago, or not valid for years to come
    dtr("backup", "--offline", "--data-dir", server.data_dir, check=10)  # it runs
    server.stop()
    with open(space.file("later.tar"), "wb") as out:
        dtr("backup", "--offline", "--data-dir", server.data_dir, stdout=out, check=0)
    for archive, env in (("b.tar", None), ("later.tar", wrong)):
        dtr("verify", "--level", "3", "--identity", key_of(server), space.file(archive), env=env, check=0)
        target = space.file("back-" + archive)
        restore(target, space.file(archive), "--identity", key_of(server), env=env)
        back = space.server("back-" + archive, password=server.password).start()
        Registry(back, "admin/x").pull("1")
        assert Registry(back, "admin/x").get("1").content == image.manifest
        back.stop()


def test_case_19_clock_steps_while_it_runs(space):
    """The wall clock jumps back and forth under a running server and backups: nothing is ordered by it."""
    stamp = space.file("clock")
    with open(stamp, "w", encoding="ascii") as file:
        file.write("+0\n")
    env = {"LD_PRELOAD": FAKETIME, "FAKETIME_TIMESTAMP_FILE": stamp, "FAKETIME_CACHE_DURATION": "1", "FAKETIME_NO_CACHE": "1",
           "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}
    server = space.server("a", env=env).start()
    registry = Registry(server, "admin/x")
    for number, offset in enumerate(["+0", "-9y", "+3600", "+9y", "-1", "+0"]):
        with open(stamp, "w", encoding="ascii") as file:
            file.write(offset + "\n")
        registry.push(Image(), f"t{number}")
        for tag in range(number + 1):
            registry.pull(f"t{tag}")
    sequences = [event["sequence"] for event in state(server)[2]]
    assert sequences == sorted(set(sequences))
    server.backup(space.file("b.tar"))
    dtr("verify", "--level", "3", "--identity", key_of(server), space.file("b.tar"), check=0)
    assert not is_untouched(server.data_dir)
