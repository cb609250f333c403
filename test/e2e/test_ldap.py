"""People of a directory: logins by its passwords, teams from its groups, and what happens when it is away."""

import json
import os

import pytest
import requests

from harness import dtr, tool
from oci import Image, Registry
from slapd import BASE, READER_PASSWORD, SLAPD, Slapd, dn
from test_ucp import Pair, eventually

pytestmark = pytest.mark.skipif(not os.access(SLAPD, os.X_OK), reason="slapd is not there: tools/setup")
CONFIG = "/enzi/v0/config/auth/ldap"


class Site:
    def __init__(self, space):
        self.directory = Slapd(space.file("slapd"), people=["alice", "bob", "carol"],
                               groups={"devs": ["alice"], "root": ["carol"]}).start()
        self.server = space.server("a").start()
        self.space = space
        self.admin = self.server.session()

    def logs(self):
        return self.server.log()

    def put(self, **changes):
        return self.admin.put(self.server.url + CONFIG, json=self.directory.settings(**changes), timeout=30)

    def set_up(self, **changes):
        answer = self.put(**changes)
        assert answer.status_code == 200, answer.text
        return self

    def sync(self, check=0):
        return dtr("ldap", "sync", *self.server.cli_auth(), check=check)

    def counts(self):
        return dict(line.split("\t") for line in self.sync().text.splitlines())

    def log_in(self, name, password=None):
        """What a login is answered: at the API and where docker asks for its token."""
        with self.server.session((name, password or f"{name}s password")) as session:
            own = session.get(f"{self.server.url}/enzi/v0/accounts/{name}", timeout=30).status_code
            token = session.get(self.server.url + "/auth/token", params={"service": "dtr-registry"}, timeout=30).status_code
        return own, token

    def account(self, name):
        return self.admin.get(f"{self.server.url}/enzi/v0/accounts/{name}", timeout=30).json()

    def push(self, name, repository):
        registry = Registry(self.server, repository, auth=(name, f"{name}s password"))
        return registry.do("POST", "blobs/uploads/").status_code


@pytest.fixture
def site(space):
    site = Site(space)
    yield site
    site.directory.stop()


def test_people_log_in_by_the_directory(site):
    assert site.log_in("alice") == (401, 401)
    site.set_up()
    assert site.log_in("alice") == (200, 200)
    assert site.account("alice")["fullName"] == "alice Example"
    assert not site.account("alice")["isAdmin"]
    assert site.log_in("alice", "wrong") == (401, 401)
    assert site.log_in("stranger") == (401, 401)
    for name in ("*", "al*", "*)(uid=*", "alice)(uid=alice"):
        with site.server.session((name, "alices password")) as session:
            assert session.get(site.server.url + "/v2/", timeout=30).status_code == 401, name
    assert site.log_in("admin", site.server.password) == (200, 200)
    Registry(site.server, "alice/app", auth=("alice", "alices password")).push(Image(), "1")
    # The same with a stock client.
    tool("skopeo", "inspect", "--tls-verify=false", "--creds", "alice:alices password",
         f"docker://{site.server.plain_host}/alice/app:1")


def test_without_a_password_nobody_logs_in(site):
    """This server answers success to a name without a password."""
    site.set_up()
    assert site.counts()["created"] in ("0", "3")
    for name in ("alice", "bob", "stranger"):
        with site.server.session((name, "")) as session:
            assert session.get(site.server.url + "/v2/", timeout=30).status_code == 401


def test_a_group_fills_a_team_and_another_makes_administrators(site):
    admin, url = site.admin, site.server.url
    site.set_up(adminSyncOpts={"enableSync": True, "selectGroupMembers": True, "groupDN": site.directory.group("root"),
                               "memberAttr": "member"})
    assert admin.post(url + "/enzi/v0/accounts", json={"name": "corp", "isOrg": True}, timeout=30).status_code == 201
    assert admin.post(url + "/enzi/v0/accounts/corp/teams", json={"name": "devs"}, timeout=30).status_code == 201
    assert admin.put(url + "/api/v0/repositoryNamespaces/corp/teamAccess/devs", json={"accessLevel": "read-write"},
                     timeout=30).status_code < 300
    Registry(site.server, "corp/app").push(Image(), "0")
    dtr("ldap", "team", "corp/devs", "--group", site.directory.group("devs"), *site.server.cli_auth(), check=0)
    kept = admin.get(url + "/enzi/v0/accounts/corp/teams/devs/memberSyncConfig", timeout=30).json()
    assert kept["enableSync"] and kept["groupDN"] == site.directory.group("devs") and kept["memberAttr"] == "member"
    site.sync()
    assert site.account("carol")["isAdmin"] and not site.account("bob")["isAdmin"]
    assert site.push("alice", "corp/app") == 202
    assert site.push("bob", "corp/app") in (401, 403)
    site.directory.set_members("devs", ["bob"])
    site.directory.set_members("root", ["bob"])
    counts = site.counts()
    assert (counts["joined"], counts["left"]) == ("1", "1")
    assert site.push("alice", "corp/app") in (401, 403)
    assert site.account("bob")["isAdmin"] and not site.account("carol")["isAdmin"]


