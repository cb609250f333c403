"""Images made by hand, and a client that says exactly what goes over the wire."""

import gzip
import hashlib
import io
import json
import os
import tarfile
from urllib.parse import urlencode, urljoin, urlsplit, urlunsplit

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_LAYER_FOREIGN = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
OCTETS = "application/octet-stream"
ACCEPT = ", ".join([OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST])

# Code -> meaning: the table of the distribution specification, and the one the older API adds.
ERROR_CODES = {
    "BLOB_UNKNOWN", "BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN", "DIGEST_INVALID", "MANIFEST_BLOB_UNKNOWN",
    "MANIFEST_INVALID", "MANIFEST_UNKNOWN", "NAME_INVALID", "NAME_UNKNOWN", "SIZE_INVALID", "UNAUTHORIZED", "DENIED",
    "UNSUPPORTED", "TOOMANYREQUESTS", "TAG_INVALID", "MANIFEST_UNVERIFIED", "PAGINATION_NUMBER_INVALID", "RANGE_INVALID",
}


def digest(data, algorithm="sha256"):
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def descriptor(media_type, content, algorithm="sha256", **fields):
    return {"mediaType": media_type, "digest": digest(content, algorithm), "size": len(content), **fields}


def dumps(value):
    return json.dumps(value, separators=(",", ":")).encode()


