"""Makes the seeds in fuzz/corpus/ from what the program really writes and clients really send.

    DTR_BIN=build/release/dtr python3 fuzz/make_seeds.py

Only files named real-* are replaced: the others are inputs that once found something.
"""

import glob
import io
import os
import shutil
import sys
import tarfile

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))
sys.path.insert(0, os.path.join(ROOT, "test", "e2e"))
# pylint: disable=wrong-import-position
from harness import Workspace, dtr, run  # noqa: E402
from oci import DOCKER_MANIFEST, OCI_MANIFEST, Artifact, Image, Index, Registry, digest, dumps  # noqa: E402

CORPUS = os.path.join(ROOT, "fuzz", "corpus")


def keep(entry, name, data):
    folder = os.path.join(CORPUS, entry)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, f"real-{name}"), "wb") as file:
        file.write(data if isinstance(data, bytes) else data.encode())


def http_seeds():
    heads = [
        "GET /v2/ HTTP/1.1\r\nHost: registry.example\r\nUser-Agent: docker/24.0.7\r\nAuthorization: Bearer a.b.c\r\n\r\n",
        "PATCH /v2/alice/x/blobs/uploads/5e7b?_state=abc%3D HTTP/1.1\r\nHost: x:443\r\nContent-Range: 0-1023\r\n"
        "Content-Length: 1024\r\nContent-Type: application/octet-stream\r\n\r\n",
        "PUT /v2/alice/x/blobs/uploads/5e7b?digest=sha256%3A00 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        "Expect: 100-continue\r\n\r\n",
        "GET http://registry.example/v2/_catalog?n=10&last=alice%2Fx HTTP/1.1\r\nHost: registry.example\r\n\r\n",
        "HEAD /v2/a%2Fb/manifests/%C3%BC HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        "GET /auth/token?service=dtr-registry&scope=repository:a/b:pull&scope=repository:c/d:pull+push HTTP/1.1\r\n"
        "Host: x\r\nConnection: close\r\n\r\n",
    ]
    for number, head in enumerate(heads):
        keep("request_head", number, head)
    for number, body in enumerate(["0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n",
                                   "1;a=b\r\nx\r\n00A\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n",
                                   "4\r\nWiki\r\n7\r\npedia i\r\nB\r\nn \r\nchunks.\r\n0\r\n\r\n"]):
        keep("chunked", number, body)
    for number, value in enumerate(["bytes=0-1023", "bytes=-5", "bytes=10-", "0-1023", "bytes 0-1023/2048", "bytes=0-1,5-6",
                                    "bytes 5-9/*", "bytes=18446744073709551615-"]):
        keep("ranges", number, value)
    for number, value in enumerate(["repository:admin/hello:pull,push", "registry:catalog:*",
                                    "repository(plugin):a/b:pull",
                                    "repository:host:5000/a/b:pull repository:c/d:pull,push,delete"]):
        keep("scope", number, value)
    for number, value in enumerate([
            '{"issuer":"https://id.example","clientID":"dtr","scopes":["openid"],"groupsClaim":"groups",'
            '"adminGroup":"root"}',
            '{"iss":"https://id.example","aud":["dtr"],"azp":"dtr","sub":"s","nonce":"n-1","iat":1700000000,'
            '"exp":1700000300,"preferred_username":"alice","name":"Alice","realm":{"groups":["root","devs"]}}',
            '{"keys":[{"kty":"EC","crv":"P-256","kid":"k","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",'
            '"y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}',
            "eyJhbGciOiJFUzI1NiIsImtpZCI6ImsifQ.e30.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSA"
            "pmWQxfKTUJqPP3-Kg6NU1Q", "https://id.example:8443/a/b?c=d"]):
        keep("oidc", number, value)
    for number, value in enumerate([
            '{"serverURL":"ldaps://d.example:636","readerDN":"cn=r,dc=org","readerPassword":"x","userSearchConfigs":'
            '[{"baseDN":"dc=org","usernameAttr":"uid","filter":"(a=b)","matchGroup":true,"matchGroupDN":"cn=g"}],'
            '"adminSyncOpts":{"enableSync":true,"groupDN":"cn=a,dc=org"},"syncSchedule":"@hourly"}',
            '{"enableSync":true,"selectGroupMembers":false,"searchBaseDN":"dc=org","searchFilter":"(a=b)"}',
            "uid=Alice+cn=a\\2Cb,OU=People, dc=example,dc=org", "cn=#04024869,dc=org", "member;range=0-1499",
            "*)(uid=*", "0 */15 9-17 * 1,6 1-5"]):
        keep("directory", number, value)
    for number, value in enumerate(["admin/hello", "a__b/c-d/e.f---g", "v1.2.3-rc_1", "library"]):
        keep("reference", number, value)
    for number, value in enumerate(["%2f..%2Fx+y", "YWRtaW46cHc=", "YWRtaW4", "68656c6c6f",
                                    "gr\u00fc\u00df \u20ac \U0001f40b"]):
        keep("encoding", number, value)
    keep("digest", 0, digest(b""))
    keep("digest", 1, digest(b"", "sha512"))


