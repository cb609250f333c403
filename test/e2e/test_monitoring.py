"""What an operator's monitoring sees: a full disk, metrics, logs for machines."""

import json
import os
import re
import time

import pytest

from harness import dtr, run, tool
from oci import Image, Registry
from test_ucp import eventually


def health(server, query=""):
    answer = server.session(auth=False).get(server.url + "/health" + query, timeout=10)
    return answer.status_code, answer.json()


def test_a_full_disk_is_seen(space):
    """Pushes get 507, pulls go on: said by /health, the log, status and the metrics, when it begins and when it ends."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    small = space.dir("small")
    tool("mount", "-t", "tmpfs", "-o", "size=200m,mode=700", "dtr-e2e", small)
    try:
        server = space.server("small").start()
        image = Image()
        registry = Registry(server, "admin/app")
        registry.push(image, "1")
        assert health(server) == health(server, "?write=1")
        status, body = health(server)
        assert status == 200 and body == {"writable": True, "Healthy": True, "Error": ""}

        rubbish = os.path.join(small, "rubbish")
        with open(rubbish, "wb") as file:
            file.write(b"x" * (170 << 20))
        status, body = health(server)
        assert (status, body["writable"], body["Healthy"], body["store"]) == (200, False, True, "registry")
        assert "are reserved" in body["why"]
        status, body = health(server, "?write=1")
        assert status == 503 and body["writable"] is False
        assert registry.do("POST", "blobs/uploads/").status_code == 507
        assert image.digest in registry.pull("1")
        assert dtr("health", "--data-dir", small, check=0).json["writable"] is False
        dtr("health", "--write", "--data-dir", small, check=3)
        shown = dtr("status", *server.cli_auth(), check=0)
        assert shown.json["writable"] is False and "pushes are refused: registry/: " in shown.err
        assert {store["name"] for store in shown.json["stores"]} == {"registry", "metadata", "config"}
        eventually(lambda: 'dtr_store_writable{store="registry"} 0' in metrics(server))

        os.remove(rubbish)
        assert health(server, "?write=1")[0] == 200
        registry.push(Image(layers=[{"new": b"er"}]), "2")
        eventually(lambda: 'dtr_store_writable{store="registry"} 1' in metrics(server))
        log = server.log()
        assert len(re.findall("registry/ does not accept writes: ", log)) == 1
        assert len(re.findall("registry/ accepts writes again", log)) == 1
        server.stop()
    finally:
        run(["umount", "-l", small])


def metrics(server):
    return server.session(auth=False).get(server.url + "/metrics", timeout=10).text


def value(text, name):
    found = re.search(rf"^{re.escape(name)} ([0-9.e+-]+)$", text, re.M)
    assert found, f"no {name} in\n{text}"
    return float(found.group(1))


def test_metrics_that_an_operator_alerts_on(space):
    server = space.server("a").start()
    before = metrics(server)
    assert value(before, "dtr_last_backup_timestamp_seconds") == 0 and value(before, "dtr_secrets_to_carry_away") == 2
    assert server.session(("admin", "wrong")).get(server.url + "/v2/", timeout=10).status_code == 401
    server.backup(space.file("b.tar"))
    after = metrics(server)
    assert value(after, "dtr_last_backup_bytes") == os.path.getsize(space.file("b.tar"))
    assert value(after, "dtr_last_backup_timestamp_seconds") > 1.6e9
    assert value(after, "dtr_failed_logins_total") >= 1
    assert 300 < (value(after, "dtr_certificate_expiry_timestamp_seconds") - time.time()) / 86400 < 398
    for pool in ("lookup", "transfer", "password", "outside", "stream"):
        assert value(after, f'dtr_pool_threads{{pool="{pool}"}}') > 0
        assert value(after, f'dtr_pool_refused_total{{pool="{pool}"}}') == 0
    for store in ("registry", "metadata", "config"):
        assert 0 < value(after, f'dtr_store_free_bytes{{store="{store}"}}') <= value(after, f'dtr_store_total_bytes{{store="{store}"}}')
    os.rename(os.path.join(server.data_dir, "recovery-key"), space.file("recovery-key"))
    assert value(metrics(server), "dtr_secrets_to_carry_away") == 1


def test_backups_are_remembered_until_another_cluster_begins(space):
    server = space.server("a").start()
    name, seen = "dtr_last_backup_timestamp_seconds", "dtr_last_verified_backup_timestamp_seconds"
    assert value(metrics(server), name) == value(metrics(server), seen) == 0
    # Fetched by somebody who looks at nothing: there is a backup, but nobody has said that it arrived.
    fetched = server.session().post(server.url + "/api/v0/backup", timeout=60)
    assert fetched.status_code == 200 and fetched.content
    first = value(metrics(server), name)
    assert first > 1.6e9 and value(metrics(server), seen) == 0
    backup = fetched.headers["Dtr-Backup-Id"]
    where = f"{server.url}/api/v0/backups/{backup}"
    for body, status in (({"seal": "0" * 64}, 409), ({}, 400), ({"seal": 7}, 400)):
        assert server.session().post(where + "/verified", json=body, timeout=10).status_code == status
    assert server.session(auth=False).post(where + "/verified", json={"seal": "0"}, timeout=10).status_code == 401
    unknown = server.session().post(f"{server.url}/api/v0/backups/{'0' * 32}/verified", json={"seal": "0"}, timeout=10)
    assert unknown.status_code == 404 and value(metrics(server), seen) == 0
    seal = server.session().get(where, timeout=10).json()["seal"]
    assert server.session().post(where + "/verified", json={"seal": seal}, timeout=10).status_code == 204
    assert value(metrics(server), seen) == first
    for args in ([], ["--encrypt", "stream"]):
        server.backup(space.file("b.tar"), *args)
        newest = value(metrics(server), name)
        assert newest > first and value(metrics(server), seen) == newest
        first = newest
    server.kill9()
    server.start()
    assert value(metrics(server), name) == value(metrics(server), seen) == newest
    server.backup(space.file("c.tar"))
    dtr("restore", "--data-dir", space.file("r"), space.file("c.tar"), "--identity", os.path.join(server.data_dir, "recovery-key"), check=0)
    restored = space.server("r", password=server.password).start()
    assert value(metrics(restored), name) == value(metrics(restored), seen) == 0
    assert value(metrics(restored), "dtr_repositories") == 0


def test_content_collector_and_scrubber_are_counted(space):
    server = space.server("a", "--set", "gc.lease=1s", "--set", "gc.grace=0s").start()
    registry = Registry(server, "admin/app")
    image = Image()
    registry.push(image, "1")
    server.restart()  # counts at its start
    eventually(lambda: value(metrics(server), "dtr_repositories") == 1)
    stored = metrics(server)
    assert value(stored, "dtr_blobs") == len(image.blobs) + 1
    assert value(stored, "dtr_blob_bytes") == sum(map(len, image.blobs)) + len(image.manifest)
    assert value(stored, "dtr_quarantined_blobs") == value(stored, "dtr_upload_sessions") == 0

    runs = value(metrics(server), "dtr_collector_runs_total")
    assert registry.do("DELETE", f"manifests/{image.digest}").status_code == 202
    dtr("gc", "--dry-run", *server.cli_auth(), check=0)
    assert value(metrics(server), "dtr_collector_runs_total") == runs
    eventually(lambda: dtr("gc", *server.cli_auth(), check=0) and value(metrics(server), "dtr_collector_removed_blobs_total") > 0)
    after = metrics(server)
    assert value(after, "dtr_collector_runs_total") > runs and value(after, "dtr_collector_failures_total") == 0
    assert value(after, "dtr_collector_freed_bytes_total") > 0 and value(after, "dtr_collector_held") == 0
    assert abs(value(after, "dtr_collector_last_run_timestamp_seconds") - time.time()) < 600

    registry.push(image, "2")
    assert value(metrics(server), "dtr_scrubber_last_finished_timestamp_seconds") == 0
    dtr("scrub", *server.cli_auth(), check=0)
    scrubbed = metrics(server)
    assert value(scrubbed, "dtr_scrubber_blobs_total") >= 3 and value(scrubbed, "dtr_scrubber_bad_blobs_total") == 0
    finished = value(scrubbed, "dtr_scrubber_last_finished_timestamp_seconds")
    assert finished > 1.6e9
    server.restart()
    assert value(metrics(server), "dtr_scrubber_last_finished_timestamp_seconds") == finished


def test_what_the_manual_lists_is_there(space):
    server = space.server("a").start()
    text = metrics(server)
    with open(os.path.join(os.path.dirname(__file__), "..", "..", "docs", "operating", "monitoring.md"), encoding="utf-8") as file:
        named = set(re.findall(r"\b(dtr_[a-z_]+|process_[a-z_]+)\b", file.read()))
    assert named
    for name in named:
        assert f"# TYPE {name} " in text, f"{name} is not there"


def test_secrets_are_spoken_of_until_they_are_gone(space):
    server = space.server("a").start()
    key, password = (os.path.join(server.data_dir, name) for name in ("recovery-key", "admin-password"))
    shown = dtr("status", *server.cli_auth(), check=0)
    assert shown.json["left_to_carry_away"] == [key, password]
    assert f"{key} is still on the replica" in shown.err and f"{password} is still on the replica" in shown.err
    server.known_password = server.password
    server.stop()
    tool("mv", key, space.file("safe"))
    assert os.path.isfile(space.file("safe")) and not os.path.islink(space.file("safe"))
    server.start()
    assert f"{password} is still on this machine" in server.log().split("stopping")[-1]
    assert f"{key} is still" not in server.log().split("stopping")[-1]
    os.remove(password)
    shown = dtr("status", *server.cli_auth(), check=0)
    assert shown.json["left_to_carry_away"] == [] and "still" not in shown.err


def test_a_log_for_machines(space):
    server = space.server("a", "--log-format", "json", "--log-level", "debug").start()
    assert server.session(auth=False).get(server.url + '/v2/a"b%0a{}/tags/list', timeout=10).status_code in (400, 401, 404)
    server.stop()
    lines = [json.loads(line) for line in server.log().splitlines()]
    access = {"client", "user", "method", "path", "status", "sent", "received", "seconds", "request_id"}
    assert all(set(line) - {"request_id"} == {"time", "level", "message"} for line in lines if line["message"] != "access")
    assert [line for line in lines if line["message"] == "access" and set(line) == {"time", "level", "message"} | access]
    assert any(line["message"].startswith("ready https://") for line in lines)
    done = dtr("serve", "--data-dir", space.file("b"), "--log-format", "xml")
    assert done.code == 2 and not os.path.exists(space.file("b"))