def layer(files):
    """A gzipped tar of {name: bytes}; the same files give the same bytes. Returns (bytes, diff id)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in sorted(files.items()):
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o755
            tar.addfile(info, io.BytesIO(data))
    return gzip.compress(buffer.getvalue(), compresslevel=1, mtime=0), digest(buffer.getvalue())


class Image:
    """Config, layers and manifest bytes. Nothing is sent anywhere yet."""

    def __init__(self, layers=None, architecture="amd64", media_type=OCI_MANIFEST, algorithm="sha256", label="",
                 **manifest_fields):
        docker = media_type == DOCKER_MANIFEST
        built = [layer(files) for files in (layers or [{"hello.txt": os.urandom(64)}])]
        self.media_type, self.algorithm = media_type, algorithm
        self.config = dumps({
            "architecture": architecture, "os": "linux",
            "config": {"Labels": {"label": label}, "Cmd": ["/hello.txt"]},
            "rootfs": {"type": "layers", "diff_ids": [diff for _, diff in built]},
            "history": [{"created_by": "test"} for _ in built],
        })
        self.layers = [data for data, _ in built]
        self.manifest = dumps({
            "schemaVersion": 2, "mediaType": media_type,
            "config": descriptor(DOCKER_CONFIG if docker else OCI_CONFIG, self.config, algorithm),
            "layers": [descriptor(DOCKER_LAYER if docker else OCI_LAYER_GZIP, b, algorithm) for b in self.layers],
            **manifest_fields,
        })

    @property
    def blobs(self):
        return [self.config, *self.layers]

    @property
    def digest(self):
        return digest(self.manifest, self.algorithm)

    def descriptor(self, **fields):
        return descriptor(self.media_type, self.manifest, self.algorithm, **fields)


class Index:
    """A multi-platform image."""

    def __init__(self, images=None, media_type=OCI_INDEX, algorithm="sha256", **fields):
        self.images = [Image(architecture=a, algorithm=algorithm) for a in ("amd64", "arm64")] if images is None else images
        self.media_type, self.algorithm = media_type, algorithm
        self.manifest = dumps({
            "schemaVersion": 2, "mediaType": media_type,
            "manifests": [
                i.descriptor(platform={"os": "linux", "architecture": json.loads(i.config)["architecture"]})
                if isinstance(i, Image) else i.descriptor() for i in self.images
            ],
            **fields,
        })

    @property
    def digest(self):
        return digest(self.manifest, self.algorithm)

    def descriptor(self, **fields):
        return descriptor(self.media_type, self.manifest, self.algorithm, **fields)


class Artifact:
    """An OCI artifact: an empty or typed config, any layers, perhaps a subject."""

    media_type, algorithm = OCI_MANIFEST, "sha256"

    def __init__(self, artifact_type="application/vnd.example.sbom", subject=None, body=None, annotations=None,
                 config_type=None):
        self.config = b"{}" if config_type is None else os.urandom(32)
        self.layers = [os.urandom(48) if body is None else body]
        self.artifact_type = config_type or artifact_type
        fields = {"schemaVersion": 2, "mediaType": OCI_MANIFEST}
        if config_type is None and artifact_type:
            fields["artifactType"] = artifact_type
        fields["config"] = descriptor(config_type or OCI_EMPTY, self.config)
        fields["layers"] = [descriptor("application/vnd.example.data", b) for b in self.layers]
        if subject is not None:
            fields["subject"] = subject
        if annotations is not None:
            fields["annotations"] = annotations
        self.manifest = dumps(fields)

    blobs = Image.blobs
    digest = Image.digest
    descriptor = Image.descriptor


def write_layout(path, *items):
    """An OCI image layout for stock clients: items are Image/Index, or (item, reference name)."""
    def put(data, algorithm="sha256"):
        name = digest(data, algorithm).replace(":", "/")
        os.makedirs(os.path.join(path, "blobs", os.path.dirname(name)), exist_ok=True)
        with open(os.path.join(path, "blobs", name), "wb") as file:
            file.write(data)

    def store(item):
        for child in getattr(item, "images", []):
            store(child)
        for blob in getattr(item, "blobs", []):
            put(blob, item.algorithm)
        put(item.manifest, item.algorithm)

    top = []
    for entry in items:
        item, name = entry if isinstance(entry, tuple) else (entry, "latest")
        store(item)
        top.append(item.descriptor(annotations={"org.opencontainers.image.ref.name": name}))
    with open(os.path.join(path, "oci-layout"), "w", encoding="ascii") as file:
        file.write('{"imageLayoutVersion":"1.0.0"}')
    with open(os.path.join(path, "index.json"), "wb") as file:
        file.write(dumps({"schemaVersion": 2, "manifests": top}))
    return path


def layout_digest(path, reference="latest"):
    with open(os.path.join(path, "index.json"), encoding="utf-8") as file:
        for entry in json.load(file)["manifests"]:
            if entry.get("annotations", {}).get("org.opencontainers.image.ref.name", reference) == reference:
                return entry["digest"]
    raise AssertionError(f"no {reference} in {path}/index.json")


def with_query(url, **params):
    """Adds parameters to whatever query a Location already carries, as clients do."""
    parts = urlsplit(url)
    extra = urlencode(params, doseq=True)
    return urlunsplit(parts._replace(query="&".join(filter(None, [parts.query, extra]))))


class Registry:
    """One repository on one server. Methods named do_* assert nothing; the others assert the success answer."""

    def __init__(self, server, repo, auth=True):
        self.server, self.repo = server, repo
        self.session = server.session(auth)
        self.base = f"{server.url}/v2/{repo}/"

    def log(self):
        return self.server.log()

    def at(self, repo=None, auth=True):
        return Registry(self.server, repo or self.repo, auth)

    def do(self, method, path, **options):
        """path: relative to the repository, or an absolute URL, or an absolute path (a Location)."""
        options.setdefault("timeout", 60)
        options.setdefault("allow_redirects", method in ("GET", "HEAD"))
        if "/manifests/" in "/" + path and method in ("GET", "HEAD"):
            options["headers"] = {"Accept": ACCEPT, **options.get("headers", {})}
        # Not urljoin() for relative paths: it tidies the base's path, and some tests want it untidy.
        absolute = path.startswith(("http://", "https://", "/"))
        return self.session.request(method, urljoin(self.base, path) if absolute else self.base + path, **options)

    def url_of(self, response):
        """A Location, made absolute."""
        location = response.headers.get("Location")
        assert location, f"no Location in {response.status_code} {response.headers}"
        return urljoin(response.request.url, location)

    # -- blobs
    def start(self, **params):
        answer = self.do("POST", "blobs/uploads/", params=params)
        assert answer.status_code == 202, describe(answer)
        return self.url_of(answer)

    def do_patch(self, url, data, first=None, **headers):
        headers.setdefault("Content-Type", OCTETS)
        if first is not None:
            headers["Content-Range"] = f"{first}-{first + len(data) - 1}"
        return self.do("PATCH", url, data=data, headers=headers)

    def patch(self, url, data, first=None):
        answer = self.do_patch(url, data, first)
        assert answer.status_code == 202, describe(answer)
        return self.url_of(answer)

    def do_close(self, url, name, data=b"", first=None):
        headers = {"Content-Type": OCTETS}
        if first is not None:
            headers["Content-Range"] = f"{first}-{first + len(data) - 1}"
        return self.do("PUT", with_query(url, digest=name), data=data, headers=headers)

    def push_blob(self, data, algorithm="sha256"):
        name = digest(data, algorithm)
        answer = self.do_close(self.start(), name, data)
        assert answer.status_code == 201, describe(answer)
        return name

    def get_blob(self, name, **headers):
        return self.do("GET", f"blobs/{name}", headers=headers)

    def has_blob(self, name):
        return self.do("HEAD", f"blobs/{name}").status_code == 200

    # -- manifests
    def do_put(self, reference, data, media_type=OCI_MANIFEST, **params):
        return self.do("PUT", f"manifests/{reference}", data=data, headers={"Content-Type": media_type}, params=params)

    def push(self, item, tag=None, blobs=True):
        """Everything an image needs, then its manifest under `tag` (or its digest). Returns the answer of that PUT."""
        for child in getattr(item, "images", []):
            self.push(child)
        if blobs:
            for blob in getattr(item, "blobs", []):
                self.push_blob(blob, item.algorithm)
        answer = self.do_put(tag or item.digest, item.manifest, item.media_type)
        assert answer.status_code == 201, describe(answer)
        return answer

    def get(self, reference, **headers):
        return self.do("GET", f"manifests/{reference}", headers=headers)

    def tags(self, **params):
        answer = self.do("GET", "tags/list", params=params)
        assert answer.status_code == 200, describe(answer)
        assert answer.json()["name"] == self.repo
        return answer.json()["tags"]

    def referrers(self, name, **params):
        answer = self.do("GET", f"referrers/{name}", params=params)
        assert answer.status_code == 200, describe(answer)
        assert answer.headers["Content-Type"] == OCI_INDEX
        index = answer.json()
        assert index["schemaVersion"] == 2 and index["mediaType"] == OCI_INDEX
        return index["manifests"]

    def pull(self, reference):
        """Walks an image as a client does, checking every byte. Returns {digest: bytes}."""
        seen = {}

        def walk(ref):
            answer = self.get(ref)
            assert answer.status_code == 200, describe(answer)
            name = answer.headers["Docker-Content-Digest"]
            assert digest(answer.content, name.split(":")[0]) == name
            assert ":" not in ref or ref == name
            seen[name] = answer.content
            body = answer.json()
            for child in body.get("manifests", []):
                walk(child["digest"])
            for part in [body["config"], *body["layers"]] if "config" in body else []:
                blob = self.get_blob(part["digest"])
                assert blob.status_code == 200, describe(blob)
                assert digest(blob.content, part["digest"].split(":")[0]) == part["digest"]
                assert len(blob.content) == part["size"]
                seen[part["digest"]] = blob.content

        walk(reference)
        return seen


def describe(answer):
    request = answer.request
    return (f"{request.method} {request.url}\n{dict(request.headers)}\n-> {answer.status_code} {dict(answer.headers)}\n"
            f"{answer.text[:2000]}")


def expect_error(answer, status, *codes):
    """The answer is an error as the specification shapes it: a JSON body with known codes, the first one of `codes`."""
    wanted = status if isinstance(status, tuple) else (status,)
    assert answer.status_code in wanted, describe(answer)
    if answer.request.method == "HEAD":
        assert answer.content == b"", describe(answer)
        return
    assert answer.headers["Content-Type"].split(";")[0] == "application/json", describe(answer)
    errors = answer.json()["errors"]
    assert errors, describe(answer)
    for error in errors:
        assert error["code"] in ERROR_CODES, describe(answer)
        assert error["message"], describe(answer)
    if codes:
        assert errors[0]["code"] in codes, describe(answer)
