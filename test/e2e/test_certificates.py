"""Certificates of a running registry: dumped, given, renewed, and the authority changed under clients that never lose it."""

import io
import os
import signal
import socket
import ssl
import subprocess
import tarfile
import time

import pytest

from harness import clean_env, dtr, tool, DTR
from oci import Image, Registry


def served(server):
    """The leaf that the server shows, PEM."""
    return ssl.get_server_certificate(("127.0.0.1", server.https_port)).strip()


def reaches(server, ca):
    """Whether a client that trusts exactly `ca` gets through."""
    context = ssl.create_default_context(cadata=ca)
    try:
        with socket.create_connection(("127.0.0.1", server.https_port), timeout=5) as raw, \
                context.wrap_socket(raw, server_hostname="127.0.0.1"):
            return True
    except ssl.SSLCertVerificationError:
        return False


def make_pair(space, name, days=90):
    tool("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", str(days),
         "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", space.file(name + ".key"), "-out",
         space.file(name + ".pem"))
    return tuple(open(space.file(name + end), encoding="ascii").read() for end in (".pem", ".key"))


def eventually(what, timeout=10):
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if what():
            return True
        time.sleep(0.05)
    return what()


def names_in(archive):
    return tool("tar", "-tf", "-", stdin=archive).text.split()


def test_dumpcerts_online_and_offline(space):
    server = space.server("a").start()
    dumped = dtr("dumpcerts", *server.cli_auth(), check=0)
    names = names_in(dumped.out)
    for name in ("dtr-certs/root.crt", "dtr-certs/root.key", "dtr-certs/server.crt", "dtr-certs/server.key"):
        assert name in names
    folder = space.dir("certs")
    with tarfile.open(fileobj=io.BytesIO(dumped.out)) as tar:
        for member in tar:
            assert member.mode == 0o600
        tar.extractall(folder)
    root = os.path.join(folder, "dtr-certs", "root.crt")
    assert open(root, encoding="ascii").read() == server.ca()
    tool("openssl", "verify", "-CAfile", root, os.path.join(folder, "dtr-certs", "server.crt"))
    public = tool("openssl", "pkey", "-pubout", "-in", os.path.join(folder, "dtr-certs", "root.key")).text
    assert public == tool("openssl", "x509", "-pubkey", "-noout", "-in", root).text

    # Whoever is no administrator, or has but a token, gets nothing; and it is recorded.
    auth = server.cli_auth()
    with open(space.file("pw"), "w", encoding="ascii") as file:
        file.write("alice's password")
    dtr("user", "create", "alice", "--password-file", space.file("pw"), *auth, check=0)
    as_alice = ["--ucp-url", server.host, "--ucp-ca", server.ca(), "--ucp-username", "alice", "--ucp-password-file", space.file("pw")]
    assert dtr("dumpcerts", *as_alice, check=6).out == b""
    token = dtr("token", "create", "--label", "t", *auth, check=0).text.strip()
    assert dtr("dumpcerts", *auth[:6], "--ucp-password", token, check=6).out == b""
    events = server.session().get(server.url + "/api/v0/audit", timeout=10).text
    assert events.count("certificates.dump") == 1
    dtr("dumpcerts", *auth, "--existing-replica-id", "ffffffffffff", check=10)

    dtr("dumpcerts", "--offline", "--data-dir", server.data_dir, check=10)  # somebody is at it
    server.stop()
    offline = dtr("dumpcerts", "--offline", "--data-dir", server.data_dir, "--output", space.file("o.tar"), check=0)
    assert "unencrypted" in offline.err
    with open(space.file("o.tar"), "rb") as file:
        assert set(names_in(file.read())) >= {"dtr-certs/root.key", "dtr-certs/root.crt"}
    assert os.stat(space.file("o.tar")).st_mode & 0o777 == 0o600


def test_a_terminal_gets_no_keys(space):
    leader, follower = os.openpty()
    done = subprocess.run([DTR, "dumpcerts", "--offline", "--data-dir", space.path], stdout=follower, stderr=subprocess.PIPE,
                          env=clean_env(), timeout=20, check=False)
    os.close(leader)
    os.close(follower)
    assert done.returncode == 10 and b"terminal" in done.stderr


def test_images_names_what_a_release_is(space):
    assert dtr("images", check=0).text.strip() == "dtr:" + dtr("version", check=0).text.strip()


