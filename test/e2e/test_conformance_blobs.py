"""OCI Distribution 1.1 from the specification: blobs, uploads, mounts, ranges (sections "Pulling blobs", "Pushing blobs",
"Deleting blobs"). sha512 content goes through every path that sha256 does."""

import os

import pytest
import requests

from oci import OCTETS, Image, describe, digest, expect_error, with_query

ALGORITHMS = ("sha256", "sha512")
both = pytest.mark.parametrize("algorithm", ALGORITHMS)


def check_stored(registry, name, data, location=None):
    """HEAD, GET and the Location of the 201 all tell the same story."""
    head = registry.do("HEAD", f"blobs/{name}")
    assert head.status_code == 200, describe(head)
    assert head.content == b""
    got = registry.get_blob(name)
    assert got.status_code == 200, describe(got)
    for answer in (head, got):
        assert answer.headers["Content-Length"] == str(len(data))
        assert answer.headers["Docker-Content-Digest"] == name
    assert got.content == data
    if location:
        assert registry.do("GET", location).content == data


def created(registry, answer, name, data):
    assert answer.status_code == 201, describe(answer)
    assert answer.headers["Docker-Content-Digest"] == name
    assert registry.url_of(answer).endswith(f"/v2/{registry.repo}/blobs/{name}")
    check_stored(registry, name, data, registry.url_of(answer))


# -- the base

def test_version_check(server):
    answer = server.session().get(server.url + "/v2/", timeout=10)
    assert answer.status_code == 200
    assert answer.headers.get("Docker-Distribution-Api-Version", "registry/2.0") == "registry/2.0"


def test_unknown_blob_is_404(registry):
    name = digest(os.urandom(8))
    expect_error(registry.get_blob(name), 404, "BLOB_UNKNOWN", "NAME_UNKNOWN")
    expect_error(registry.do("HEAD", f"blobs/{name}"), 404)


@pytest.mark.parametrize("name", ["sha256:baddigest", "sha256:" + "A" * 64, "md5:" + "0" * 32, "sha512:" + "0" * 64])
def test_malformed_digest_is_refused(registry, name):
    expect_error(registry.get_blob(name), (400, 404), "DIGEST_INVALID", "UNSUPPORTED", "BLOB_UNKNOWN")


# -- the ways to push

@both
def test_post_then_put(registry, algorithm):
    data = os.urandom(512)
    name = digest(data, algorithm)
    created(registry, registry.do_close(registry.start(), name, data), name, data)


@both
def test_post_with_algorithm_hint(registry, algorithm):
    data = os.urandom(512)
    name = digest(data, algorithm)
    url = registry.start(**{"digest-algorithm": algorithm})
    created(registry, registry.do_close(registry.patch(url, data), name), name, data)


def test_hint_for_an_unknown_algorithm(registry):
    answer = registry.do("POST", "blobs/uploads/", params={"digest-algorithm": "md5"})
    expect_error(answer, 400, "UNSUPPORTED", "DIGEST_INVALID")


def test_wrong_hint_is_only_a_hint(registry):
    data = os.urandom(3000)
    url = registry.start(**{"digest-algorithm": "sha512"})
    name = digest(data)
    created(registry, registry.do_close(registry.patch(url, data), name), name, data)


@both
def test_single_post(registry, algorithm):
    data = os.urandom(512)
    name = digest(data, algorithm)
    answer = registry.do("POST", "blobs/uploads/", params={"digest": name}, data=data, headers={"Content-Type": OCTETS})
    created(registry, answer, name, data)


@both
def test_streamed_patch(registry, algorithm):
    """No Content-Range, no Content-Length: what docker and skopeo do."""
    data = os.urandom(300_000)
    name = digest(data, algorithm)
    answer = registry.do_patch(registry.start(), (data[i:i + 65536] for i in range(0, len(data), 65536)))
    assert answer.status_code == 202, describe(answer)
    assert answer.headers["Range"] == f"0-{len(data) - 1}"
    created(registry, registry.do_close(registry.url_of(answer), name), name, data)


