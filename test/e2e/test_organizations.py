"""Organizations and repositories' settings as clients and operators meet them: settings that refuse, real clients, pages,
events, the commands, and a backup that carries it all."""

import pytest

from harness import dtr, run, tool
from oci import Image, Registry, describe, write_layout
from permissions import APP, PASSWORD, READ_ONLY, World
from steps import skopeo_push


@pytest.fixture(scope="module")
def world(module_space):
    return World(module_space.server("permissions", "--trusted-proxy", "127.0.0.1").start())


# -- settings that refuse

def test_no_creation_by_push(world, space):
    world.must("POST", "/api/v0/meta/settings", 200, {"createRepositoryOnPush": False})
    try:
        for role, path, wanted in [("owner", "acme/late", 403), ("sys", "acme/late", 403), ("strang", "strang/late", 403),
                                   ("strang", "acme/late", 403), ("rw", "acme/app", 202)]:
            answer = world.send("POST", f"/v2/{path}/blobs/uploads/", world.auth[role])
            assert answer.status_code == wanted, (role, describe(answer))
            mine = path == "strang/late" or role in ("owner", "sys")
            assert ("a push does not create one here" in answer.text) == mine, describe(answer)
        layout = write_layout(space.dir("image"), Image())
        refused = run(["skopeo", "copy", "--dest-tls-verify=false", "--dest-creds", f"owner:{PASSWORD}", f"oci:{layout}",
                       f"docker://{world.server.host}/acme/late:1"])
        assert refused.code != 0 and "a push does not create one here" in refused.err, refused
        dtr("repo", "create", "acme/late", "--short", "made first", *world.server.cli_auth(), check=0)
        skopeo_push(world.server, layout, "acme/late:1")
    finally:
        world.must("POST", "/api/v0/meta/settings", 200, {"createRepositoryOnPush": True})
    assert world.must("GET", "/api/v0/meta/settings", 200).json()["createRepositoryOnPush"] is True


def test_immutable_tags(world, space):
    host = world.server.host
    fixed = Registry(world.server, "acme/fixed")
    image, second = Image(), Image()
    fixed.push(image, "v1")
    dtr("repo", "immutable", "acme/fixed", "on", *world.server.cli_auth(), check=0)
    for blob in second.blobs:
        fixed.push_blob(blob)
    for answer in (fixed.do_put("v1", second.manifest), fixed.do("DELETE", "manifests/v1"),
                   fixed.do("DELETE", f"manifests/{image.digest}"),
                   world.send("DELETE", "/api/v0/repositories/acme/fixed/tags/v1", world.auth["sys"])):
        assert answer.status_code == 409, describe(answer)
        assert "tag v1 is immutable" in answer.text and "immutableTags" in answer.text, describe(answer)
    assert fixed.push(image, "v1").status_code == 201, "the same again is no move"
    fixed.push(second, "v2")
    # Real clients show the sentence.
    layout = write_layout(space.dir("image"), Image())
    creds = ["--dest-tls-verify=false", "--dest-creds", world.server.creds]
    refused = run(["skopeo", "copy", *creds, f"oci:{layout}", f"docker://{host}/acme/fixed:v1"])
    assert refused.code != 0 and "tag v1 is immutable" in refused.err, refused
    refused = run(["skopeo", "delete", "--tls-verify=false", "--creds", world.server.creds, f"docker://{host}/acme/fixed:v1"])
    assert refused.code != 0 and "tag v1 is immutable" in refused.err, refused
    dtr("repo", "immutable", "acme/fixed", "off", *world.server.cli_auth(), check=0)
    fixed.push(second, "v1")


# -- real clients

@pytest.mark.parametrize("role, pulls, pushes", [("ro", True, False), ("rw", True, True), ("nro", True, False),
                                                 ("strang", False, False), ("tadm", False, False), ("owner", True, True),
                                                 ("token", True, True), ("off", False, False)])
def test_skopeo(world, space, role, pulls, pushes):
    creds = ":".join(world.auth[role])
    name = f"docker://{world.server.host}/acme/app"
    pulled = run(["skopeo", "inspect", "--tls-verify=false", "--creds", creds, name + ":1"])
    assert (pulled.code == 0) == pulls, pulled
    layout = write_layout(space.dir("image"), Image())
    pushed = run(["skopeo", "copy", "--dest-tls-verify=false", "--dest-creds", creds, f"oci:{layout}", name + ":skopeo"])
    assert (pushed.code == 0) == pushes, pushed