def manifest_seeds():
    image = Image()
    for name, item in {"image": image, "docker": Image(media_type=DOCKER_MANIFEST),
                       "index": Index(), "sha512": Image(algorithm="sha512"),
                       "artifact": Artifact(subject=image.descriptor(artifactType="a/b"), annotations={"x": "y"})}.items():
        keep("manifest", name, item.manifest)
    keep("manifest", "foreign", dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": None, "layers": [
        {"mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar", "digest": digest(b"x"), "size": 1,
         "urls": ["https://example.com/x"]}]}))


def archive_seeds(space):
    server = space.server("a").start()
    registry = Registry(server, "admin/hello")
    registry.push(Image(layers=[{"hello.txt": b"hello\n"}]), "1")
    server.backup(space.file("full.tar"))
    server.backup(space.file("config.tar"), "--config-only")
    server.stop()
    for kind in ("full", "config"):
        with open(space.file(f"{kind}.tar"), "rb") as file:
            data = file.read()
        keep("archive", kind, data)
        listed = []
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            for member in tar:
                name = member.name.split("/", 1)[1]
                listed.append(name)
                split_entry(kind, name, tar.extractfile(member).read())
        keep("names", kind, "\n".join(listed) + "\n")
    with open(os.path.join(server.data_dir, "recovery-key"), "rb") as file:
        keep("age", "recovery-key", file.read())


def split_entry(kind, name, content):
    if name in ("HEADER.json", "SEAL.json", "db/fingerprints.json"):
        keep("documents", f"{kind}-{os.path.basename(name)}", content)
    elif name.endswith(".minisig"):
        keep("minisign", f"{kind}-{name}", content)
    elif name.startswith("secrets/"):
        if "root" in name or name.endswith("ca.age"):
            keep("age", f"{kind}-{os.path.basename(name)}", content)
    elif name.endswith(".zst") and kind == "full":
        plain = run(["zstd", "-dc"], stdin=content, check=0).out
        if name.startswith("config/"):
            keep("config_lines", name.replace("/", "-"), plain)
        elif ".copy." in name:
            keep("copy_text", name.replace("/", "-"), plain)
        keep("zstd", name.replace("/", "-"), content)


def small_tars():
    """Containers without the contents of an archive: the shapes of headers, and shapes that are none of ours."""
    def ours(path, content):
        header = bytearray(512)
        header[:len(path)] = path.encode()
        header[100:107], header[108:115], header[116:123] = b"0000600", b"0000000", b"0000000"
        header[124:135], header[136:147] = b"%011o" % len(content), b"%011o" % 1790000000
        header[156:157], header[257:265] = b"0", b"ustar\x0000"
        header[329:336], header[337:344] = b"0000000", b"0000000"
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
        return bytes(header) + content + bytes(-len(content) % 512)

    keep("tar", "two", ours("dtr-backup-x/a", b"one") + ours("dtr-backup-x/b", b"") + bytes(1024))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("dtr-backup-x/" + "n" * 120)
        info.size, info.mode, info.mtime = 5, 0o600, 1790000000
        tar.addfile(info, io.BytesIO(b"hello"))
    keep("tar", "pax", buffer.getvalue()[:3072] + bytes(1024))


def token_seeds():
    keep("token", "claims", dumps({
        "iss": "dtr", "sub": "alice", "aud": "dtr-registry", "iat": 1795335881, "nbf": 1795335881, "exp": 1795336181,
        "jti": "0" * 32, "access": [{"type": "repository", "name": "alice/x", "actions": ["pull"]}],
        "dtr": {"id": "id-1", "admin": False, "epoch": "e1"}}))


def main():
    for old in glob.glob(os.path.join(CORPUS, "*", "real-*")):
        os.remove(old)
    dtr("--version", check=0)
    http_seeds()
    manifest_seeds()
    small_tars()
    token_seeds()
    keep("archive_edits", "flip", b"\0\0\0\x30\0\0x")
    keep("archive_edits", "move", b"\5\0\0\x30\0\3\0\0\x10\0")
    space = Workspace()
    try:
        archive_seeds(space)
    finally:
        space.close()
    shutil.rmtree(os.path.join(CORPUS, "__pycache__"), ignore_errors=True)


if __name__ == "__main__":
    main()
