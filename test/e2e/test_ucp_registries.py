"""Several registries at one UCP, what ready means there, and a UCP that hangs."""

import glob
import os
import re
import socket
import subprocess
import threading

import requests

from harness import dtr, ucp
from oci import Image, Registry
from test_ucp import PASSWORD, Pair, eventually, flags

FOR_A_REPLICA = [["gc"], ["scrub"], ["status"], ["reconfigure"], ["repo", "list"], ["grant", "list", "acme/readers"], ["audit"]]


class Two(Pair):
    """A UCP and two registries that rely on it."""

    def __init__(self, space):
        super().__init__(space, "two")
        self.other = space.server("dtr-other")
        dtr("install", *flags(self.identity), "--data-dir", self.other.data_dir, "--replica-id", "fedcba987654",
            "--dtr-external-url", self.other.host, "--replica-https-port", str(self.other.https_port), check=0)
        self.other.known_password = self.identity.password
        self.other.start()
        self.clusters = {r["id"]: r["clusterId"] for r in self.replicas()}

    def replicas(self):
        return requests.get(self.identity.https_url + "/enzi/v0/replicas", verify=False, auth=self.identity.auth,
                            timeout=30).json()["replicas"]

    def as_service(self, method, path, body=None):
        """What the other registry's certificate can do at UCP."""
        found = {name: glob.glob(os.path.join(self.other.data_dir, "ca", "*", f"ucp+client.{name}.*"))[0] for name in ("crt", "key")}
        return requests.request(method, self.identity.https_url + path, json=body, verify=False, timeout=30,
                                cert=(found["crt"], found["key"]))


def test_no_command_chooses_between_two_registries(space):
    two = Two(space)
    assert len(set(two.clusters.values())) == 2, "both are known as soon as they are ready"
    given = flags(two.identity)

    def backup(*args, env=None):
        file = space.file("backup.tar")
        with open(file, "wb") as out:
            done = dtr("backup", *given, *args, stdout=out, env=env)
        return done, os.path.getsize(file)

    refused, size = backup()
    assert refused.code == 10 and size == 0, refused
    for server, replica in ((two.registry, "0123456789ab"), (two.other, "fedcba987654")):
        line = next(line for line in refused.err.splitlines() if replica in line)
        assert two.clusters[replica] in line and server.host in line
    assert "--cluster-id" in refused.err
    for command in FOR_A_REPLICA:
        assert dtr(*command, *given).code == 10, command
    for command in (["dumpcerts"], ["rekey"]):
        assert dtr(*command, *given, "--output", space.file("none")).code == 10, command
    assert not os.path.exists(space.file("none"))
    dtr("user", "list", *given, check=0)  # of UCP itself

    for replica, cluster in two.clusters.items():
        for args, env in ((["--existing-replica-id", replica], None), (["--cluster-id", cluster], None),
                          (["--cluster-id", cluster[:8]], None), ([], {"DTR_CLUSTER_ID": cluster}), ([], {"DTR_REPLICA_ID": replica})):
            done, size = backup(*args, env=env)
            assert done.code == 0 and size > 0, done
            assert f"cluster {cluster}" in done.err.splitlines()[-1], done
        assert dtr("status", *given, "--cluster-id", cluster, check=0).text.find(cluster) > 0
    assert backup("--cluster-id", "0" * 32)[0].code == 10
    assert backup("--cluster-id", "0" * 7)[0].code == 2
    two.other.stop()  # which does not say that the other one is meant
    assert backup()[0].code == 10


def test_a_service_cannot_stand_for_another_registrys_replica(space):
    two = Two(space)
    mine, others = two.clusters["fedcba987654"], two.clusters["0123456789ab"]
    report = {"address": "127.0.0.1:1", "ca": two.other.ca(), "version": "1"}
    path = "/enzi/v0/replicas/0123456789ab"
    for body in ({**report, "clusterId": others}, {**report, "clusterId": others, "parentClusterId": mine},
                 {**report, "clusterId": "e" * 32, "parentClusterId": others}, {**report, "clusterId": "e" * 32}):
        assert two.as_service("PUT", path, body).status_code == 403, body
    assert two.as_service("DELETE", path).status_code == 404
    # Under the same id it is another replica, and whoever names the id alone has to choose.
    assert two.as_service("PUT", path, report).status_code == 200
    given = flags(two.identity)
    assert dtr("status", *given, "--existing-replica-id", "0123456789ab").code == 10
    dtr("status", *given, "--existing-replica-id", "0123456789ab", "--cluster-id", others, check=0)
    # A replica answers nobody who means another cluster.
    wrong = requests.get(two.registry.url + "/api/v0/meta/cluster_status", auth=two.registry.auth, timeout=30,
                         headers={"Dtr-Cluster-Id": mine})
    assert wrong.status_code == 412 and others in wrong.text


