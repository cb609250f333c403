"""Disasters on real processes and real disks; the number in a name is that of the case in the project's list of faults."""

import contextlib
import os
import subprocess
import threading
import time

import pytest

from harness import DTR, clean_env, dtr, run, tool
from oci import Image, Registry, digest
from steps import is_untouched, restore


@contextlib.contextmanager
def small_disk(space, name, size):
    """A file system with so little room."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    path = space.dir(name)
    tool("mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "dtr-e2e", path)
    try:
        yield path
    finally:
        run(["umount", "-l", path])


@pytest.fixture
def filled(space):
    """A running registry with a few megabytes in it."""
    server = space.server("a").start()
    Registry(server, "admin/big").push(Image(layers=[{"big": os.urandom(6 << 20)}]), "1")
    return server


def key_of(server):
    return os.path.join(server.data_dir, "recovery-key")


def test_case_01_killed_backup(filled, space):
    """What a killed backup leaves is no backup; the next one works."""
    cut = space.file("cut.tar")
    with open(cut, "wb") as out:
        child = subprocess.Popen([DTR, "backup", *filled.cli_auth()], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                 env=clean_env())
        out.write(child.stdout.read(2 << 20))
        child.kill()
        child.wait()
        child.stdout.close()
    done = dtr("verify", cut)
    assert done.code == 5, done
    filled.backup(space.file("next.tar"))
    dtr("verify", "--identity", key_of(filled), space.file("next.tar"), check=0)


def test_case_01_server_killed_during_a_backup(filled, space):
    child = subprocess.Popen([DTR, "backup", *filled.cli_auth()], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             env=clean_env())
    head = child.stdout.read(1 << 20)
    filled.kill9()
    rest = child.stdout.read()
    err = child.stderr.read().decode()
    assert child.wait(timeout=30) not in (0, -6, -11), err
    with open(space.file("cut.tar"), "wb") as out:
        out.write(head + rest)
    assert dtr("verify", space.file("cut.tar")).code == 5
    filled.start()
    filled.backup(space.file("next.tar"))
    dtr("verify", space.file("next.tar"), check=0)


def test_case_09_slow_reader(filled, space):
    """A reader that stalls holds nothing up: pushes go on, and the backup ends well."""
    child = subprocess.Popen([DTR, "backup", *filled.cli_auth()], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             env=clean_env())
    parts = [child.stdout.read(10_000)]
    started = time.monotonic()
    for i in range(20):
        Registry(filled, "admin/meanwhile").push(Image(), f"t{i}")
    assert time.monotonic() - started < 10
    while part := child.stdout.read(1 << 20):
        parts.append(part)
        time.sleep(0.05)
    assert child.wait() == 0, child.stderr.read()
    with open(space.file("slow.tar"), "wb") as out:
        out.writelines(parts)
    dtr("verify", "--level", "3", "--identity", key_of(filled), space.file("slow.tar"), check=0)


def test_case_12_no_space_for_a_restore(filled, space):
    filled.backup(space.file("b.tar"))
    with small_disk(space, "small", "4m") as small:
        done = restore(small, space.file("b.tar"), "--identity", key_of(filled), check=None)
        assert done.code == 8, done
        assert is_untouched(small)
    assert filled.session().get(filled.url + "/v2/", timeout=5).status_code == 200


def test_case_12_no_space_for_a_push(space):
    """507 or 503, nothing half stored, and the server lives on."""
    with small_disk(space, "small", "200m") as small:
        server = space.server("small").start()
        registry = Registry(server, "admin/x")
        kept = Image()
        registry.push(kept, "kept")
        refused = None
        for _ in range(60):
            data = os.urandom(4 << 20)
            answer = registry.do("POST", "blobs/uploads/", params={"digest": digest(data)}, data=data)
            if answer.status_code != 201:
                refused = answer
                break
        assert refused is not None and refused.status_code in (503, 507), refused
        assert not registry.has_blob(digest(data))
        registry.pull("kept")
        server.stop()
        server.start()
        Registry(server, "admin/x").pull("kept")
        server.stop()
        assert os.path.ismount(small)


def test_case_12_no_space_for_rows(space):
    """What is left on the volume of metadata/ is for those who make room: pushes end before it is full."""
    with small_disk(space, "rows/metadata", "40m") as small:
        server = space.server("rows").start()
        registry = Registry(server, "admin/x")
        registry.push(Image(), "kept")
        registry.push(Image(), "gone")
        session, api = server.session(), server.url + "/api/v0"
        bob = {"name": "bob", "password": "bob's password"}
        assert session.post(server.url + "/enzi/v0/accounts", json=bob).status_code == 201
        his, tokens = server.session(("bob", bob["password"])), api + "/api_tokens"
        made = his.post(tokens, json={"tokenLabel": "one"})
        assert made.status_code == 201, made.text
        one = f"{tokens}/{made.json()['id']}"
        with open(os.path.join(small, "ballast"), "wb") as out:
            room = os.statvfs(small)
            out.write(b"b" * (room.f_bavail * room.f_frsize - (12 << 20)))
        for answer in (his.post(tokens, json={"tokenLabel": "two"}), his.patch(one, json={"tokenLabel": "renamed"}),
                       his.post(server.url + "/enzi/v0/accounts/bob/changePassword",
                                json={"oldPassword": bob["password"], "newPassword": "another password"})):
            assert answer.status_code == 507, (answer.request.url, answer.text)
        assert his.patch(one, json={"isActive": False}).status_code == 200
        assert his.patch(one, json={"isActive": False}).status_code == 507, "again and again"
        assert his.delete(one).status_code in (200, 204)
        assert session.post(tokens, json={"tokenLabel": "an administrator's"}).status_code == 201
        for answer in (registry.do("POST", "blobs/uploads/"), registry.do_put("more", Image().manifest),
                       session.post(api + "/repositories/admin", json={"name": "other"})):
            assert answer.status_code == 507, (answer.request.url, answer.text)
        registry.pull("kept")
        assert registry.do("DELETE", "manifests/gone").status_code == 202
        assert session.post(server.url + "/enzi/v0/accounts", json={"name": "new", "password": "a long password"}).status_code == 201
        assert session.delete(server.url + "/enzi/v0/accounts/new").status_code in (200, 204)
        os.remove(os.path.join(small, "ballast"))
        registry.push(Image(), "again")
        server.stop()


def fill(directory):
    """Takes what is left, to the last byte."""
    path = os.path.join(directory, "of-another-process")
    with open(path, "wb", buffering=0) as out:
        for size in (1 << 20, 4096, 1):
            with contextlib.suppress(OSError):
                while out.write(b"f" * size) == size:
                    pass
    assert os.statvfs(directory).f_bavail == 0
    return path


@pytest.mark.parametrize("part", ["", "/metadata"])
def test_case_12_no_byte_left(space, part):
    """Another process fills the volume: an administrator still acts on accounts, deletes and collects, which makes room."""
    with small_disk(space, "full" + part, "300m" if not part else "60m") as small:
        server = space.server("full", "--set", "gc.lease=1s", "--set", "gc.grace=0s", "--set", "storage.reserve=4MiB").start()
        registry = Registry(server, "admin/x")
        kept = Image()
        registry.push(kept, "kept")
        Registry(server, "admin/gone").push(Image(layers=[{"large": os.urandom(24 << 20)}]), "gone")
        session = server.session()
        accounts = server.url + "/enzi/v0/accounts"
        assert session.post(accounts, json={"name": "bob", "password": "bob's password"}).status_code == 201
        time.sleep(1.5)  # the lease of what was pushed
        filler = fill(small)
        assert kept.digest in registry.pull("kept")
        assert registry.do("POST", "blobs/uploads/").status_code == 507
        assert server.session(auth=False).get(server.url + "/health").json()["writable"] is False
        fresh = server.session()  # has to log in
        assert fresh.get(server.url + "/v2/").status_code == 200
        assert fresh.patch(accounts + "/bob", json={"isActive": False}).status_code == 200
        assert server.session(("bob", "bob's password")).get(server.url + "/v2/").status_code == 401
        assert fresh.delete(server.url + "/api/v0/repositories/admin/gone").status_code == 202
        actions = [one["action"] for one in fresh.get(server.url + "/api/v0/audit").json()["events"]]
        assert actions[:2] == ["repository.remove", "account.update"], actions
        time.sleep(1.5)
        dtr("gc", *server.cli_auth(), check=0)
        if not part:
            assert os.statvfs(small).f_bavail * os.statvfs(small).f_frsize > 20 << 20
        else:
            os.remove(filler)
        registry.push(Image(label="again"), "again")
        server.kill9()
        server.start()
        assert kept.digest in registry.pull("kept")
        server.stop()


def test_case_13_no_space_for_the_archive(filled, space):
    with small_disk(space, "small", "2m") as small:
        target = os.path.join(small, "b.tar")
        done = dtr("backup", *filled.cli_auth(), "--output", target)
        assert done.code == 8, done
        assert os.listdir(small) == [] or not os.path.exists(target)
    filled.backup(space.file("next.tar"))


def stored_objects(server, data):
    """Files of the image store with exactly these bytes."""
    found = []
    for folder, _, names in os.walk(os.path.join(server.data_dir, "registry")):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.getsize(path) == len(data):
                with open(path, "rb") as file:
                    if file.read() == data:
                        found.append(path)
    return found


@pytest.mark.parametrize("how", ["flipped", "cut", "gone"])
def test_case_15_blob_corrupt_at_the_source(space, how):
    """Recognised when it is read for a backup; never copied as if it were good."""
    server = space.server("a").start()
    image = Image(layers=[{"x": os.urandom(50_000)}])
    Registry(server, "admin/x").push(image, "1")
    objects = stored_objects(server, image.layers[0])
    assert objects
    for path in objects:
        if how == "gone":
            os.remove(path)
            continue
        os.chmod(path, 0o600)
        with open(path, "r+b") as file:
            if how == "cut":
                file.truncate(1000)
            else:
                file.seek(25_000)
                byte = file.read(1)
                file.seek(25_000)
                file.write(bytes([byte[0] ^ 1]))
    done = server.backup(space.file("b.tar"), check=None)
    assert done.code == 5, done
    assert digest(image.layers[0]).split(":")[1] in done.err
    assert dtr("verify", space.file("b.tar")).code == 5
    # and a client never gets other bytes as if they were the blob
    answer = Registry(server, "admin/x")
    try:
        got = answer.get_blob(digest(image.layers[0]))
        assert got.status_code != 200 or got.content != image.layers[0]
    except OSError:
        pass  # the connection was cut: also fine


def test_case_26_two_backups_at_once(filled, space):
    archives = [space.file(f"{i}.tar") for i in range(2)]
    threads = [threading.Thread(target=filled.backup, args=(archive,)) for archive in archives]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for archive in archives:
        dtr("verify", "--level", "3", "--identity", key_of(filled), archive, check=0)


def test_case_26_two_restores_at_once(filled, space):
    filled.backup(space.file("b.tar"))
    first = subprocess.Popen([DTR, "restore", "--data-dir", space.file("b"), "--identity", key_of(filled)],
                             stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_env())
    with open(space.file("b.tar"), "rb") as file:
        data = file.read()
    first.stdin.write(data[:1 << 20])
    first.stdin.flush()
    deadline = time.monotonic() + 10
    while not os.path.exists(space.file("b/config")) and time.monotonic() < deadline:
        time.sleep(0.02)
    second = restore(space.file("b"), space.file("b.tar"), "--identity", key_of(filled), check=None)
    assert second.code == 10, second
    first.stdin.write(data[1 << 20:])
    first.stdin.close()
    err = first.stderr.read().decode()
    assert first.wait(timeout=60) == 0, err
    Registry(space.server("b", password=filled.password).start(), "admin/big").pull("1")


def test_case_46_restored_twice(filled, space):
    """Two clusters from one archive know that they are two."""
    filled.backup(space.file("b.tar"))
    states = []
    for name in ("b", "c"):
        restore(space.file(name), space.file("b.tar"), "--identity", key_of(filled))
        with open(space.file(f"{name}/config/CURRENT"), encoding="utf-8") as file:
            states.append(file.read())
        Registry(space.server(name, password=filled.password).start(), "admin/big").pull("1")
    with open(os.path.join(filled.data_dir, "config", "CURRENT"), encoding="utf-8") as file:
        states.append(file.read())
    assert len(set(states)) == 3
    shown = [set(part for part in state.replace('"', " ").split() if len(part) in (12, 32)) for state in states]
    for i, one in enumerate(shown):
        for other in shown[i + 1:]:
            assert len(one & other) <= 1, states  # at most the id of the backup both came from


def test_tokens_of_the_old_cluster_are_void(filled, space):
    registry = Registry(filled, "admin/big")
    challenge = filled.session(auth=False).get(filled.url + "/v2/", timeout=5).headers["WWW-Authenticate"]
    fields = dict(part.split("=", 1) for part in challenge.split(" ", 1)[1].split(","))
    token = filled.session().get(fields["realm"].strip('"'), verify=False, timeout=5, params={
        "service": fields["service"].strip('"'), "scope": "repository:admin/big:pull"}).json()["token"]
    upload = registry.start()
    filled.backup(space.file("b.tar"))
    filled.stop()
    restore(space.file("b"), space.file("b.tar"), "--identity", key_of(filled))
    back = space.server("b", password=filled.password).start()
    answer = back.session(auth=False).get(back.url + "/v2/admin/big/manifests/1", timeout=5,
                                          headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401
    gone = Registry(back, "admin/big").do("GET", upload.replace(filled.plain_host, back.plain_host))
    assert gone.status_code == 404
