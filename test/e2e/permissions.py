"""The permission matrix as data, and the world it is held against: an organization with teams of all levels."""

import base64
import itertools

from oci import Image, Registry, describe

PASSWORD = "correct horse battery"

# anon    nobody                                    tadm   admin of a team without grants
# strang  a user without any organization           owner  owner of the organization
# member  of the organization, in no team           outs   owner of another organization
# ro rw ad    in a team with that level on acme/app      sys    system administrator
# nro nrw nad in a team with that level on acme          off    deactivated, was in the team of ad
# both    read-only on acme, read-write on acme/app token  an access token of rw
#                                                   bkp    a backup token of a system administrator
ROLES = "anon strang member ro rw ad nro nrw nad both tadm owner outs sys off token bkp".split()

# Through /v2 with the password, and through /auth/token with a bearer token.
REGISTRY = """
                        anon strang member ro  rw  ad  nro nrw nad both tadm owner outs sys off token bkp
pull-manifest           401  403    403    200 200 200 200 200 200 200  403  200   403  200 401 200   403
pull-blob               401  403    403    200 200 200 200 200 200 200  403  200   403  200 401 200   403
list-tags               401  403    403    200 200 200 200 200 200 200  403  200   403  200 401 200   403
referrers               401  403    403    200 200 200 200 200 200 200  403  200   403  200 401 200   403
pull-missing            401  403    403    403 403 403 404 404 404 404  403  404   403  404 401 403   403
pull-public             200  200    200    200 200 200 200 200 200 200  200  200   200  200 401 200   403
pull-public-blob        200  200    200    200 200 200 200 200 200 200  200  200   200  200 401 200   403
push                    401  403    403    403 201 201 403 201 201 201  403  201   403  201 401 201   403
push-blob               401  403    403    403 202 202 403 202 202 202  403  202   403  202 401 202   403
push-other              401  403    403    403 403 403 403 201 201 403  403  201   403  201 401 403   403
create-by-push          401  403    403    403 403 403 403 403 202 403  403  202   403  202 401 403   403
create-top-level        401  403    403    403 403 403 403 403 403 403  403  403   403  202 401 403   403
create-in-own           401  202    202    202 202 202 202 202 202 202  202  202   202  202 401 202   403
delete-tag              401  403    403    403 202 202 403 202 202 202  403  202   403  202 401 202   403
delete-manifest         401  403    403    403 202 202 403 202 202 202  403  202   403  202 401 202   403
mount                   401  202    202    201 201 201 201 201 201 201  202  201   202  201 401 201   403
"""

# What /auth/token leaves of pull, push, delete and * on acme/app.
NOTHING, READ, WRITE, ALL = "", "pull", "pull,push,delete", "pull,push,delete,*"
SCOPES = dict(anon=NOTHING, strang=NOTHING, member=NOTHING, ro=READ, rw=WRITE, ad=ALL, nro=READ, nrw=WRITE, nad=ALL, both=WRITE,
              tadm=NOTHING, owner=ALL, outs=NOTHING, sys=ALL, off=401, token=WRITE, bkp=403)

