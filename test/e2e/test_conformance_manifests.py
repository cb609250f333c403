"""OCI Distribution 1.1 from the specification: manifests of every kind, by tag and by digest (sections "Pulling manifests",
"Pushing manifests", "Deleting manifests")."""

import json
import os

import pytest

from oci import (DOCKER_CONFIG, DOCKER_LAYER, DOCKER_LIST, DOCKER_MANIFEST, OCI_CONFIG, OCI_EMPTY, OCI_INDEX,
                 OCI_LAYER_FOREIGN, OCI_LAYER_GZIP, OCI_MANIFEST, Artifact, Image, Index, describe, descriptor, digest, dumps,
                 expect_error)

MANIFEST_BYTES_MAX = 4 << 20


class Raw:
    """A manifest given as a value, with blobs that belong to it."""

    algorithm = "sha256"

    def __init__(self, body, blobs=(), media_type=OCI_MANIFEST, images=(), algorithm="sha256"):
        self.manifest = body if isinstance(body, bytes) else dumps(body)
        self.blobs, self.media_type, self.images, self.algorithm = list(blobs), media_type, list(images), algorithm

    digest = Image.digest
    descriptor = Image.descriptor


def check(registry, item, *tags):
    """By digest and by each tag, HEAD and GET agree with what was put, exactly."""
    for reference in (item.digest, *tags):
        head = registry.do("HEAD", f"manifests/{reference}")
        got = registry.get(reference)
        for answer in (head, got):
            assert answer.status_code == 200, describe(answer)
            assert answer.headers["Content-Type"] == item.media_type
            assert answer.headers["Content-Length"] == str(len(item.manifest))
            assert answer.headers["Docker-Content-Digest"] == item.digest
        assert head.content == b""
        assert got.content == item.manifest


def plain(**changes):
    """A small image manifest as a value, with its blobs."""
    config, layer = b'{"architecture":"amd64","os":"linux"}', os.urandom(64)
    body = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor(OCI_CONFIG, config),
            "layers": [descriptor(OCI_LAYER_GZIP, layer)]}
    body.update(changes)
    return Raw({k: v for k, v in body.items() if v is not None}, [config, layer])


