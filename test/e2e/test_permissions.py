"""Who may do what: roles against operations, every cell asserted, through the real HTTP interface.

401: no credentials, or wrong ones. 403: an account that showed its password and may not. 404: it may see that there is
nothing. To an account without rights a private repository answers as one that does not exist."""

import base64
import itertools
import json

import pytest

from harness import dtr
from oci import OCI_MANIFEST, Image, Registry, describe, digest
from permissions import ADMIN, APP, LEVELS, NS, ORG, PASSWORD, READ_ONLY, REGISTRY, SCOPES, SPARE, World, cells

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def world(module_space):
    return World(module_space.server("permissions", "--trusted-proxy", "127.0.0.1").start())


# -- /v2. Each answers (scope that a client asks for, method, path, more); what has to be there first is made anew.

def put_manifest(world, repository, image, tag):
    answer = world.admin.put(f"{world.server.url}/v2/{repository}/manifests/{tag}", data=image.manifest,
                             headers={"Content-Type": OCI_MANIFEST}, timeout=30)
    assert answer.status_code == 201, describe(answer)


def push_of(repository, tag):
    def prepared(world, _role):
        image = world.image if repository == "acme/app" else world.public
        return (f"repository:{repository}:pull,push", "PUT", f"/v2/{repository}/manifests/{tag}",
                {"data": image.manifest, "headers": {"Content-Type": OCI_MANIFEST}})
    return prepared


def pull_of(path):
    def prepared(world, _role):
        app, pub = digest(world.image.config), digest(world.public.config)
        repository = path.split("/manifests")[0].split("/blobs")[0].split("/tags")[0].split("/referrers")[0]
        return f"repository:{repository}:pull", "GET", "/v2/" + path.format(app=app, pub=pub, image=world.image.digest), {}
    return prepared


def upload_to(name):
    def prepared(world, role):
        repository = name.format(own=world.name_of(role), n=next(_numbers))
        return f"repository:{repository}:pull,push", "POST", f"/v2/{repository}/blobs/uploads/", {}
    return prepared


def delete_tag(world, _role):
    put_manifest(world, "acme/app", world.image, "gone")
    return "repository:acme/app:delete", "DELETE", "/v2/acme/app/manifests/gone", {}


def delete_manifest(world, _role):
    image = Image()
    Registry(world.server, "acme/app").push(image)
    return "repository:acme/app:delete", "DELETE", f"/v2/acme/app/manifests/{image.digest}", {}


def mount(world, role):
    """Clients that mount ask for both repositories."""
    repository = f"{world.name_of(role)}/m{next(_numbers)}"
    return (f"repository:{repository}:pull,push repository:acme/app:pull", "POST",
            f"/v2/{repository}/blobs/uploads/?mount={digest(world.image.config)}&from=acme/app", {})


REGISTRY_OPERATIONS = {
    "pull-manifest": pull_of("acme/app/manifests/1"), "pull-blob": pull_of("acme/app/blobs/{app}"),
    "list-tags": pull_of("acme/app/tags/list"), "referrers": pull_of("acme/app/referrers/{image}"),
    "pull-missing": pull_of("acme/none/manifests/1"), "pull-public": pull_of("acme/pub/manifests/1"),
    "pull-public-blob": pull_of("acme/pub/blobs/{pub}"), "push": push_of("acme/app", "pushed"),
    "push-blob": upload_to("acme/app"), "push-other": push_of("acme/pub", "pushed"),
    "create-by-push": upload_to("acme/new{n}"), "create-top-level": upload_to("top{n}"),
    "create-in-own": upload_to("{own}/new{n}"), "delete-tag": delete_tag, "delete-manifest": delete_manifest, "mount": mount,
}


@pytest.mark.parametrize("operation", REGISTRY_OPERATIONS)
def test_registry_with_password(world, operation):
    wrong = []
    for role, wanted in cells(REGISTRY)[operation].items():
        _, method, path, more = REGISTRY_OPERATIONS[operation](world, role)
        answer = world.send(method, path, world.auth[role], **more)
        if answer.status_code != wanted:
            wrong.append(f"{role}: wanted {wanted}\n{describe(answer)}")
        if answer.status_code in (401, 403) and method != "HEAD":
            code = answer.json()["errors"][0]["code"]
            assert code == {401: "UNAUTHORIZED", 403: "DENIED"}[answer.status_code], describe(answer)
        assert ("WWW-Authenticate" in answer.headers) == (answer.status_code == 401), describe(answer)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("operation", REGISTRY_OPERATIONS)