# Through /api/v0 and /enzi/v0.
ADMIN = """
                        anon strang member ro  rw  ad  nro nrw nad both tadm owner outs sys off token bkp
list-shows-private      no   no     no     yes yes yes yes yes yes yes  no   yes   no   yes 401 yes   403
list-shows-public       yes  yes    yes    yes yes yes yes yes yes yes  yes  yes   yes  yes 401 yes   403
catalog-shows-private   401  no     no     yes yes yes yes yes yes yes  no   yes   no   yes 401 yes   403
namespace-list-shows    no   no     no     yes yes yes yes yes yes yes  no   yes   no   yes 401 yes   403
repo-get                401  403    403    200 200 200 200 200 200 200  403  200   403  200 401 200   403
repo-get-missing        401  403    403    403 403 403 404 404 404 404  403  404   403  404 401 403   403
repo-get-public         200  200    200    200 200 200 200 200 200 200  200  200   200  200 401 200   403
repo-describe           401  403    403    403 403 200 403 403 200 403  403  200   403  200 401 403   403
repo-publish            401  403    403    403 403 200 403 403 200 403  403  200   403  200 401 403   403
repo-immutable          401  403    403    403 403 200 403 403 200 403  403  200   403  200 401 403   403
repo-patch-missing      401  403    403    403 403 403 403 403 404 403  403  404   403  404 401 403   403
repo-create             401  403    403    403 403 403 403 403 201 403  403  201   403  201 401 403   403
repo-create-in-own      401  201    201    201 201 201 201 201 201 201  201  201   201  201 401 201   403
repo-delete             401  403    403    403 403 202 403 403 202 403  403  202   403  202 401 403   403
repo-delete-missing     401  403    403    403 403 403 403 403 404 403  403  404   403  404 401 403   403
repo-events             401  403    403    403 403 200 403 403 200 403  403  200   403  200 401 403   403
tags-list               401  403    403    200 200 200 200 200 200 200  403  200   403  200 401 200   403
tag-get                 401  403    403    200 200 200 200 200 200 200  403  200   403  200 401 200   403
tag-delete              401  403    403    403 204 204 403 204 204 204  403  204   403  204 401 204   403
access-list             401  403    403    403 403 200 403 403 200 403  403  200   403  200 401 403   403
access-set              401  403    403    403 403 200 403 403 200 403  403  200   403  200 401 403   403
access-remove           401  403    403    403 403 204 403 403 204 403  403  204   403  204 401 403   403
access-list-missing     401  403    403    403 403 403 403 403 404 403  403  404   403  404 401 403   403
ns-access-list          401  403    403    403 403 403 403 403 403 403  403  200   403  200 401 403   403
ns-access-set           401  403    403    403 403 403 403 403 403 403  403  200   403  200 401 403   403
ns-access-remove        401  403    403    403 403 403 403 403 403 403  403  204   403  204 401 403   403
ns-access-missing       401  403    403    403 403 403 403 403 403 403  403  403   403  404 401 403   403
team-access             401  403    403    200 403 403 403 403 403 403  403  200   403  200 401 403   403
own-access              401  404    404    ro  rw  ad  ro  rw  ad  rw   404  ad    404  ad  401 rw    403
own-access-missing      401  404    404    404 404 404 404 404 404 404  404  404   404  404 401 404   403
other-access            401  403    403    403 403 403 403 403 403 403  403  403   403  200 401 403   403
org-get                 401  403    200    200 200 200 200 200 200 200  200  200   403  200 401 200   403
org-members             401  403    200    200 200 200 200 200 200 200  200  200   403  200 401 200   403
org-members-missing     401  403    403    403 403 403 403 403 403 403  403  403   403  404 401 403   403
org-public-members      401  200    200    200 200 200 200 200 200 200  200  200   200  200 401 200   403
org-add-member          401  403    403    403 403 403 403 403 403 403  403  204   403  204 401 403   403
org-remove-member       401  403    403    403 403 403 403 403 403 403  403  204   403  204 401 403   403
org-make-owner          401  403    403    403 403 403 403 403 403 403  403  204   403  204 401 403   403
teams-list              401  403    200    200 200 200 200 200 200 200  200  200   403  200 401 200   403
team-create             401  403    403    403 403 403 403 403 403 403  403  201   403  201 401 403   403
team-update             401  403    403    403 403 403 403 403 403 403  403  200   403  200 401 403   403
team-remove             401  403    403    403 403 403 403 403 403 403  403  204   403  204 401 403   403
team-members            401  403    200    200 200 200 200 200 200 200  200  200   403  200 401 200   403
team-add-member         401  403    403    403 403 403 403 403 403 403  204  204   403  204 401 403   403
team-add-stranger       401  403    403    403 403 403 403 403 403 403  404  204   403  204 401 403   403
team-remove-member      401  403    403    403 403 403 403 403 403 403  204  204   403  204 401 403   403
accounts-list           401  403    403    403 403 403 403 403 403 403  403  403   403  200 401 403   403
account-get-own         401  200    200    200 200 200 200 200 200 200  200  200   200  200 401 200   403
account-get-other       401  403    403    403 403 403 403 403 403 403  403  403   403  200 401 403   403
account-create          401  403    403    403 403 403 403 403 403 403  403  403   403  201 401 403   403
account-make-admin      401  403    403    403 403 403 403 403 403 403  403  403   403  200 401 403   403
account-remove          401  403    403    403 403 403 403 403 403 403  403  403   403  204 401 403   403
org-create              401  403    403    403 403 403 403 403 403 403  403  403   403  201 401 403   403
org-remove              401  403    403    403 403 403 403 403 403 403  403  403   403  204 401 403   403
password-of-other       401  403    403    403 403 403 403 403 403 403  403  403   403  204 401 403   403
tokens-list             401  200    200    200 200 200 200 200 200 200  200  200   200  200 401 403   403
tokens-create           401  201    201    201 201 201 201 201 201 201  201  201   201  201 401 403   403
tokens-backup           401  400    400    400 400 400 400 400 400 400  400  400   400  201 401 403   403
tokens-of-other         401  403    403    403 403 403 403 403 403 403  403  403   403  200 401 403   403
tokens-change           401  404    404    404 404 404 404 404 404 404  404  404   404  404 401 403   403
tokens-remove-unused    401  200    200    200 200 200 200 200 200 200  200  200   200  200 401 403   403
account-remove-all      401  403    403    403 403 403 403 403 403 403  403  403   403  204 401 403   403
account-remove-missing  401  403    403    403 403 403 403 403 403 403  403  403   403  404 401 403   403
events                  401  403    403    403 403 403 403 403 403 403  403  403   403  200 401 403   403
audit                   401  403    403    403 403 403 403 403 403 403  403  403   403  200 401 403   403
failed-logins           401  403    403    403 403 403 403 403 403 403  403  403   403  200 401 403   403
settings-get            401  403    403    403 403 403 403 403 403 403  403  403   403  200 401 403   403
settings-set            401  403    403    403 403 403 403 403 403 403  403  403   403  200 401 403   403
meta-settings-get       401  403    403    403 403 403 403 403 403 403  403  403   403  200 401 403   403
meta-settings-set       401  403    403    403 403 403 403 403 403 403  403  403   403  200 401 403   403
cluster-status          401  403    403    403 403 403 403 403 403 403  403  403   403  200 401 403   403
recovery-key            401  403    403    403 403 403 403 403 403 403  403  403   403  200 401 403   403
gc                      401  403    403    403 403 403 403 403 403 403  403  403   403  200 401 403   403
scrub                   401  403    403    403 403 403 403 403 403 403  403  403   403  200 401 403   403
backup                  401  403    403    403 403 403 403 403 403 403  403  403   403  200 401 403   200
backup-plain-secrets    401  403    403    403 403 403 403 403 403 403  403  403   403  200 401 403   403
"""
APP, NS, ORG, SPARE = ("/api/v0/repositories/acme/app", "/api/v0/repositoryNamespaces/acme", "/enzi/v0/accounts/acme",
                       "/enzi/v0/accounts/acme/teams/spare")