def test_a_certificate_is_given_without_a_restart(space):
    server = space.server("a").start()
    issued, first_ca = served(server), server.ca()
    certificate, key = make_pair(space, "own")
    auth = server.cli_auth()
    given = dtr("reconfigure", "--dtr-cert", certificate, "--dtr-key", key, "--dtr-ca", certificate, *auth, check=0)
    assert "(given, until" in given.text
    assert served(server) == certificate.strip()
    assert server.ca() == first_ca + certificate
    assert reaches(server, server.ca())
    server.restart()
    assert served(server) == certificate.strip(), "it is the cluster's now"

    other, _ = make_pair(space, "other")
    auth = server.cli_auth()
    dtr("reconfigure", "--dtr-cert", other, "--dtr-key", key, *auth, check=2)
    dtr("reconfigure", "--dtr-cert", other, *auth, check=2)
    assert served(server) == certificate.strip()
    dtr("reconfigure", "--no-dtr-cert", *auth, check=0)
    assert served(server) == issued
    assert server.ca() == first_ca


def test_files_are_read_again_at_sighup(space):
    one, two = make_pair(space, "one"), make_pair(space, "two")
    for end, text in ((".pem", one[0]), (".key", one[1])):
        with open(space.file("tls" + end), "w", encoding="ascii") as file:
            file.write(text)
    server = space.server("a", "--tls-cert", space.file("tls.pem"), "--tls-key", space.file("tls.key")).start()
    assert served(server) == one[0].strip()
    with open(space.file("tls.pem"), "w", encoding="ascii") as file:
        file.write(two[0])
    server.process.send_signal(signal.SIGHUP)  # half of it: what was in force stays
    assert eventually(lambda: "still using the current certificate" in server.log())
    assert served(server) == one[0].strip()
    with open(space.file("tls.key"), "w", encoding="ascii") as file:
        file.write(two[1])
    server.process.send_signal(signal.SIGHUP)
    assert eventually(lambda: served(server) == two[0].strip())
    # The command line wins over what the cluster was given.
    certificate, key = make_pair(space, "three")
    auth = ["--ucp-url", server.url, "--ucp-username", "admin", "--ucp-password", server.password]
    done = dtr("reconfigure", "--dtr-cert", certificate, "--dtr-key", key, *auth, check=0)
    assert "command line" in done.err
    assert served(server) == two[0].strip()
    server.stop()


def test_the_authority_changes_under_running_clients(space):
    server = space.server("a").start()
    image = Image()
    Registry(server, "admin/app").push(image, "1.0")
    old_ca = server.ca()
    auth = server.cli_auth()

    def step(*args, check=0, ca=None):
        flags = list(auth)
        flags[3] = ca or server.ca()
        return dtr("reconfigure", "--rotate-ca", *args, *flags, check=check)

    assert step("--switch", check=10).out == b""
    begun = step()
    assert "authority = SHA256:" in begun.text and "next = SHA256:" in begun.text and "--switch" in begun.err
    both = server.ca()
    assert both.startswith(old_ca) and both.count("BEGIN") == 2
    next_ca = both[len(old_ca):]
    printed = {line.split(" = ")[0]: line.split(" = ")[1] for line in begun.text.splitlines()}
    with open(space.file("next.pem"), "w", encoding="ascii") as file:
        file.write(next_ca)
    told = tool("openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", space.file("next.pem")).text
    assert told.split("=")[1].strip() == printed["next"].split(":", 1)[1]
    assert reaches(server, old_ca) and reaches(server, both) and not reaches(server, next_ca)
    step(check=10)
    # It lasts over a restart, and a backup made in the middle of it comes back in the middle of it.
    server.restart()
    assert server.ca() == both

    switched = step("--switch", ca=old_ca)
    assert "no longer" in switched.err or "any more" in switched.err, "whoever did not take the new one is told"
    assert server.ca() == next_ca + old_ca
    assert reaches(server, both) and reaches(server, next_ca) and not reaches(server, old_ca)
    step("--cancel")
    assert server.ca() == old_ca and reaches(server, old_ca)

    step()
    step("--switch")
    new_ca = server.ca().replace(old_ca, "")
    server.backup(space.file("middle.tar"))
    last = step("--finish")
    assert "over" in last.err and "old =" not in last.text
    assert server.ca() == new_ca and new_ca != next_ca
    assert reaches(server, new_ca) and not reaches(server, old_ca)
    dtr("backup", "--output", space.file("after.tar"), *server.cli_auth(), check=0)
    assert image.digest in Registry(server, "admin/app").pull("1.0")
    # A pin on the authority that is gone no longer opens anything.
    gone = dtr("status", "--ucp-url", server.host, "--ucp-username", "admin", "--ucp-password", server.password,
               "--ucp-ca-fingerprint", printed["authority"], check=6)
    assert gone.out == b""
    password, key = server.password, os.path.join(server.data_dir, "recovery-key")
    server.stop()

    dtr("restore", "--data-dir", space.file("b"), "--identity", key, space.file("middle.tar"), check=0)
    restored = space.server("b", password=password).start()
    assert restored.ca() == new_ca + old_ca
    flags = restored.cli_auth()
    dtr("reconfigure", "--rotate-ca", "--finish", *flags, check=0)
    assert restored.ca() == new_ca