def test_registry_with_bearer_token(world, operation):
    """What the password is refused with 403, the cut down token is refused with 401 and a challenge."""
    wrong = []
    for role, wanted in cells(REGISTRY)[operation].items():
        scope, method, path, more = REGISTRY_OPERATIONS[operation](world, role)
        token = world.bearer(role, scope)
        if role in ("off", "bkp"):
            assert token == wanted, (role, token)
            continue
        answer = world.send(method, path, None, bearer=token, **more)
        expected = 401 if wanted == 403 else wanted
        if answer.status_code != expected:
            wrong.append(f"{role}: wanted {expected}\n{describe(answer)}")
        if answer.status_code == 401:
            assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"], describe(answer)
    assert not wrong, "\n".join(wrong)


def test_scopes_are_cut_down(world):
    for role, wanted in SCOPES.items():
        token = world.bearer(role, "repository:acme/app:pull,push,delete,*")
        if isinstance(wanted, int):
            assert token == wanted, role
            continue
        body = token.split(".")[1]
        access = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))["access"]
        assert ",".join(",".join(one["actions"]) for one in access) == wanted, role


# -- /api/v0 and /enzi/v0. Each answers (method, path, body), or the outcome itself.

def shows(path, name):
    def outcome(world, role):
        answer = world.send("GET", path, world.auth[role])
        return ("yes" if name in answer.text else "no") if answer.status_code == 200 else answer.status_code
    return outcome


def own_access(world, role):
    answer = world.send("GET", f"/api/v0/accounts/{world.name_of(role)}/repositoryAccess/acme/app", world.auth[role])
    if answer.status_code != 200:
        return answer.status_code
    return {level: short for short, level in LEVELS.items()}[answer.json()["accessLevel"]]


def to(method, path, body=None):
    return lambda world, role: (method, path.format(own=world.name_of(role), n=next(_numbers)), json.loads(json.dumps(body).replace(
        "{n}", str(next(_numbers)))) if body is not None else None)


def prepared(method, path, body, then):
    """After an administrator has done this."""
    def outcome(world, role):
        world.admin.request(method, world.server.url + path, json=body, timeout=30).raise_for_status()
        return then(world, role)
    return outcome


def undone(then, method, path):
    """Put back by an administrator beforehand; it may not have been there."""
    def outcome(world, role):
        world.admin.request(method, world.server.url + path, timeout=30)
        return then(world, role)
    return outcome


def remove_repository(world, _role):
    name = f"acme/gone{next(_numbers)}"
    world.must("PUT", f"/api/v0/repositories/{name}", 200, {"visibility": "private"})
    world.grant(name)
    return "DELETE", f"/api/v0/repositories/{name}", None


def remove_tag(world, _role):
    put_manifest(world, "acme/app", world.image, "gone")
    return "DELETE", "/api/v0/repositories/acme/app/tags/gone", None


def make_admin(world, role):
    if role == "sys":  # the same call, without taking anything away
        return "PATCH", "/enzi/v0/accounts/admin", {"isAdmin": True}
    return "PATCH", f"/enzi/v0/accounts/{world.name_of(role)}", {"isAdmin": True}


