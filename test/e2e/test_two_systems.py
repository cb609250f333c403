"""Two systems, lost and brought back: an organisation with two teams and three people (one of ours, one of a directory, one
of an OpenID Connect provider) pushes and pulls by its rights, with skopeo, podman and docker; both machines are emptied; two
archives bring both back."""

import os
import shutil

import pytest
import requests

from harness import dtr, ucp
from oci import Image, Registry
from oidc_provider import Browser, Provider
from slapd import SLAPD, Slapd
from test_oidc import codes, configure
from test_ucp import PASSWORD, eventually, flags
from three_clients import ThreeClients

pytestmark = pytest.mark.skipif(not os.access(SLAPD, os.X_OK), reason="slapd is not there: tools/setup")

RIGHTS = {("olga", "pull"): True, ("olga", "push"): True, ("olga", "create"): True,
          ("alice", "pull"): True, ("alice", "push"): False, ("alice", "create"): False,
          ("bert", "pull"): True, ("bert", "push"): True, ("bert", "create"): False,
          ("nobody", "pull"): False, ("nobody", "push"): False, ("nobody", "create"): False}
WITH_ALL = {(client, *cell): allowed for client in ThreeClients.NAMES for cell, allowed in RIGHTS.items()}
SYNC = "/enzi/v0/accounts/acme/teams/{}/memberSyncConfig"


def test_both_systems_come_back_with_the_same_rights(space):
    identity = space.ucp("u").start()
    admin = identity.session()
    admin.verify = False
    slapd = Slapd(space.file("slapd"), people=["alice"], groups={"readers": ["alice"]}).start()
    with Provider(space, [identity.https_url + "/enzi/v0/oidc/callback"]) as provider:
        try:
            with ThreeClients(space) as clients:
                story(space, identity, admin, slapd, provider, clients)
        finally:
            slapd.stop()


def story(space, identity, admin, slapd, provider, clients):
    password = space.file("password")
    with open(password, "w", encoding="utf-8") as file:
        file.write(PASSWORD + "\n")
    given = flags(identity)
    ucp("user", "create", "olga", "--password-file", password, *given, check=0)
    ucp("user", "create", "nobody", "--password-file", password, *given, check=0)
    ucp("org", "create", "acme", "--owner", "olga", *given, check=0)
    for team in ("readers", "builders"):
        ucp("team", "create", f"acme/{team}", *given, check=0)

    assert admin.put(identity.https_url + "/enzi/v0/config/auth/ldap", json=slapd.settings(), timeout=30).status_code == 200
    readers = {"enableSync": True, "groupDN": slapd.group("readers"), "memberAttr": "member"}
    assert admin.put(identity.https_url + SYNC.format("readers"), json=readers, timeout=30).status_code == 200
    ucp("ldap", "sync", *given, check=0)

    configure(identity, provider)
    builders = {"enableSync": True, "claimValue": "builders"}
    assert admin.put(identity.https_url + SYNC.format("builders"), json=builders, timeout=30).status_code == 200
    provider.set("bert", preferred_username="bert", name="Bert B.", groups=["builders"])
    page = Browser(provider).sign_in(identity, "bert")
    assert page.status_code == 200, page.text
    passwords = {"olga": PASSWORD, "alice": "alices password", "bert": codes(page)[0], "nobody": PASSWORD}

    registry = space.server("a")
    registry.known_password = identity.password
    dtr("install", *given, "--data-dir", registry.data_dir, "--replica-id", "0123456789ab", "--dtr-external-url",
        registry.host, check=0)
    registry.start()
    eventually(lambda: requests.get(registry.url + "/v2/_catalog", auth=registry.auth, timeout=30).status_code == 200)
    Registry(registry, "acme/app").push(Image(label="story"), "v1")
    dtr("grant", "set", "acme/readers", "read-only", "--namespace", "acme", *given, check=0)
    dtr("grant", "set", "acme/builders", "read-write", "--repository", "acme/app", *given, check=0)
    clients.load(registry, f"admin:{identity.password}")
    assert clients.rights(registry, passwords) == WITH_ALL

    archives = {"dtr": space.file("dtr.tar"), "ucp": space.file("ucp.tar")}
    with open(archives["dtr"], "wb") as out:
        dtr("backup", *given, "--existing-replica-id", "0123456789ab", stdout=out, check=0)
    with open(archives["ucp"], "wb") as out:
        ucp("backup", *given, stdout=out, check=0)
    key = space.file("ucp-key")
    shutil.copy(os.path.join(identity.data_dir, "recovery-key"), key)
    admin_password = identity.password
    registry.stop()
    identity.stop()
    shutil.rmtree(registry.data_dir)
    shutil.rmtree(identity.data_dir)

    ucp("restore", "--data-dir", identity.data_dir, "--identity", key, archives["ucp"], check=0)
    identity.known_password = admin_password
    identity.start()
    with open(archives["dtr"], "rb") as file:  # its key comes from the escrow that was just restored
        dtr("restore", *flags(identity), "--data-dir", registry.data_dir, "--dtr-external-url", registry.host, stdin=file,
            check=0)
    registry.start()
    eventually(lambda: requests.get(registry.url + "/v2/_catalog", auth=registry.auth, timeout=30).status_code == 200)
    assert clients.rights(registry, passwords) == WITH_ALL
    again = Browser(provider).sign_in(identity, "bert")  # the provider's client secret came back, sealed
    assert again.status_code == 200, again.text