@both
@pytest.mark.parametrize("last_in_put", [False, True])
@pytest.mark.parametrize("chunks", [1, 3])
def test_chunked(registry, algorithm, last_in_put, chunks):
    data = os.urandom(1024 * chunks - 5)
    name = digest(data, algorithm)
    url = registry.start()
    parts = [(i, data[i:i + 1024]) for i in range(0, len(data), 1024)]
    for first, part in parts[:-1] if last_in_put else parts:
        answer = registry.do_patch(url, part, first)
        assert answer.status_code == 202, describe(answer)
        assert answer.headers["Range"] == f"0-{first + len(part) - 1}"
        url = registry.url_of(answer)
    first, part = parts[-1]
    answer = registry.do_close(url, name, part, first) if last_in_put else registry.do_close(url, name)
    created(registry, answer, name, data)


def test_minimum_chunk_length_is_a_number_if_given(registry):
    answer = registry.do("POST", "blobs/uploads/")
    assert int(answer.headers.get("OCI-Chunk-Min-Length", "1")) > 0


@both
@pytest.mark.parametrize("last_in_put", [False, True])
def test_out_of_order_chunks_are_416_and_recoverable(registry, algorithm, last_in_put):
    data = os.urandom(3067)
    name = digest(data, algorithm)
    url, at = registry.start(), 0
    while at < len(data):
        wrong = at + 1024 if at + 1024 < len(data) else 0
        piece = data[wrong:wrong + 1024]
        closing = last_in_put and wrong + len(piece) == len(data)
        bad = registry.do_close(url, name, piece, wrong) if closing else registry.do_patch(url, piece, wrong)
        assert bad.status_code == 416, describe(bad)
        # the session lives on, and says where it stands, whatever is in the query
        status = registry.do("GET", with_query(url, digest=name) if closing else url)
        assert status.status_code == 204, describe(status)
        assert status.headers["Range"] == (f"0-{at - 1}" if at else "0-0")
        url = registry.url_of(status)
        piece = data[at:at + 1024]
        if last_in_put and at + len(piece) == len(data):
            created(registry, registry.do_close(url, name, piece, at), name, data)
            return
        url = registry.patch(url, piece, at)
        at += len(piece)
    created(registry, registry.do_close(url, name), name, data)


def test_upload_url_of_the_post_stays_good(registry):
    data = os.urandom(42)
    url = registry.start()
    first = registry.do_patch(url, data[:22], 0)
    assert first.headers["Range"] == "0-21"
    again = registry.do_patch(url, data[:22], 0)
    assert again.status_code == 416, describe(again)
    assert again.headers["Range"] == "0-21"
    status = registry.do("GET", url)
    assert (status.status_code, status.headers["Range"]) == (204, "0-21"), describe(status)
    url = registry.patch(registry.url_of(status), data[22:], 22)
    created(registry, registry.do_close(url, digest(data)), digest(data), data)


@pytest.mark.parametrize("value", ["bytes 0-9/10", "0-", "-9", "9-0", "a-b", "0-99", "0-4"])
def test_bad_content_range(registry, value):
    """Malformed, or not as long as the body: 416 (or 400), and the upload is as it was."""
    url = registry.start()
    answer = registry.do("PATCH", url, data=b"0123456789", headers={"Content-Type": OCTETS, "Content-Range": value})
    if value.startswith("bytes"):  # a unit and a total are tolerated
        assert answer.status_code in (202, 400, 416), describe(answer)
        return
    expect_error(answer, (400, 416))
    status = registry.do("GET", url)
    assert (status.status_code, status.headers["Range"]) == (204, "0-0"), describe(status)


def test_status_of_an_upload(registry):
    url = registry.start()
    status = registry.do("GET", url)
    assert status.status_code == 204 and status.content == b"", describe(status)
    assert status.headers["Range"] == "0-0"
    assert registry.url_of(status)


def test_cancel(registry):
    url = registry.patch(registry.start(), os.urandom(100), 0)
    assert registry.do("DELETE", url).status_code == 204
    for answer in (registry.do("GET", url), registry.do("DELETE", url), registry.do_patch(url, b"x", 100),
                   registry.do_close(url, digest(b"x"))):
        expect_error(answer, 404, "BLOB_UPLOAD_UNKNOWN")