VICTIM = {"name": "victim", "password": PASSWORD}
ADMIN_OPERATIONS = {
    "list-shows-private": shows("/api/v0/repositories?pageSize=1000", '"acme/app"'),
    "list-shows-public": shows("/api/v0/repositories?pageSize=1000", '"acme/pub"'),
    "catalog-shows-private": shows("/v2/_catalog?n=10000", '"acme/app"'),
    "namespace-list-shows": shows("/api/v0/repositories/acme", '"acme/app"'),
    "repo-get": to("GET", APP), "repo-get-missing": to("GET", "/api/v0/repositories/acme/none"),
    "repo-get-public": to("GET", "/api/v0/repositories/acme/pub"),
    "repo-describe": to("PATCH", APP, {"shortDescription": "new"}), "repo-publish": to("PATCH", APP, {"visibility": "private"}),
    "repo-immutable": to("PATCH", APP, {"immutableTags": False}),
    "repo-patch-missing": to("PATCH", "/api/v0/repositories/acme/none", {"shortDescription": "new"}),
    "repo-create": to("POST", "/api/v0/repositories/acme", {"name": "made{n}"}),
    "repo-create-in-own": to("POST", "/api/v0/repositories/{own}", {"name": "made{n}"}),
    "repo-delete": remove_repository, "repo-delete-missing": to("DELETE", "/api/v0/repositories/acme/none"),
    "repo-events": to("GET", APP + "/events"), "tags-list": to("GET", APP + "/tags"), "tag-get": to("GET", APP + "/tags/1"),
    "tag-delete": remove_tag,
    "access-list": to("GET", APP + "/teamAccess"), "access-set": to("PUT", APP + "/teamAccess/spare", READ_ONLY),
    "access-remove": prepared("PUT", APP + "/teamAccess/spare", READ_ONLY, to("DELETE", APP + "/teamAccess/spare")),
    "access-list-missing": to("GET", "/api/v0/repositories/acme/none/teamAccess"),
    "ns-access-list": to("GET", NS + "/teamAccess"), "ns-access-set": to("PUT", NS + "/teamAccess/spare", READ_ONLY),
    "ns-access-remove": prepared("PUT", NS + "/teamAccess/spare", READ_ONLY, to("DELETE", NS + "/teamAccess/spare")),
    "ns-access-missing": to("GET", "/api/v0/repositoryNamespaces/nowhere/teamAccess"),
    "team-access": to("GET", "/api/v0/accounts/acme/teams/t-ro/repositoryAccess"),
    "own-access": own_access, "own-access-missing": to("GET", "/api/v0/accounts/{own}/repositoryAccess/acme/none"),
    "other-access": to("GET", "/api/v0/accounts/other/repositoryAccess/acme/app"),
    "org-get": to("GET", ORG), "org-members": to("GET", ORG + "/members"),
    "org-members-missing": to("GET", "/enzi/v0/accounts/nowhere/members"),
    "org-public-members": to("GET", ORG + "/publicMembers"),
    "org-add-member": undone(to("PUT", ORG + "/members/other", {}), "DELETE", ORG + "/members/other"),
    "org-remove-member": prepared("PUT", ORG + "/members/other", {}, to("DELETE", ORG + "/members/other")),
    "org-make-owner": to("PUT", ORG + "/members/helper", {"isAdmin": True}),
    "teams-list": to("GET", ORG + "/teams"), "team-create": to("POST", ORG + "/teams", {"name": "new{n}"}),
    "team-update": to("PATCH", SPARE, {"description": "new"}),
    "team-remove": undone(prepared("POST", ORG + "/teams", {"name": "doomed"}, to("DELETE", ORG + "/teams/doomed")), "DELETE",
                          ORG + "/teams/doomed"),
    "team-members": to("GET", SPARE + "/members"), "team-add-member": to("PUT", ORG + "/teams/idle/members/helper", {}),
    "team-add-stranger": undone(to("PUT", ORG + "/teams/idle/members/other", {}), "DELETE", ORG + "/members/other"),
    "team-remove-member": prepared("PUT", ORG + "/teams/idle/members/helper", {},
                                   to("DELETE", ORG + "/teams/idle/members/helper")),
    "accounts-list": to("GET", "/enzi/v0/accounts"), "account-get-own": to("GET", "/enzi/v0/accounts/{own}"),
    "account-get-other": to("GET", "/enzi/v0/accounts/other"),
    "account-create": to("POST", "/enzi/v0/accounts", {"name": "made{n}", "password": PASSWORD}),
    "account-make-admin": make_admin,
    "account-remove": undone(prepared("POST", "/enzi/v0/accounts", VICTIM, to("DELETE", "/enzi/v0/accounts/victim")), "DELETE",
                             "/enzi/v0/accounts/victim"),
    "org-create": to("POST", "/enzi/v0/accounts", {"name": "org{n}", "isOrg": True}),
    "org-remove": undone(prepared("POST", "/enzi/v0/accounts", {"name": "doomed", "isOrg": True},
                                  to("DELETE", "/enzi/v0/accounts/doomed")), "DELETE", "/enzi/v0/accounts/doomed"),
    "password-of-other": to("POST", "/enzi/v0/accounts/other/changePassword", {"newPassword": PASSWORD}),
    "tokens-list": to("GET", "/api/v0/api_tokens"), "tokens-create": to("POST", "/api/v0/api_tokens", {"tokenLabel": "x"}),
    "tokens-backup": to("POST", "/api/v0/api_tokens", {"tokenLabel": "x", "scope": "backup"}),
    "tokens-of-other": to("GET", "/api/v0/api_tokens?account=other"),
    "tokens-change": to("PATCH", "/api/v0/api_tokens/none", {"isActive": False}),
    "tokens-remove-unused": to("DELETE", "/api/v0/api_tokens?unusedSince=2001-01-01T00:00:00Z"),
    "account-remove-all": undone(prepared("POST", "/enzi/v0/accounts", VICTIM, to("DELETE", "/api/v0/accounts/victim")),
                                 "DELETE", "/enzi/v0/accounts/victim"),
    "account-remove-missing": to("DELETE", "/api/v0/accounts/nobody"),
    "events": to("GET", "/api/v0/events"), "audit": to("GET", "/api/v0/audit"),
    "failed-logins": to("GET", "/api/v0/failed_logins"), "settings-get": to("GET", "/api/v0/settings"),
    "settings-set": to("PUT", "/api/v0/settings", {"gc.grace": None}), "meta-settings-get": to("GET", "/api/v0/meta/settings"),
    "meta-settings-set": to("POST", "/api/v0/meta/settings", {"createRepositoryOnPush": True}),
    "cluster-status": to("GET", "/api/v0/meta/cluster_status"), "recovery-key": to("GET", "/api/v0/recovery-key"),
    "gc": to("POST", "/api/v0/gc?dry-run=true"), "scrub": to("POST", "/api/v0/scrub"),
    "backup": to("POST", "/api/v0/backup?config-only=true"),
    "backup-plain-secrets": to("POST", "/api/v0/backup?config-only=true&secrets=plaintext"),
}