READ_ONLY = {"accessLevel": "read-only"}
LEVELS = {"ro": "read-only", "rw": "read-write", "ad": "admin"}


def cells(table):
    """{operation: {role: outcome}}; statuses as numbers."""
    lines = [line.split() for line in table.strip().splitlines()]
    assert lines[0] == ROLES
    read = {}
    for name, *outcomes in lines[1:]:
        assert len(outcomes) == len(ROLES), name
        read[name] = {role: int(o) if o.isdigit() else o for role, o in zip(ROLES, outcomes)}
    return read


class World:
    """The organization acme with its teams, acme/app (private), acme/pub (public), and one account for each role."""

    def __init__(self, server):
        self.server = server
        self.admin = server.session()
        self.addresses = itertools.count(1)
        users = ["strang", "member", "ro", "rw", "ad", "nro", "nrw", "nad", "both", "tadm", "owner", "outs", "off", "other",
                 "helper"]
        for name in users:
            self.must("POST", "/enzi/v0/accounts", 201, {"name": name, "password": PASSWORD})
        self.must("POST", "/enzi/v0/accounts", 201, {"name": "acme", "isOrg": True, "owner": "owner"})
        self.must("POST", "/enzi/v0/accounts", 201, {"name": "rival", "isOrg": True, "owner": "outs"})
        for name in ("member", "helper"):
            self.must("PUT", f"/enzi/v0/accounts/acme/members/{name}", 204, {})
        self.image, self.public = Image(), Image()
        Registry(server, "acme/app").push(self.image, "1")
        Registry(server, "acme/pub").push(self.public, "1")
        self.must("PATCH", "/api/v0/repositories/acme/pub", 200, {"visibility": "public"})
        for team, members in {"t-ro": ["ro"], "t-rw": ["rw"], "t-ad": ["ad", "off"], "t-nro": ["nro", "both"], "t-nrw": ["nrw"],
                              "t-nad": ["nad"], "t-both": ["both"], "idle": ["tadm"], "spare": []}.items():
            self.must("POST", "/enzi/v0/accounts/acme/teams", 201, {"name": team})
            for member in members:
                self.must("PUT", f"/enzi/v0/accounts/acme/teams/{team}/members/{member}", 204, {"isAdmin": member == "tadm"})
        for team, level in {"t-nro": "read-only", "t-nrw": "read-write", "t-nad": "admin"}.items():
            self.must("PUT", f"/api/v0/repositoryNamespaces/acme/teamAccess/{team}", 200, {"accessLevel": level})
        self.grant("acme/app")
        token = self.send("POST", "/api/v0/api_tokens", ("rw", PASSWORD), {"tokenLabel": "t"}).json()["token"]
        backup = self.must("POST", "/api/v0/api_tokens", 201, {"tokenLabel": "t", "scope": "backup"}).json()["token"]
        self.must("PATCH", "/enzi/v0/accounts/off", 200, {"isActive": False})
        self.auth = {name: (name, PASSWORD) for name in users}
        self.auth.update(anon=None, sys=server.auth, token=("rw", token), bkp=("admin", backup))

    def name_of(self, role):
        return {"sys": "admin", "token": "rw", "bkp": "admin", "anon": "nobody"}.get(role, role)

    def grant(self, repository):
        for team, level in {"t-ro": "read-only", "t-rw": "read-write", "t-ad": "admin", "t-both": "read-write"}.items():
            self.must("PUT", f"/api/v0/repositories/{repository}/teamAccess/{team}", 200, {"accessLevel": level})

    def send(self, method, path, auth, body=None, bearer=None, **options):
        headers = options.pop("headers", {})
        # Each try from another address, or the inactive account would be locked out for too many.
        number = next(self.addresses)
        headers["X-Forwarded-For"] = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        if bearer is not None:
            headers["Authorization"] = "Bearer " + bearer
        elif auth is not None:
            headers["Authorization"] = "Basic " + base64.b64encode(":".join(auth).encode()).decode()
        if body is not None:
            options["json"] = body
        return self.server.session(False).request(method, self.server.url + path, headers=headers, timeout=60,
                                                  allow_redirects=False, **options)

    def must(self, method, path, status, body=None):
        answer = self.admin.request(method, self.server.url + path, json=body, timeout=30)
        assert answer.status_code == status, describe(answer)
        return answer

    def bearer(self, role, *scopes):
        """A token, or the status of the refusal."""
        query = "&".join(f"scope={scope}" for scope in scopes)
        answer = self.send("GET", f"/auth/token?service=x&{query}", self.auth[role])
        return answer.json()["token"] if answer.status_code == 200 else answer.status_code