def large(total):
    """An image manifest of exactly `total` bytes."""
    filler = {f"large-{i}": "A" * 10_000 for i in range(total // 10_100)}
    item = plain(annotations={**filler, "pad": ""})
    return plain(annotations={**filler, "pad": "B" * (total - len(item.manifest))}, config=json.loads(item.manifest)["config"],
                 layers=json.loads(item.manifest)["layers"]), item.blobs


def children():
    return [Image(architecture="amd64"), Image(architecture="arm64")]


KINDS = {
    "image": Image,
    "image of three layers": lambda: Image(layers=[{"a": b"1"}, {"b": os.urandom(9000)}, {"c": b""}]),
    "index": Index,
    "empty index": lambda: Index(images=[]),
    "nested index": lambda: Index(images=[Index(), Index()]),
    "artifact": Artifact,
    "artifact by config type": lambda: Artifact(config_type="application/vnd.example.config.v1"),
    "artifact with an empty layer": lambda: Artifact(body=b"{}"),
    "index of artifacts": lambda: Index(images=[Artifact(), Artifact()], artifactType="application/vnd.example.set"),
    "no layers": lambda: plain(layers=[]),
    "no media type inside": lambda: plain(mediaType=None),
    "empty media type inside": lambda: plain(mediaType=""),
    "unknown fields": lambda: plain(**{"org.example.newField": {"deep": [1, None]}, "annotations": {"a": "ä\u0000\u2028"}}),
    "docker schema 2": lambda: Image(media_type=DOCKER_MANIFEST),
    "docker manifest list": lambda: Index(images=[Image(media_type=DOCKER_MANIFEST)], media_type=DOCKER_LIST),
    "spaces and line ends kept": lambda: Raw(json.dumps(json.loads(Artifact(body=b"{}").manifest), indent=3).encode() + b"\n\n",
                                             [b"{}"]),
    "config that is no JSON": lambda: Artifact(config_type="application/octet-stream"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_push_and_pull(registry, kind):
    item = KINDS[kind]()
    by_digest = registry.push(item)
    by_tag = registry.push(item, "v1")
    for answer in (by_digest, by_tag):
        assert answer.headers["Docker-Content-Digest"] == item.digest
        assert registry.do("GET", registry.url_of(answer)).content == item.manifest
    check(registry, item, "v1")
    registry.pull("v1")


@pytest.mark.parametrize("kind", ["image", "index"])
def test_sha512(registry, kind):
    """Named in sha512 all the way down, and answered so, by tag too."""
    item = Image(algorithm="sha512") if kind == "image" else Index(algorithm="sha512")
    registry.push(item)
    check(registry, item)
    answer = registry.do_put(item.digest, item.manifest, item.media_type, tag=["five-twelve", "again"])
    assert answer.status_code == 201, describe(answer)
    assert answer.headers["Docker-Content-Digest"] == item.digest
    check(registry, item, "five-twelve", "again")
    registry.pull("five-twelve")


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("count", [1, 2, 10])
def test_tags_as_parameters(registry, algorithm, count):
    item = Image(algorithm=algorithm)
    for blob in item.blobs:
        registry.push_blob(blob, algorithm)
    tags = [f"tag-{i}" for i in range(count)]
    answer = registry.do_put(item.digest, item.manifest, item.media_type, tag=tags)
    assert answer.status_code == 201, describe(answer)
    told = {t.strip() for t in answer.headers["OCI-Tag"].split(",")}
    assert told == set(tags)
    check(registry, item, *tags)
    assert registry.tags() == sorted(tags)


def test_bad_tag_parameter_changes_nothing(registry):
    item = Image()
    for blob in item.blobs:
        registry.push_blob(blob)
    answer = registry.do_put(item.digest, item.manifest, item.media_type, tag=["good", "-bad"])
    expect_error(answer, 400, "TAG_INVALID", "MANIFEST_INVALID")
    assert registry.get("good").status_code == 404


def test_chunked_coding(registry):
    """A manifest may come without Content-Length."""
    item = plain()
    for blob in item.blobs:
        registry.push_blob(blob)
    answer = registry.do("PUT", "manifests/v1", data=iter([item.manifest[:50], item.manifest[50:]]),
                         headers={"Content-Type": OCI_MANIFEST})
    assert answer.status_code == 201, describe(answer)
    check(registry, item, "v1")


@pytest.mark.parametrize("total", [3_930_000, MANIFEST_BYTES_MAX])
def test_large_manifest(registry, total):
    item, blobs = large(total)
    assert len(item.manifest) == total
    for blob in blobs:
        registry.push_blob(blob)
    registry.push(item, "large", blobs=False)
    check(registry, item, "large")


@pytest.mark.parametrize("stream", [False, True], ids=["with length", "chunked"])
def test_manifest_over_the_limit_is_413(registry, stream):
    item, blobs = large(MANIFEST_BYTES_MAX + 1)
    for blob in blobs:
        registry.push_blob(blob)
    body = item.manifest
    data = (body[i:i + 65536] for i in range(0, len(body), 65536)) if stream else body
    answer = registry.do("PUT", "manifests/large", data=data, headers={"Content-Type": OCI_MANIFEST})
    expect_error(answer, 413, "MANIFEST_INVALID", "SIZE_INVALID", "UNSUPPORTED")
    assert registry.get("large").status_code == 404
    assert registry.push(Image(), "still-serving").status_code == 201


def test_descriptor_with_data(registry):
    config, layer = b'{"a":1}', os.urandom(40)
    import base64
    data = base64.b64encode(config).decode()
    item = Raw({"schemaVersion": 2, "mediaType": OCI_MANIFEST,
                "config": {**descriptor(OCI_CONFIG, config, data=data), "newUnspecifiedField": "aGVsbG8gd29ybGQ="},
                "layers": [descriptor(OCI_LAYER_GZIP, layer)]}, [config, layer])
    registry.push(item, "data")
    check(registry, item, "data")


@pytest.mark.parametrize("media_type", [OCI_LAYER_FOREIGN, "application/vnd.oci.image.layer.nondistributable.v1.tar",
                                        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"])
def test_absent_non_distributable_layer(registry, media_type):
    docker = "docker" in media_type
    absent, layer, config = os.urandom(256), os.urandom(64), b'{"os":"windows"}'
    item = Raw({"schemaVersion": 2, "mediaType": DOCKER_MANIFEST if docker else OCI_MANIFEST,
                "config": descriptor(DOCKER_CONFIG if docker else OCI_CONFIG, config),
                "layers": [descriptor(media_type, absent, urls=["https://store.example.com/blob"]),
                           descriptor(DOCKER_LAYER if docker else OCI_LAYER_GZIP, layer)]},
               [config, layer], DOCKER_MANIFEST if docker else OCI_MANIFEST)
    registry.push(item, "foreign")
    check(registry, item, "foreign")
    assert not registry.has_blob(digest(absent))


# -- refusals

def test_missing_layer(registry):
    item = plain()
    registry.push_blob(item.blobs[0])
    answer = registry.do_put("v1", item.manifest)
    expect_error(answer, (400, 404), "MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN")
    assert digest(item.blobs[1]) in answer.text
    assert registry.get("v1").status_code == 404
    assert registry.get(item.digest).status_code == 404


def test_layer_of_another_repository_does_not_count(registry, other):
    item = plain()
    for blob in item.blobs:
        other.push_blob(blob)
    expect_error(registry.do_put("v1", item.manifest), (400, 404), "MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN")


def test_index_with_a_missing_child(registry):
    index = Index()
    registry.push(index.images[0])
    answer = registry.do_put("v1", index.manifest, OCI_INDEX)
    expect_error(answer, (400, 404), "MANIFEST_BLOB_UNKNOWN", "MANIFEST_UNKNOWN", "BLOB_UNKNOWN")


def test_size_lie(registry):
    config, layer = b"{}", os.urandom(64)
    lie = {**descriptor(OCI_LAYER_GZIP, layer), "size": 65}
    item = Raw({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor(OCI_CONFIG, config), "layers": [lie]},
               [config, layer])
    for blob in item.blobs:
        registry.push_blob(blob)
    expect_error(registry.do_put("v1", item.manifest), 400, "MANIFEST_INVALID", "SIZE_INVALID")


@pytest.mark.parametrize("body", [
    b"", b"blablabla", b"[]", b"null", b'{"schemaVersion":2', b"{}", b'{"schemaVersion":1,"name":"x","tag":"y"}',
    b'{"schemaVersion":2,"config":{"digest":"sha256:12","size":2,"mediaType":"a/b"},"layers":[]}',
    b'{"schemaVersion":2,"config":{"digest":"../../etc/passwd","size":2,"mediaType":"a/b"},"layers":[]}',
    b'{"schemaVersion":2,"config":7,"layers":[]}', b'{"schemaVersion":2,"layers":{}}', b"\xff\xfe{}",
    b'{"schemaVersion":2,"mediaType":"' + OCI_INDEX.encode() + b'","manifests":[]}',
    b"[" * 100_000, b'{"a":' * 5000 + b"1" + b"}" * 5000,
], ids=lambda b: f"{len(b)} bytes: {b[:30]!r}")
def test_invalid_manifest(registry, body):
    answer = registry.do_put("bad", body)
    expect_error(answer, 400, "MANIFEST_INVALID", "DIGEST_INVALID", "MANIFEST_BLOB_UNKNOWN", "SIZE_INVALID")
    assert registry.get("bad").status_code == 404


@pytest.mark.parametrize("media_type", ["text/plain", "application/vnd.docker.distribution.manifest.v1+prettyjws", "", "nonsense"])
def test_unknown_media_type(registry, media_type):
    item = plain(mediaType=None)
    for blob in item.blobs:
        registry.push_blob(blob)
    answer = registry.do_put("v1", item.manifest, media_type)
    if answer.status_code != 201:  # accepting what the body plainly is, is tolerant, not wrong
        expect_error(answer, (400, 415), "MANIFEST_INVALID", "UNSUPPORTED")


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_wrong_digest(registry, algorithm):
    item = Image(algorithm=algorithm)
    for blob in item.blobs:
        registry.push_blob(blob, algorithm)
    expect_error(registry.do_put(item.digest, item.manifest + b"  "), 400, "DIGEST_INVALID")
    assert registry.get(item.digest).status_code == 404


def test_malformed_digest(registry):
    item = plain()
    for blob in item.blobs:
        registry.push_blob(blob)
    expect_error(registry.do_put("sha256:baddigeststring", item.manifest), 400, "DIGEST_INVALID", "TAG_INVALID", "MANIFEST_INVALID")
    for reference in ("sha256:baddigeststring", "sha256:totallywrong"):
        expect_error(registry.get(reference), (400, 404))
        assert registry.do("GET", f"manifests/{reference}", data=b"blablabla").status_code in (400, 404)


@pytest.mark.parametrize("tag", [".INVALID_MANIFEST_NAME", "-x", "a" * 129, "a b", "ä", "a%2fb", "a:b"])
def test_tag_grammar(registry, tag):
    """Unreadable as unknown (404), unwritable as invalid (400)."""
    item = plain()
    for blob in item.blobs:
        registry.push_blob(blob)
    answer = registry.do_put(tag, item.manifest)
    assert answer.status_code in (400, 404), describe(answer)
    if answer.status_code == 400:
        expect_error(answer, 400, "TAG_INVALID", "MANIFEST_INVALID", "DIGEST_INVALID", "UNSUPPORTED", "NAME_INVALID")
    if ":" not in tag and "%" not in tag:
        expect_error(registry.get(tag), 404)
        expect_error(registry.do("HEAD", f"manifests/{tag}"), 404)


@pytest.mark.parametrize("tag", ["a", "A", "_", "0", "a" * 128, "v1.2-rc_3", "Latest"])
def test_good_tags(registry, tag):
    item = plain()
    registry.push(item, tag)
    check(registry, item, tag)


def test_unknown_manifest(registry):
    for reference in ("missing-tag", digest(os.urandom(9)), digest(os.urandom(9), "sha512")):
        expect_error(registry.get(reference), 404, "MANIFEST_UNKNOWN", "NAME_UNKNOWN")
        expect_error(registry.do("HEAD", f"manifests/{reference}"), 404)


def test_accept_is_not_a_reason_to_convert(registry):
    index = Index()
    registry.push(index, "multi")
    for accept in (OCI_MANIFEST, f"{DOCKER_MANIFEST}, {DOCKER_LIST}", "*/*", "text/html"):
        assert registry.get("multi", Accept=accept).content == index.manifest


# -- tags and deletes

def test_tag_moves(registry):
    first, second = Image(), Image()
    registry.push(first, "latest")
    registry.push(second, "latest")
    check(registry, second, "latest")
    check(registry, first)
    assert registry.tags() == ["latest"]


def test_delete_tag(registry):
    item = Image()
    registry.push(item, "one")
    registry.push(item, "two")
    assert registry.do("DELETE", "manifests/one").status_code == 202
    expect_error(registry.get("one"), 404, "MANIFEST_UNKNOWN")
    assert registry.tags() == ["two"]
    check(registry, item, "two")
    expect_error(registry.do("DELETE", "manifests/one"), 404, "MANIFEST_UNKNOWN")


def test_delete_manifest_takes_its_tags(registry):
    item, stays = Image(), Image()
    registry.push(item, "one")
    registry.push(item, "two")
    registry.push(stays, "stays")
    assert registry.do("DELETE", f"manifests/{item.digest}").status_code == 202
    for reference in ("one", "two", item.digest):
        expect_error(registry.do("HEAD", f"manifests/{reference}"), 404)
    assert registry.tags() == ["stays"]
    expect_error(registry.do("DELETE", f"manifests/{item.digest}"), 404, "MANIFEST_UNKNOWN")
    # its blobs are still there until deleted or collected
    for blob in item.blobs:
        assert registry.do("DELETE", f"blobs/{digest(blob)}").status_code == 202


def test_delete_whole_index_top_down(registry):
    index = Index()
    registry.push(index, "multi")
    for item in (index, *index.images):
        assert registry.do("DELETE", f"manifests/{item.digest}").status_code == 202
        assert registry.get(item.digest).status_code == 404
    for image in index.images:
        for blob in image.blobs:
            assert registry.do("DELETE", f"blobs/{digest(blob)}").status_code == 202


def test_push_again_after_delete(registry):
    item = Image()
    registry.push(item, "v1")
    assert registry.do("DELETE", f"manifests/{item.digest}").status_code == 202
    registry.push(item, "v1")
    check(registry, item, "v1")


def test_same_manifest_in_two_repositories(registry, other):
    item = Image()
    registry.push(item, "v1")
    other.push(item, "v1")
    assert registry.do("DELETE", f"manifests/{item.digest}").status_code == 202
    assert registry.get(item.digest).status_code == 404
    check(other, item, "v1")
    other.pull("v1")


def test_empty_config_is_usual(registry):
    item = Artifact(body=b"{}")
    assert json.loads(item.manifest)["config"]["mediaType"] == OCI_EMPTY
    registry.push(item, "v1")
    check(registry, item, "v1")