def test_every_operation_has_its_row():
    assert list(cells(REGISTRY)) == list(REGISTRY_OPERATIONS)
    assert list(cells(ADMIN)) == list(ADMIN_OPERATIONS)


@pytest.mark.parametrize("operation", ADMIN_OPERATIONS)
def test_administration(world, operation):
    wrong = []
    for role, wanted in cells(ADMIN)[operation].items():
        asked = ADMIN_OPERATIONS[operation](world, role)
        shown = str(asked)
        if isinstance(asked, tuple):
            answer = world.send(asked[0], asked[1], world.auth[role], asked[2])
            asked, shown = answer.status_code, describe(answer)
            if asked in (401, 403):
                code = answer.json()["errors"][0]["code"]
                assert code == {401: "NOT_AUTHENTICATED", 403: "NOT_AUTHORIZED"}[asked], shown
            if asked == 401:
                assert answer.headers["WWW-Authenticate"].startswith("Basic "), shown
        if asked != wanted:
            wrong.append(f"{role}: wanted {wanted}\n{shown}")
    if operation == "org-make-owner":
        world.must("PUT", ORG + "/members/helper", 204, {"isAdmin": False})
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("method, path", [
    ("PATCH", "/api/v0/repositories/acme/app"), ("DELETE", "/api/v0/repositories/acme/app"),
    ("POST", "/api/v0/repositories/acme"), ("DELETE", "/api/v0/repositories/acme/app/tags/1"),
    ("PUT", "/api/v0/repositories/acme/app/teamAccess/spare"), ("GET", "/enzi/v0/accounts"), ("GET", "/api/v0/api_tokens"),
    ("POST", "/api/v0/gc"), ("POST", "/api/v0/backup"), ("GET", "/enzi/v0/accounts/acme/members")])
def test_registry_tokens_administer_nothing(world, method, path):
    token = world.bearer("sys", "repository:acme/app:pull,push,delete,*", "registry:catalog:*")
    answer = world.send(method, path, None, {"visibility": "public", "name": "x"}, bearer=token)
    assert answer.status_code == 401, describe(answer)
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")


def test_own_namespace_of_a_user(world):
    """A user owns the namespace of that name: everything below it, and nobody else but administrators."""
    Registry(world.server, "strang/app", world.auth["strang"]).push(Image(), "1")
    path = "/api/v0/repositories/strang/app"
    for role, wanted in {"strang": 200, "owner": 403, "rw": 403, "sys": 200, "anon": 401}.items():
        for method, where, body in [("GET", path, None), ("PATCH", path, {"shortDescription": "mine"}),
                                    ("GET", path + "/teamAccess", None), ("GET", path + "/events", None),
                                    ("GET", "/v2/strang/app/manifests/1", None)]:
            answer = world.send(method, where, world.auth[role], body)
            assert answer.status_code == wanted, (role, describe(answer))
    assert world.send("GET", "/api/v0/repositoryNamespaces/strang/teamAccess", world.auth["strang"]).status_code == 200
    foreign = world.send("PUT", path + "/teamAccess/t-ro", world.auth["strang"], READ_ONLY)
    assert foreign.status_code in (400, 404), describe(foreign)
    assert world.send("DELETE", path, world.auth["strang"]).status_code == 202


