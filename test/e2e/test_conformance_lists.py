"""OCI Distribution 1.1 from the specification: tag lists, the catalog, referrers, and the grammar of names (section
"Content Discovery")."""

import os
import re
from urllib.parse import urljoin

import pytest

from oci import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, Artifact, Image, Index, Registry, describe, descriptor, digest, expect_error

TYPE_A, TYPE_B = "application/vnd.example.oci.a.v1", "application/vnd.example.b+json"


def next_link(answer):
    match = re.fullmatch(r'<([^>]+)>;\s*rel="?next"?', answer.headers.get("Link", ""))
    return urljoin(answer.request.url, match.group(1)) if match else None


def push_tags(registry, tags):
    image = Image()
    registry.push(image)
    for tag in tags:
        assert registry.do_put(tag, image.manifest).status_code == 201
    return image


# -- tags

def test_tags_of_an_unknown_repository(registry):
    answer = registry.do("GET", "tags/list")
    if answer.status_code != 200:
        expect_error(answer, 404, "NAME_UNKNOWN")


def test_tags_in_byte_order(registry):
    tags = ["b", "B", "_x", "a-1", "a.1", "a_1", "a", "10", "9", "Z9", "z0"]
    push_tags(registry, tags)
    assert registry.tags() == sorted(tags)
    assert registry.do("GET", "tags/list").headers["Content-Type"].split(";")[0] == "application/json"