@pytest.mark.parametrize("role, pushes", [("ro", False), ("nrw", True), ("outs", False)])
def test_podman(world, space, role, pushes):
    root = ["podman", "--root", space.dir("podman"), "--runroot", space.dir("run"), "--storage-driver", "vfs"]
    layout = write_layout(space.dir("image"), Image())
    tool(*root, "pull", f"oci:{layout}")
    image = tool(*root, "images", "-q").text.split()[0]
    pushed = run([*root, "push", "--tls-verify=false", "--creds", ":".join(world.auth[role]), image,
                  f"{world.server.host}/acme/app:podman"])
    assert (pushed.code == 0) == pushes, pushed
    pulled = run([*root, "pull", "--tls-verify=false", "--creds", ":".join(world.auth[role]),
                  f"{world.server.host}/acme/app:1"])
    assert (pulled.code == 0) == (role != "outs"), pulled


# -- the interface itself

def test_pages(world):
    for i in range(5):
        world.must("PUT", f"/api/v0/repositories/admin/p{i}", 200, {"visibility": "private"})
    seen, start = [], ""
    while True:
        answer = world.must("GET", f"/api/v0/repositories/admin?pageSize=2&pageStart={start}", 200).json()
        seen += [row["name"] for row in answer["repositories"]]
        start = answer["nextPageStart"]
        if not start:
            break
    assert [name for name in seen if name.startswith("p")] == [f"p{i}" for i in range(5)]
    assert len(seen) == len(set(seen))
    every = world.must("GET", "/api/v0/repositories?pageSize=1000&count=true", 200)
    assert int(every.headers["X-Resource-Count"]) == len(every.json()["repositories"])
    for bad in ("0", "-1", "x", "1.5", ""):
        assert world.send("GET", f"/api/v0/repositories?pageSize={bad}", world.auth["sys"]).status_code == 400, bad
    registry = Registry(world.server, "admin/tagged")
    image = Image()
    for tag in ("a", "b", "c"):
        registry.push(image, tag)
    page = world.must("GET", "/api/v0/repositories/admin/tagged/tags?pageSize=2&count=true", 200)
    assert [row["name"] for row in page.json()] == ["a", "b"]
    assert page.headers["X-Next-Page-Start"] == "b" and page.headers["X-Resource-Count"] == "3"
    page = world.must("GET", "/api/v0/repositories/admin/tagged/tags?pageSize=2&pageStart=b", 200)
    assert [row["name"] for row in page.json()] == ["c"] and "X-Next-Page-Start" not in page.headers
    one = world.must("GET", "/api/v0/repositories/admin/tagged/tags/b", 200).json()
    assert one["digest"] == image.digest == one["manifest"]["digest"] and one["manifest"]["size"] == len(image.manifest)
    assert world.send("GET", "/api/v0/repositories/admin/tagged/tags/none", world.auth["sys"]).status_code == 404


def test_repository_events(world):
    registry = Registry(world.server, "acme/eventful")
    image = Image()
    registry.push(image, "v1")
    Registry(world.server, "acme/quiet").push(Image(), "v1")
    world.must("DELETE", "/api/v0/repositories/acme/eventful/tags/v1", 204)
    events, after = [], 0
    while True:
        answer = world.must("GET", f"/api/v0/repositories/acme/eventful/events?after={after}", 200).json()
        events += answer["events"]
        if answer["last"] == after:
            break
        after = answer["last"]
    assert [event["type"] for event in events] == ["REPO_UPDATED", "MANIFEST_PUSH", "TAG_PUSH", "TAG_DELETE"]
    assert {event["actor"] for event in events} == {"admin"}
    only = world.must("GET", "/api/v0/repositories/acme/eventful/events?eventType=TAG_DELETE", 200).json()["events"]
    assert [event["type"] for event in only] == ["TAG_DELETE"]
    at = events[1]["publishedAt"]
    late = world.must("GET", f"/api/v0/repositories/acme/eventful/events?publishedAfter={at}", 200).json()["events"]
    assert [event["type"] for event in late] == [e["type"] for e in events if e["publishedAt"] > at]
    assert world.send("GET", "/api/v0/events?publishedAfter=yesterday", world.auth["sys"]).status_code == 400