def test_an_account_goes_with_its_repositories(world):
    """And with nobody else's, however alike the names."""
    for name in ("leaver", "leave", "leaver2"):
        world.must("POST", "/enzi/v0/accounts", 201, {"name": name, "password": PASSWORD})
        for repository in ("a", "b/c"):
            Registry(world.server, f"{name}/{repository}", (name, PASSWORD)).push(Image(), "1")
    world.must("PATCH", "/api/v0/repositories/leaver/a", 200, {"visibility": "public"})
    tool_auth = world.server.cli_auth()
    dtr("user", "remove", "leaver", "--with-repositories", *tool_auth, check=0)
    left = dtr("repo", "list", *tool_auth, check=0).text
    assert "leaver/" not in left and all(f"{name}/{r}" in left for name in ("leave", "leaver2") for r in ("a", "b/c"))
    assert world.send("GET", "/v2/", ("leaver", PASSWORD)).status_code == 401
    dtr("user", "remove", "leave", *tool_auth, check=0)  # without: they stay, and can be removed later
    world.must("DELETE", "/api/v0/accounts/leave", 204)
    assert "leave/" not in dtr("repo", "list", *tool_auth, check=0).text
    last = world.admin.delete(world.server.url + "/api/v0/accounts/admin", timeout=30)
    assert last.status_code == 405 and "last administrator" in last.text


def test_hidden_answers_like_missing(world):
    """Byte for byte, but for the name that was asked for and the request's own id."""
    def said(answer, name):
        return answer.text.replace(name, "R").replace(answer.headers["X-Request-Id"], "I")

    for role in ("anon", "strang", "member", "tadm", "outs"):
        for method, path, body in [("GET", "/api/v0/repositories/{}", None), ("PATCH", "/api/v0/repositories/{}", {}),
                                   ("DELETE", "/api/v0/repositories/{}", None), ("GET", "/api/v0/repositories/{}/tags", None),
                                   ("GET", "/api/v0/repositories/{}/events", None),
                                   ("GET", "/api/v0/repositories/{}/teamAccess", None),
                                   ("PUT", "/api/v0/repositories/{}/teamAccess/t-ro", READ_ONLY),
                                   ("GET", "/api/v0/accounts/" + world.name_of(role) + "/repositoryAccess/{}", None),
                                   ("GET", "/v2/{}/manifests/1", None), ("GET", "/v2/{}/tags/list", None),
                                   ("POST", "/v2/{}/blobs/uploads/", None), ("DELETE", "/v2/{}/manifests/1", None)]:
            hidden = world.send(method, path.format("acme/app"), world.auth[role], body)
            missing = world.send(method, path.format("acme/nix"), world.auth[role], body)
            assert hidden.status_code == missing.status_code >= 400, (role, describe(hidden), describe(missing))
            assert said(hidden, "acme/app") == said(missing, "acme/nix"), role
            assert (hidden.headers.get("WWW-Authenticate", "").replace("acme/app", "R")
                    == missing.headers.get("WWW-Authenticate", "").replace("acme/nix", "R"))


def test_rights_end_at_once(world):
    """With the password. A token lasts its five minutes, but not beyond the account."""
    rw = world.auth["rw"]
    pull = ("GET", "/v2/acme/app/manifests/1")
    assert world.send(*pull, rw).status_code == 200
    world.must("DELETE", APP + "/teamAccess/t-rw", 204)
    assert world.send(*pull, rw).status_code == 403
    world.must("PUT", APP + "/teamAccess/t-rw", 200, {"accessLevel": "read-write"})
    assert world.send(*pull, rw).status_code == 200
    world.must("DELETE", ORG + "/members/rw", 204)
    assert world.send(*pull, rw).status_code == 403
    world.must("PUT", ORG + "/teams/t-rw/members/rw", 204, {})
    token = world.bearer("rw", "repository:acme/app:pull")
    assert world.send(*pull, None, bearer=token).status_code == 200
    world.must("PATCH", "/enzi/v0/accounts/rw", 200, {"isActive": False})
    assert world.send(*pull, None, bearer=token).status_code == 401
    assert world.send(*pull, rw).status_code == 401
    assert world.send(*pull, world.auth["token"]).status_code == 401
    world.must("PATCH", "/enzi/v0/accounts/rw", 200, {"isActive": True})
    assert world.send(*pull, rw).status_code == 200
    assert world.send(*pull, world.auth["token"]).status_code == 200


def test_members_may_leave(world):
    world.must("PUT", ORG + "/members/other", 204, {})
    assert world.send("DELETE", ORG + "/members/other", world.auth["other"]).status_code == 204
    assert world.send("GET", ORG + "/members", world.auth["other"]).status_code == 403