def test_tag_pages(registry):
    tags = sorted(f"t{i:02}" for i in range(11)) + ["z"]
    push_tags(registry, tags)
    for n in (1, 2, 5, 11):
        got, url, pages = [], f"tags/list?n={n}", 0
        while url:
            answer = registry.do("GET", url)
            assert answer.status_code == 200, describe(answer)
            page = answer.json()["tags"]
            assert len(page) <= n and page, describe(answer)
            got += page
            url, pages = next_link(answer), pages + 1
        assert got == tags
        assert pages == -(-len(tags) // n)
    for n in (12, 13, 1000):
        answer = registry.do("GET", f"tags/list?n={n}")
        assert answer.json()["tags"] == tags and "Link" not in answer.headers
    assert registry.tags(n=0) == []


def test_tag_list_after(registry):
    tags = ["a", "b", "c", "d"]
    push_tags(registry, tags)
    assert registry.tags(last="b") == ["c", "d"]
    assert registry.tags(last="b", n=1) == ["c"]
    assert registry.tags(last="bb") == ["c", "d"]  # need not exist
    assert registry.tags(last="d") == []
    assert registry.tags(last="A") == tags


@pytest.mark.parametrize("n", ["-1", "x", "99999999999999999999", "1.5", ""])
def test_bad_page_size(registry, n):
    push_tags(registry, ["a"])
    answer = registry.do("GET", f"tags/list?n={n}")
    if answer.status_code != 200:
        expect_error(answer, 400)


# -- catalog

def test_catalog(server, registry):
    names = [f"{registry.repo}/c{i}" for i in range(5)]
    for name in names:
        Registry(server, name).push(Image(), "v1")
    session = server.session()
    whole = session.get(server.url + "/v2/_catalog", params={"n": 1000}, timeout=10)
    assert whole.status_code == 200, describe(whole)
    listed = whole.json()["repositories"]
    assert listed == sorted(listed) and set(names) <= set(listed)
    got, url = [], server.url + "/v2/_catalog?n=2"
    while url:
        answer = session.get(url, timeout=10)
        assert len(answer.json()["repositories"]) <= 2
        got += answer.json()["repositories"]
        url = next_link(answer)
    assert got == listed
    after = session.get(server.url + "/v2/_catalog", params={"n": 2, "last": names[1]}, timeout=10).json()["repositories"]
    assert after[:2] == names[2:4]


# -- referrers

@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_no_referrers(registry, algorithm):
    """Unknown subject, even in a repository nobody pushed to yet: an empty index."""
    assert registry.referrers(digest(os.urandom(9), algorithm)) == []
    registry.push(Image())
    assert registry.referrers(digest(os.urandom(9), algorithm)) == []


def test_referrers_of_a_malformed_digest(registry):
    expect_error(registry.do("GET", "referrers/sha256:bad"), 400, "DIGEST_INVALID", "NAME_INVALID")


def expected(item, artifact_type, annotations=None):
    entry = {"mediaType": item.media_type, "digest": item.digest, "size": len(item.manifest), "artifactType": artifact_type,
             "annotations": annotations}
    return {k: v for k, v in entry.items() if v}


def by_digest(entries):
    return sorted(entries, key=lambda e: e["digest"])


@pytest.mark.parametrize("subject_first", [True, False])
def test_referrers(registry, subject_first):
    subject = Image()
    about = subject.descriptor()
    notes = {"org.example.note": "hello", "org.example.other": os.urandom(4).hex()}
    a1 = Artifact(TYPE_A, about, annotations=notes)
    a2 = Artifact(config_type=TYPE_A, subject=about)
    b1 = Artifact(TYPE_B, about, annotations=notes)
    image = Image(subject=about)
    index = Index(images=[a1, b1], subject=about, artifactType="application/vnd.example.set", annotations=notes)
    bare = Index(images=[], subject=about)
    if subject_first:
        registry.push(subject, "subject")
    for item in (a1, a2, b1, image, index, bare):
        assert registry.push(item).headers["OCI-Subject"] == subject.digest
    if not subject_first:
        assert "OCI-Subject" not in registry.push(subject, "subject").headers

    entries = [expected(a1, TYPE_A, notes), expected(a2, TYPE_A), expected(b1, TYPE_B, notes), expected(image, OCI_CONFIG),
               expected(index, "application/vnd.example.set", notes), expected(bare, None)]
    assert by_digest(registry.referrers(subject.digest)) == by_digest(entries)

    for wanted in (TYPE_A, TYPE_B, OCI_CONFIG, "application/vnd.example.set", "application/vnd.example.none"):
        answer = registry.do("GET", f"referrers/{subject.digest}", params={"artifactType": wanted})
        assert answer.status_code == 200 and answer.headers["Content-Type"] == OCI_INDEX, describe(answer)
        assert answer.headers["OCI-Filters-Applied"] == "artifactType"
        assert by_digest(answer.json()["manifests"]) == by_digest([e for e in entries if e.get("artifactType") == wanted])

    assert registry.do("DELETE", f"manifests/{a2.digest}").status_code == 202
    assert by_digest(registry.referrers(subject.digest)) == by_digest(e for e in entries if e["digest"] != a2.digest)
    # the subject may go; what refers to it stays
    assert registry.do("DELETE", f"manifests/{subject.digest}").status_code == 202
    assert len(registry.referrers(subject.digest)) == len(entries) - 1


def test_missing_subject(registry):
    subject = descriptor(OCI_MANIFEST, os.urandom(123))
    artifact = Artifact(TYPE_A, subject)
    assert registry.push(artifact, "tagged").headers["OCI-Subject"] == subject["digest"]
    assert [e["digest"] for e in registry.referrers(subject["digest"])] == [artifact.digest]


def test_sha512_subject(registry):
    subject = Image(algorithm="sha512")
    registry.push(subject)
    artifact = Artifact(TYPE_A, subject.descriptor())
    assert registry.push(artifact).headers["OCI-Subject"] == subject.digest
    assert [e["digest"] for e in registry.referrers(subject.digest)] == [artifact.digest]


def test_referrers_stay_in_their_repository(registry, other):
    subject = Image()
    registry.push(subject)
    other.push(subject)
    artifact = Artifact(TYPE_A, subject.descriptor())
    registry.push(artifact)
    assert other.referrers(subject.digest) == []


def test_many_referrers_page(registry):
    subject = Image()
    registry.push(subject)
    pushed = set()
    for i in range(40):
        artifact = Artifact(TYPE_A, subject.descriptor(), body=b"same", annotations={"n": str(i)})
        registry.push(artifact, blobs=i == 0)
        pushed.add(artifact.digest)
    got, url = [], f"referrers/{subject.digest}"
    while url:
        answer = registry.do("GET", url)
        got += [e["digest"] for e in answer.json()["manifests"]]
        url = next_link(answer)
    assert len(got) == 40 and set(got) == pushed


# -- names

@pytest.mark.parametrize("suffix", ["a", "a/b/c/d/e/f", "a.b", "a_b", "a__b", "a-b", "a---b", "0", "x" * 100, "a.b_c__d-e"])
def test_good_names(server, registry, suffix):
    repository = Registry(server, f"{registry.repo}/{suffix}")
    image = Image()
    repository.push(image, "v1")
    assert repository.tags() == ["v1"]
    repository.pull("v1")


def test_administrator_may_use_any_name(server):
    for name in (f"conformance-{os.urandom(4).hex()}", f"conformance{os.urandom(4).hex()}/repo1"):
        Registry(server, name).push(Image(), "v1")


def test_longest_name(server, registry):
    name = registry.repo + "/" + "n" * (255 - len(registry.repo) - 1)
    Registry(server, name).push(Image(), "v1")
    answer = Registry(server, name + "n" * 2).do("POST", "blobs/uploads/")
    expect_error(answer, (400, 404), "NAME_INVALID")


@pytest.mark.parametrize("name", ["UPPER", "a..b", "a___b", ".a", "a.", "-a", "a-", "_a", "a/", "a//b", "a%20b", "ä", "a/-b",
                                  "a._b", "a@b"])
def test_bad_names(server, registry, name):
    repository = Registry(server, f"{registry.repo}/{name}")
    answer = repository.do("POST", "blobs/uploads/")
    expect_error(answer, (400, 404), "NAME_INVALID", "UNSUPPORTED", "NAME_UNKNOWN")


@pytest.mark.parametrize("word", ["blobs", "manifests", "tags", "uploads", "referrers", "tags/list"])
def test_names_made_of_route_words(server, registry, word):
    """The last route word of a path is the one that counts."""
    repository = Registry(server, f"{registry.repo}/{word}")
    image = Image()
    repository.push(image, "v1")
    assert repository.tags() == ["v1"]
    repository.pull("v1")
    assert repository.referrers(image.digest) == []