def test_meta_settings(world):
    """In the predecessor's shape; all or nothing."""
    before = world.must("GET", "/api/v0/meta/settings", 200).json()
    assert before["readOnlyRegistry"] is False and before["createRepositoryOnPush"] is True and before["replicaID"]
    for body in ({"sso": True}, {"dtrHost": "a b"}, {"readOnlyRegistry": "yes"}, {"readOnlyRegistry": True, "nonsense": 1}):
        assert world.send("POST", "/api/v0/meta/settings", world.auth["sys"], body).status_code == 400, body
    assert world.must("GET", "/api/v0/meta/settings", 200).json() == before
    world.must("POST", "/api/v0/meta/settings", 200, {"readOnlyRegistry": True, "dtrHost": "https://registry.example:444/"})
    try:
        now = world.must("GET", "/api/v0/meta/settings", 200).json()
        assert now["readOnlyRegistry"] is True and now["dtrHost"] == "registry.example:444"
        for method, path, body in [("DELETE", APP, None), ("PATCH", APP, {"shortDescription": "x"}),
                                   ("PUT", APP + "/teamAccess/spare", READ_ONLY), ("DELETE", APP + "/tags/1", None),
                                   ("POST", "/v2/acme/app/blobs/uploads/", None)]:
            answer = world.send(method, path, world.auth["sys"], body)
            assert answer.status_code in (405, 503), describe(answer)
    finally:
        world.must("POST", "/api/v0/meta/settings", 200, {"readOnlyRegistry": False})


# -- the commands

def test_commands(world, space):
    flags = world.server.cli_auth()

    def run_dtr(*args, check=0):
        return dtr(*args, *flags, check=check)

    with open(space.file("password"), "w", encoding="ascii") as file:
        file.write(PASSWORD)
    for name in ("carol", "dave"):
        run_dtr("user", "create", name, "--password-file", space.file("password"))
    run_dtr("org", "create", "umbra", "--full-name", "Umbra Ltd", "--owner", "carol")
    assert ["umbra", "Umbra Ltd"] in [line.split("\t") for line in run_dtr("org", "list").text.splitlines()]
    assert "umbra" not in run_dtr("user", "list").text.split()
    run_dtr("team", "create", "umbra/builders", "--description", "those who build")
    assert run_dtr("team", "list", "umbra").text == "builders\tthose who build\n"
    run_dtr("team", "add-member", "umbra/builders", "dave", "--admin")
    assert run_dtr("team", "members", "umbra/builders").text == "dave\tadmin\n"
    assert sorted(run_dtr("org", "members", "umbra").text.splitlines()) == ["carol\towner", "dave"]
    run_dtr("repo", "create", "umbra/app", "--short", "an app")
    run_dtr("grant", "set", "umbra/builders", "read-write", "--repository", "umbra/app")
    run_dtr("grant", "set", "umbra/builders", "read-only", "--namespace", "umbra")
    assert run_dtr("grant", "list", "umbra/builders").text == (
        "namespace\tumbra\tread-only\nrepository\tumbra/app\tread-write\n")
    assert run_dtr("grant", "list", "--namespace", "umbra").text == "builders\tread-only\n"
    assert run_dtr("grant", "list", "--repository", "umbra/app").text == "builders\tread-write\n"
    Registry(world.server, "umbra/app", ("dave", PASSWORD)).push(Image(), "1")
    run_dtr("repo", "describe", "umbra/app", "--long", "long words")
    run_dtr("repo", "immutable", "umbra/app", "on")
    shown = dict(line.split("\t") for line in run_dtr("repo", "show", "umbra/app").text.splitlines())
    assert shown == {"name": "umbra/app", "visibility": "private", "immutable tags": "on", "description": "an app",
                     "long description": "long words"}
    run_dtr("repo", "create", "umbra/app", check=9)
    run_dtr("user", "deactivate", "dave")
    assert "dave\tinactive" in run_dtr("user", "list").text
    run_dtr("user", "activate", "dave")
    run_dtr("user", "admin", "dave", "on")
    assert "dave\tadmin" in run_dtr("user", "list").text
    made = run_dtr("token", "create", "--label", "cron", "--scope", "backup", "--account", "dave")
    token = made.text.strip()
    assert run_dtr("token", "list", "--account", "dave").text.rstrip().endswith("\tcron\tbackup")
    as_operator = ["--ucp-url", world.server.host, "--ucp-ca", world.server.ca(), "--ucp-username", "dave", "--ucp-password", token]
    with open(space.file("b.tar"), "wb") as out:
        dtr("backup", *as_operator, stdout=out, check=0)
    for command in (["user", "list"], ["status"], ["gc"]):
        assert "may read backups and do nothing else" in dtr(*command, *as_operator, check=6).err
    run_dtr("user", "admin", "dave", "off")
    dtr("backup", *as_operator, check=6)
    events = [line.split("\t") for line in run_dtr("audit", "--limit", "200").text.splitlines()]
    assert {"organization.create", "team.create", "team.member.set", "grant.set", "repository.create", "repository.update",
            "account.update", "token.create"} <= {event[3] for event in events}
    assert all(event[1] == "admin" for event in events if event[4].startswith("umbra"))
    assert len(run_dtr("audit", "--limit", "3", "--json").text.splitlines()) == 3
    run_dtr("grant", "remove", "umbra/builders", "--repository", "umbra/app")
    run_dtr("team", "remove-member", "umbra/builders", "dave")
    run_dtr("org", "remove-member", "umbra", "dave")
    assert run_dtr("org", "members", "umbra").text == "carol\towner\n"
    run_dtr("team", "remove", "umbra/builders")
    assert "is a user" in run_dtr("org", "remove", "carol", check=2).err
    run_dtr("org", "remove", "umbra")
    for args, code in [(["grant", "set", "umbra/builders", "read-only"], 2), (["team", "members", "umbra"], 2),
                       (["grant", "set", "umbra/builders", "read-only", "--namespace", "acme"], 2),
                       (["grant", "set", "umbra/builders", "write", "--namespace", "umbra"], 2),
                       (["user", "admin", "carol", "maybe"], 2)]:
        run_dtr(*args, check=code)