def test_unknown_upload(registry):
    for session in ("00000000-0000-4000-8000-000000000000", "nonsense"):
        expect_error(registry.do("GET", f"blobs/uploads/{session}"), 404, "BLOB_UPLOAD_UNKNOWN")


def test_upload_belongs_to_its_repository(registry, other):
    url = registry.start()
    expect_error(other.do("GET", url.replace(registry.repo, other.repo)), 404, "BLOB_UPLOAD_UNKNOWN")


@both
@pytest.mark.parametrize("data", [b"", b"{}"], ids=["empty", "empty json"])
def test_well_known_small_blobs(registry, algorithm, data):
    """Each way to push them; a zero byte body must not be taken for no body."""
    name = digest(data, algorithm)
    for push in (
        lambda: registry.do("POST", "blobs/uploads/", params={"digest": name}, data=data,
                            headers={"Content-Type": OCTETS, "Content-Length": str(len(data))}),
        lambda: registry.do_close(registry.start(), name, data),
        lambda: registry.do_close(registry.patch(registry.start(), data), name),
        lambda: registry.do_close(registry.patch(registry.start(), iter([data] if data else [])), name),
    ):
        created(registry, push(), name, data)
        assert registry.do("DELETE", f"blobs/{name}").status_code == 202
        assert not registry.has_blob(name)


def test_pushing_the_same_blob_twice(registry):
    data = os.urandom(2000)
    assert registry.push_blob(data) == registry.push_blob(data)


# -- wrong digests: refused, nothing stored

@both
@pytest.mark.parametrize("way", ["post only", "post+put", "chunked", "chunked, last in put", "stream"])
def test_bad_digest(registry, algorithm, way):
    data = os.urandom(3067)
    name = digest(data, algorithm)
    data += b"oh no"
    if way == "post only":
        answer = registry.do("POST", "blobs/uploads/", params={"digest": name}, data=data, headers={"Content-Type": OCTETS})
    elif way == "post+put":
        answer = registry.do_close(registry.start(), name, data)
    elif way == "stream":
        answer = registry.do_close(registry.patch(registry.start(), iter([data])), name)
    else:
        url = registry.patch(registry.start(), data[:1024], 0)
        if way == "chunked":
            answer = registry.do_close(registry.patch(url, data[1024:], 1024), name)
        else:
            answer = registry.do_close(url, name, data[1024:], 1024)
    expect_error(answer, 400, "DIGEST_INVALID")
    assert not registry.has_blob(name)


@pytest.mark.parametrize("name", ["", "sha256:123", "sha1:" + "0" * 40, "nonsense"])
def test_close_without_a_proper_digest(registry, name):
    url = registry.patch(registry.start(), b"data")
    answer = registry.do_close(url, name) if name else registry.do("PUT", url)
    expect_error(answer, 400, "DIGEST_INVALID", "UNSUPPORTED")


# -- mounts

@both
def test_mount_from(registry, other, algorithm):
    data = os.urandom(512)
    name = other.push_blob(data, algorithm)
    answer = registry.do("POST", "blobs/uploads/", params={"mount": name, "from": other.repo})
    created(registry, answer, name, data)
    # each repository has its own link
    assert registry.do("DELETE", f"blobs/{name}").status_code == 202
    assert not registry.has_blob(name)
    assert other.has_blob(name)


@both
def test_mount_without_from(registry, other, algorithm):
    data = os.urandom(512)
    name = other.push_blob(data, algorithm)
    answer = registry.do("POST", "blobs/uploads/", params={"mount": name})
    created(registry, answer, name, data)
    assert other.do("DELETE", f"blobs/{name}").status_code == 202
    assert not other.has_blob(name)
    check_stored(registry, name, data)


@pytest.mark.parametrize("source", ["other", "admin/never-existed", None, "NOT/a name"])
def test_mount_of_what_is_not_there_becomes_an_upload(registry, other, source):
    data = os.urandom(512)
    name = digest(data)
    other.push_blob(b"something else")
    params = {"mount": name}
    if source:
        params["from"] = other.repo if source == "other" else source
    answer = registry.do("POST", "blobs/uploads/", params=params)
    assert answer.status_code == 202, describe(answer)
    created(registry, registry.do_close(registry.url_of(answer), name, data), name, data)