def test_ready_means_usable(space):
    pair = Pair(space, "ready")
    for _ in range(3):
        pair.registry.restart()
        assert pair.status() == 200
        assert requests.get(pair.registry.url + "/auth/token", auth=pair.registry.auth, timeout=30).status_code == 200
        assert requests.get(pair.registry.url + "/health", timeout=30).status_code == 200
        dtr("status", *flags(pair.identity), check=0)


def test_a_restored_registry_takes_the_place_of_its_original(space):
    pair = Pair(space, "place")
    given = flags(pair.identity)
    archive, key = space.file("backup.tar"), os.path.join(pair.registry.data_dir, "recovery-key")
    with open(archive, "wb") as out:
        dtr("backup", *given, stdout=out, check=0)
    pair.registry.stop()
    # In place and without a word to UCP: the same service, for the cluster that was restored from its own.
    dtr("restore", "--rewind", "--data-dir", pair.registry.data_dir, "--identity", key, archive, check=0)
    pair.registry.start()
    assert "service.move" in pair.ucp("audit").text
    dtr("status", *given, check=0)
    # And registered for itself.
    pair.registry.stop()
    dtr("restore", "--rewind", *given, "--data-dir", pair.registry.data_dir, "--identity", key, archive, check=0)
    pair.registry.start()
    dtr("status", *given, check=0)


class Silence:
    """Takes connections on a port and never says anything."""

    def __init__(self, port):
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(("127.0.0.1", port))
        self.socket.listen(64)
        self.taken = []
        self.thread = threading.Thread(target=self.take, daemon=True)
        self.thread.start()

    def take(self):
        while True:
            try:
                self.taken.append(self.socket.accept()[0])
            except OSError:
                return

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        for one in self.taken:
            one.close()


def test_a_ucp_that_hangs_holds_only_what_needs_it(space):
    pair = Pair(space, "hangs", "--set", "ucp.max-age=1h")
    pair.user("alice")
    eventually(lambda: pair.status("alice", PASSWORD) == 200)
    Registry(pair.registry, "admin/open").push(Image(label="open"), "v1")
    dtr("repo", "publish", "admin/open", *flags(pair.identity), check=0)
    token = requests.get(pair.registry.url + "/auth/token", auth=pair.registry.auth, timeout=30,
                         params={"scope": "repository:admin/private:pull,push"}).json()["token"]
    pair.identity.kill9()
    silence = Silence(pair.identity.https_port)
    try:
        answers = []

        def log_in(number):
            answers.append(requests.get(pair.registry.url + "/auth/token", auth=(f"nobody{number}", "wrong"), timeout=60))

        logins = [threading.Thread(target=log_in, args=[i]) for i in range(40)]
        for one in logins:
            one.start()
        for _ in range(20):
            for path in ("/_ping", "/health", "/v2/admin/open/manifests/v1"):
                assert requests.get(pair.registry.url + path, timeout=10).status_code == 200, path
            begun = requests.post(pair.registry.url + "/v2/admin/private/blobs/uploads/", timeout=10,
                                  headers={"Authorization": "Bearer " + token})
            assert begun.status_code == 202
        for one in logins:
            one.join()
        assert {a.status_code for a in answers} == {503}, [a.text for a in answers]
        assert any(pair.identity.host in a.text for a in answers) and all(a.headers["Retry-After"] for a in answers)
        pair.registry.stop()  # within the time that it promises

        pair.registry.start()
        said = [line for line in pair.registry.log().splitlines() if re.search("dtr: (warning|ready)", line)][-2:]
        assert "warning" in said[0] and "UCP" in said[0] and "ready" in said[1], said
        assert requests.get(pair.registry.url + "/v2/admin/open/manifests/v1", timeout=10).status_code == 200
        assert pair.status() == 503
        hung = dtr("status", "--ucp-url", pair.identity.host, "--ucp-insecure-tls", "--ucp-username", "admin",
                   "--ucp-password", "x", stdout=subprocess.DEVNULL)
        assert hung.code == 3, hung
    finally:
        silence.close()
    pair.identity.start()
    eventually(lambda: pair.status("alice", PASSWORD) == 200, 30)


def test_a_release_over_the_limit_says_when(space):
    pair = Pair(space, "limit")
    with open(os.path.join(pair.registry.data_dir, "recovery-key"), encoding="utf-8") as file:
        recipient = next(line.split()[-1] for line in file if "age1" in line)
    ask = {"verify": False, "timeout": 30, "json": {"recipient": recipient}, "auth": pair.identity.auth}
    url = pair.identity.https_url + "/enzi/v0/escrow/release"
    for _ in range(5):
        assert requests.post(url, **ask).status_code == 200
    assert pair.ucp("audit").text.count("key.release") == 5
    assert "\ndtr_escrow_releases_total 5\n" in requests.get(pair.identity.url + "/metrics", timeout=30).text
    pair.identity.restart()  # which forgets none
    over = requests.post(url, **ask)
    assert over.status_code == 429 and 3000 < int(over.headers["Retry-After"]) <= 3600, over.text
    assert ucp("audit", *flags(pair.identity), check=0).text.count("key.release") == 5