# -- and after a disaster

def everything(world, server):
    """What the interface tells an administrator of it, ids included."""
    session = server.session()

    def get(path):
        answer = session.get(server.url + path, timeout=30)
        assert answer.status_code == 200, describe(answer)
        return answer.json()

    teams = [team["name"] for team in get("/enzi/v0/accounts/acme/teams")["teams"]]
    return {
        "accounts": get("/enzi/v0/accounts"), "members": get("/enzi/v0/accounts/acme/members"),
        "teams": get("/enzi/v0/accounts/acme/teams"),
        "team members": {team: get(f"/enzi/v0/accounts/acme/teams/{team}/members") for team in teams},
        "grants": {team: get(f"/api/v0/accounts/acme/teams/{team}/repositoryAccess") for team in teams},
        "repository": get("/api/v0/repositories/acme/app"), "tags": get("/api/v0/repositories/acme/app/tags"),
        "tokens": get("/api/v0/api_tokens"),
        "rights": {role: get(f"/api/v0/accounts/{world.name_of(role)}/repositoryAccess/acme/app")["accessLevel"]
                   for role in ("strang", "member", "ro", "rw", "ad", "nro", "nrw", "nad", "both", "tadm", "owner", "outs")},
    }


def test_a_backup_carries_all_of_it(space):
    server = space.server("a", "--trusted-proxy", "127.0.0.1").start()
    world = World(server)
    world.must("PATCH", APP, 200, {"shortDescription": "short", "longDescription": "long", "immutableTags": True})
    before, password = everything(world, server), server.password
    audited = world.must("GET", "/api/v0/audit", 200).json()["events"]
    server.backup(space.file("b.tar"))
    key = server.data_dir + "/recovery-key"
    names = tool("tar", "-tf", space.file("b.tar")).text
    for table in ("organization_members", "teams", "team_members", "repository_grants", "namespace_grants",
                  "repository_settings", "audit_events", "access_token_scopes"):
        assert f"/{table}" in names, table
    server.stop()
    dtr("restore", "--data-dir", space.dir("b"), "--identity", key, space.file("b.tar"), check=0)
    restored = space.server("b", "--trusted-proxy", "127.0.0.1", password=password).start()
    assert everything(world, restored) == before
    again = restored.session().get(restored.url + "/api/v0/audit", timeout=30).json()["events"]
    assert again[-len(audited):] == audited
    world.server = restored
    for role, pull, push in [("strang", 403, 403), ("ro", 200, 403), ("rw", 200, 409), ("nro", 200, 403), ("both", 200, 409),
                             ("owner", 200, 409), ("off", 401, 401), ("token", 200, 409), ("bkp", 403, 403)]:
        got = world.send("GET", "/v2/acme/app/manifests/1", world.auth[role])
        assert got.status_code == pull, (role, describe(got))
        other = world.public
        put = world.send("PUT", "/v2/acme/app/manifests/1", world.auth[role], data=other.manifest,
                         headers={"Content-Type": other.media_type})
        # Its blobs are not in acme/app, which a permitted push is told before its tag is looked at.
        assert put.status_code == (404 if push == 409 else push), (role, describe(put))
    fixed = Registry(restored, "acme/app")
    for blob in world.public.blobs:
        fixed.push_blob(blob)
    assert fixed.do_put("1", world.public.manifest).status_code == 409
    with open(space.file("c.tar"), "wb") as out:
        name, token = world.auth["bkp"]
        dtr("backup", "--ucp-url", restored.host, "--ucp-ca", restored.ca(), "--ucp-username", name, "--ucp-password", token,
            stdout=out, check=0)