def test_a_blob_is_readable_only_where_it_is_linked(registry, other):
    name = other.push_blob(os.urandom(100))
    assert not registry.has_blob(name)
    expect_error(registry.get_blob(name), 404, "BLOB_UNKNOWN", "NAME_UNKNOWN")


# -- ranges

@both
def test_ranges(registry, algorithm):
    data = os.urandom(2048)
    name = registry.push_blob(data, algorithm)
    for asked, first, last in (("500-1499", 500, 1499), ("500-", 500, 2047), ("-500", 1548, 2047), ("2000-5000", 2000, 2047),
                               ("0-0", 0, 0), ("0-", 0, 2047), ("-5000", 0, 2047), ("2047-2047", 2047, 2047)):
        answer = registry.get_blob(name, Range=f"bytes={asked}")
        assert answer.status_code == 206, f"{asked}: {describe(answer)}"
        assert answer.content == data[first:last + 1]
        assert answer.headers["Content-Length"] == str(last - first + 1)
        assert answer.headers["Content-Range"] == f"bytes {first}-{last}/2048"
    for asked in ("500-0", "5000-10000", "2048-", "-0"):
        answer = registry.get_blob(name, Range=f"bytes={asked}")
        assert answer.status_code == 416, f"{asked}: {describe(answer)}"
        assert answer.headers.get("Content-Range", "bytes */2048") == "bytes */2048"


def test_other_range_units_are_ignored(registry):
    data = os.urandom(100)
    name = registry.push_blob(data)
    answer = registry.get_blob(name, Range="lines=1-2")
    assert answer.status_code == 200 and answer.content == data


def test_large_blob_by_pieces(registry):
    data = os.urandom(3 << 20)
    name = registry.push_blob(data)
    step = 700_001
    got = b"".join(registry.get_blob(name, Range=f"bytes={i}-{i + step - 1}").content for i in range(0, len(data), step))
    assert got == data


# -- deletes

def test_delete_blob(registry):
    data = os.urandom(100)
    name = registry.push_blob(data)
    assert registry.do("DELETE", f"blobs/{name}").status_code == 202
    assert not registry.has_blob(name)
    expect_error(registry.do("DELETE", f"blobs/{name}"), 404, "BLOB_UNKNOWN")
    assert registry.push_blob(data) == name
    check_stored(registry, name, data)


def test_delete_of_a_blob_in_use_is_refused(registry):
    image = Image()
    registry.push(image, "v1")
    for blob in image.blobs:
        answer = registry.do("DELETE", f"blobs/{digest(blob)}")
        expect_error(answer, 405, "UNSUPPORTED", "DENIED")
        assert image.digest in answer.text
    assert registry.do("DELETE", f"manifests/{image.digest}").status_code == 202
    for blob in image.blobs:
        assert registry.do("DELETE", f"blobs/{digest(blob)}").status_code == 202
        assert not registry.has_blob(digest(blob))


# -- connections

def test_keep_alive_survives_errors(registry):
    """An error in between leaves the connection in step, also when it carried a body nobody wanted."""
    session = requests.Session()
    session.auth, session.trust_env = registry.session.auth, False
    data = os.urandom(700)
    name = registry.push_blob(data)
    for _ in range(3):
        assert session.get(registry.base + "manifests/none", data=b"ignored body", timeout=10).status_code == 404
        assert session.put(registry.base + "manifests/x", data=b"{", timeout=10).status_code in (400, 415)
        assert session.get(registry.base + f"blobs/{name}", timeout=10).content == data


def test_methods_that_do_not_exist(registry):
    for method, path in (("POST", "manifests/v1"), ("PUT", f"blobs/{digest(b'')}"), ("DELETE", "tags/list"),
                         ("PATCH", "manifests/v1"), ("POST", f"referrers/{digest(b'')}")):
        answer = registry.do(method, path)
        expect_error(answer, (404, 405))