def test_who_is_disabled_or_leaves_loses_access(site):
    site.set_up()
    site.sync()
    tokens = {}
    for name in ("alice", "bob"):
        with site.server.session((name, f"{name}s password")) as session:
            made = session.post(site.server.url + "/api/v0/api_tokens", json={"tokenLabel": "build"}, timeout=30)
            tokens[name] = made.json()["token"]
        assert site.log_in(name, tokens[name]) == (200, 200)
    site.directory.disable("alice")
    site.directory.remove("bob")
    counts = site.counts()
    assert counts["deactivated"] == "2"
    for name in ("alice", "bob"):
        assert not site.account(name)["isActive"]
        assert site.log_in(name) == (401, 401)
        assert site.log_in(name, tokens[name]) == (401, 401)
    site.directory.add("bob")
    assert site.counts()["reactivated"] == "1"
    assert site.log_in("bob") == (200, 200)


def test_a_name_that_is_ours_stays_ours(site):
    with open(site.space.file("password"), "w", encoding="ascii") as file:
        file.write("our own bob has a password\n")
    dtr("user", "create", "bob", "--password-file", site.space.file("password"), *site.server.cli_auth(), check=0)
    site.set_up()
    assert "bob, which does not come from the directory" in site.sync().err
    assert site.log_in("bob") == (401, 401)
    assert site.log_in("bob", "our own bob has a password") == (200, 200)


def test_a_directory_that_is_away_is_no_wrong_password(site):
    site.set_up()
    site.sync()
    site.directory.stop()
    assert site.log_in("alice") == (503, 503)
    with site.server.session(("alice", "alices password")) as session:
        assert "directory" in session.get(site.server.url + "/auth/token", timeout=30).text
    assert site.log_in("admin", site.server.password) == (200, 200)
    failed = site.sync(check=None)
    assert failed.code != 0 and "cannot be reached" in failed.err
    assert site.account("alice")["isActive"]
    site.directory.start()
    site.server.restart()
    assert site.log_in("alice") == (200, 200)


def test_only_the_right_server_gets_passwords(site):
    settings = site.directory.settings(rootCerts=site.directory.other_ca)
    with open(site.space.file("ldap.json"), "w", encoding="ascii") as file:
        json.dump(settings, file)
    refused = dtr("ldap", "set", site.space.file("ldap.json"), *site.server.cli_auth())
    assert refused.code != 0 and "certificate" in refused.err
    dtr("ldap", "set", "--no-test", site.space.file("ldap.json"), *site.server.cli_auth(), check=0)
    assert site.log_in("alice") == (503, 503)
    for good in ({}, {"serverURL": site.directory.url, "startTLS": True}):
        site.set_up(**good)
        dtr("ldap", "test", *site.server.cli_auth(), check=0)
        assert site.log_in("alice") == (200, 200)


def test_settings_over_the_command_line(site):
    settings = site.directory.settings()
    del settings["readerPassword"], settings["rootCerts"]
    with open(site.space.file("ldap.json"), "w", encoding="ascii") as file:
        json.dump(settings, file)
    for name, text in (("ca.pem", site.directory.ca), ("reader", READER_PASSWORD + "\n"), ("alice", "alices password\n"),
                       ("wrong", "not this\n")):
        with open(site.space.file(name), "w", encoding="ascii") as file:
            file.write(text)
    dtr("ldap", "set", site.space.file("ldap.json"), "--reader-password-file", site.space.file("reader"), "--root-certs-file",
        site.space.file("ca.pem"), *site.server.cli_auth(), check=0)
    shown = dtr("ldap", "show", *site.server.cli_auth(), check=0)
    assert shown.json["readerDN"] and READER_PASSWORD not in shown.text and "readerPassword" not in shown.json
    # What is shown can be given back; another server does not get the password that was typed for this one.
    assert site.admin.put(site.server.url + CONFIG, json=shown.json, timeout=30).status_code == 200
    elsewhere = {**shown.json, "serverURL": "ldap://elsewhere.example"}
    assert site.admin.put(site.server.url + CONFIG, json=elsewhere, timeout=30).status_code == 400
    tested = dtr("ldap", "test", "--login", "alice", "--login-password-file", site.space.file("alice"),
                 *site.server.cli_auth(), check=0)
    assert tested.text.split("\t")[:2] == ["alice", dn("alice")]
    wrong = dtr("ldap", "test", "--login", "alice", "--login-password-file", site.space.file("wrong"),
                *site.server.cli_auth())
    assert wrong.code != 0
    unknown = site.admin.put(site.server.url + CONFIG, json=site.directory.settings(serverUrl="x"), timeout=30)
    assert unknown.status_code == 400 and "serverUrl" in unknown.text
    dtr("ldap", "off", *site.server.cli_auth(), check=0)
    assert site.log_in("alice") == (401, 401)
    log = site.server.log()
    for secret in (READER_PASSWORD, "alices password", "not this"):
        assert secret not in log


def test_jobs_as_the_predecessor_had_them(site):
    url = site.server.url
    assert site.admin.post(url + "/enzi/v0/jobs", json={"action": "ldap-sync"}, timeout=30).status_code == 400
    site.set_up()
    job = site.admin.post(url + "/enzi/v0/jobs", json={"action": "ldap-sync"}, timeout=30)
    assert job.status_code == 202 and job.json()["action"] == "ldap-sync"
    assert site.admin.post(url + "/enzi/v0/jobs", json={"action": "scan"}, timeout=30).status_code == 400
    site.sync()
    assert site.admin.get(url + "/enzi/v0/jobs", timeout=30).json()["jobs"][0]["status"] == "done"
    assert site.admin.get(url + "/enzi/v0/jobs/ldap-sync-999", timeout=30).status_code == 404
    actions = [event["action"] for event in site.admin.get(url + "/api/v0/audit", timeout=30).json()["events"]]
    assert "directory.settings" in actions and "directory.sync" in actions


def test_only_administrators_see_and_change_it(site):
    site.set_up()
    site.sync()
    token = site.admin.post(site.server.url + "/api/v0/api_tokens", json={"tokenLabel": "x"}, timeout=30).json()["token"]
    for auth, expected in ((False, 401), (("alice", "alices password"), 403), (("admin", token), 403)):
        with site.server.session(auth) as session:
            for method, path in (("GET", CONFIG), ("PUT", CONFIG), ("DELETE", CONFIG), ("POST", CONFIG + "/tryLogin"),
                                 ("POST", CONFIG + "/sync"), ("POST", "/enzi/v0/jobs"), ("GET", "/enzi/v0/jobs")):
                body = None if method == "GET" else {"action": "ldap-sync"}
                assert session.request(method, site.server.url + path, json=body, timeout=30).status_code == expected, path
    assert site.log_in("alice") == (200, 200)


def test_it_comes_back_with_a_backup(site, space):
    site.set_up()
    site.sync()
    site.server.backup(space.file("backup.tar"))
    with open(space.file("backup.tar"), "rb") as file:
        assert READER_PASSWORD.encode() not in file.read()
    key = os.path.join(site.server.data_dir, "recovery-key")
    restored = space.server("b", password=site.server.password)
    with open(space.file("backup.tar"), "rb") as file:
        dtr("restore", "--data-dir", restored.data_dir, "--identity", key, stdin=file, check=0)
    site.server.stop()
    site.server = restored.start()
    assert site.log_in("alice") == (200, 200)


def test_a_password_of_the_directory_is_changed_there(site):
    site.set_up()
    site.sync()
    answer = site.admin.post(site.server.url + "/enzi/v0/accounts/alice/changePassword",
                             json={"newPassword": "chosen by somebody"}, timeout=30)
    assert answer.status_code == 400 and "directory" in answer.text
    assert site.log_in("alice", "chosen by somebody") == (401, 401)


def test_groups_elsewhere_in_the_tree_by_a_search(site):
    site.set_up(userSearchConfigs=[{"baseDN": f"ou=people,{BASE}", "usernameAttr": "uid", "matchGroup": True,
                                    "matchGroupDN": site.directory.group("devs"), "matchGroupMemberAttr": "member"}])
    assert site.log_in("alice") == (200, 200)
    assert site.log_in("bob") == (401, 401)
    assert site.counts()["people"] == "1"


def test_behind_a_ucp_of_its_own(space):
    directory = Slapd(space.file("slapd"), people=["alice", "bob"]).start()
    try:
        pair = Pair(space, "ldap")
        with open(space.file("ldap.json"), "w", encoding="ascii") as file:
            json.dump(directory.settings(), file)
        pair.ucp("ldap", "set", space.file("ldap.json"))
        pair.ucp("ldap", "sync")
        eventually(lambda: pair.status("alice", "alices password") == 200)
        Registry(pair.registry, "alice/app", auth=("alice", "alices password")).push(Image(), "1")
        assert pair.status("alice", "wrong") == 401
        directory.add("dave")  # nobody has synchronised yet
        eventually(lambda: pair.status("dave", "daves password") == 200)
        directory.disable("alice")
        pair.ucp("ldap", "sync")
        eventually(lambda: pair.status("alice", "alices password") == 401)
        refused = requests.put(pair.registry.url + CONFIG, json=directory.settings(), auth=pair.registry.auth, timeout=30)
        assert refused.status_code == 405 and "UCP" in refused.text
        directory.stop()
        assert pair.status("bob", "bobs password") == 503
        assert pair.status() == 200
    finally:
        directory.stop()
