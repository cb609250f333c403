#include "api/test_api.h"

namespace dtr::api::oci {
namespace {

class UploadsApiTest : public ApiTest {
  protected:
    Answer patch(const std::string& location, std::string bytes, const std::string& range = {}) {
        Call call("PATCH", location);
        if (!range.empty()) call.with("Content-Range", range);
        return call.as(alice).body(std::move(bytes)).to(application);
    }
    Answer put(const std::string& location, const std::string& digest, std::string bytes = {},
               const std::string& range = {}) {
        Call call("PUT", location + "?digest=" + digest);
        if (!range.empty()) call.with("Content-Range", range);
        return call.as(alice).body(std::move(bytes)).to(application);
    }
    std::string pulled(const std::string& location) { return ask("GET", location, alice).body; }
    static std::string digest_of(const std::string& bytes) { return Digest::of(bytes).to_string(); }
    static std::string sha512_of(const std::string& bytes) {
        return Digest::of(bytes, DigestAlgorithm::sha512).to_string();
    }
};

TEST_F(UploadsApiTest, InChunks) {
    const Answer begun = send("POST", "/v2/alice/chunks/blobs/uploads/", alice, "");
    EXPECT_EQ(begun.status, 202);
    const std::string location = begun.header("Location");
    EXPECT_TRUE(location.starts_with("/v2/alice/chunks/blobs/uploads/")) << location;
    EXPECT_EQ(location.find('?'), std::string::npos) << "clients add to the query";
    EXPECT_EQ(begun.header("Range"), "0-0");
    EXPECT_TRUE(begun.has("Docker-Upload-UUID"));
    EXPECT_EQ(begun.length, 0U);
    EXPECT_FALSE(begun.has("OCI-Chunk-Min-Length"));

    const Answer first = patch(location, "0123456789", "0-9");
    EXPECT_EQ(first.status, 202);
    EXPECT_EQ(first.header("Range"), "0-9");
    const std::string named = first.header("Location");
    EXPECT_NE(named, location) << "a session with bytes has a name of its own";
    EXPECT_TRUE(location.starts_with(named)) << named;
    const Answer second = patch(location, "abc", "10-12");
    EXPECT_EQ(second.header("Range"), "0-12");
    const Answer asked = ask("GET", location, alice);
    EXPECT_EQ(asked.status, 204);
    EXPECT_EQ(asked.header("Range"), "0-12");
    EXPECT_EQ(asked.header("Location"), named);
    EXPECT_EQ(ask("GET", named, alice).headers, asked.headers);
    const std::string digest = digest_of("0123456789abc");
    const Answer closed = put(location, digest);
    EXPECT_EQ(closed.status, 201);
    EXPECT_EQ(closed.header("Location"), "/v2/alice/chunks/blobs/" + digest);
    EXPECT_EQ(closed.header("Docker-Content-Digest"), digest);
    EXPECT_EQ(pulled(closed.header("Location")), "0123456789abc");
    for (const std::string& name : {location, named}) {
        const Answer over = ask("GET", name, alice);
        EXPECT_EQ(over.status, 404);
        EXPECT_EQ(over.error(), "BLOB_UPLOAD_UNKNOWN");
    }
}

TEST_F(UploadsApiTest, OutOfOrderIsRefusedAndSurvived) {
    const std::string location = begin_upload("alice/order", alice);
    const std::string named = patch(location, "0123456789", "0-9").header("Location");
    for (const char* range :
         {"0-9", "20-29", "9-18", "10-20", "10-18", "x", "10", "-", "19-10", "bytes=99999999999999999999-"}) {
        const Answer answer = patch(location, "abcdefghij", range);
        EXPECT_EQ(answer.status, 416) << range;
        EXPECT_EQ(answer.error(), "BLOB_UPLOAD_INVALID") << range;
        EXPECT_EQ(answer.header("Location"), named) << range;
        EXPECT_EQ(answer.header("Range"), "0-9") << range;
    }
    const std::string digest = digest_of("0123456789abcdefghij");
    EXPECT_EQ(put(location, digest, "abcdefghij", "0-9").status, 416) << "also at the close";
    // Asked with what the close had in its query, the session says where to continue.
    const Answer asked = ask("GET", location + "?digest=" + digest, alice);
    EXPECT_EQ(asked.status, 204);
    EXPECT_EQ(asked.header("Range"), "0-9");
    EXPECT_EQ(put(location, digest, "abcdefghij", "10-19").status, 201);
    EXPECT_EQ(pulled("/v2/alice/order/blobs/" + digest), "0123456789abcdefghij");
}

TEST_F(UploadsApiTest, AStreamedChunkIsHeldToItsRange) {
    const std::string location = begin_upload("alice/streamed", alice);
    const auto stream = [&](const std::string& bytes, const std::string& range) {
        Call call("PATCH", location);
        if (!range.empty()) call.with("Content-Range", range);
        return call.as(alice).stream(bytes).to(application);
    };
    EXPECT_EQ(stream("01234", "").status, 202);
    EXPECT_EQ(stream("5678", "5-9").status, 416) << "too short";
    EXPECT_EQ(stream("56789a", "5-9").status, 416) << "too long";
    EXPECT_EQ(ask("GET", location, alice).header("Range"), "0-4") << "refused bytes count";
    EXPECT_EQ(stream("56789", "bytes 5-9/10").status, 202);
    EXPECT_EQ(put(location, digest_of("0123456789")).status, 201);
}

TEST_F(UploadsApiTest, ABrokenConnectionCanBeResumed) {
    const std::string bytes = SeededRandom(3).bytes(100'000);
    const std::string location = begin_upload("alice/broken", alice);
    (void)Call("PATCH", location).as(alice).body(bytes).vanish_after(40'960).to(application);
    const Answer asked = ask("GET", location, alice);
    EXPECT_EQ(asked.header("Range"), "0-40959");
    EXPECT_EQ(patch(location, bytes.substr(40'960), "40960-99999").status, 202);
    EXPECT_EQ(put(location, digest_of(bytes)).status, 201);
}

TEST_F(UploadsApiTest, InOneRequest) {
    const std::string bytes = "monolithic";
    const Answer posted = send("POST", "/v2/alice/single/blobs/uploads/?digest=" + digest_of(bytes), alice, bytes);
    EXPECT_EQ(posted.status, 201);
    EXPECT_EQ(posted.header("Location"), "/v2/alice/single/blobs/" + digest_of(bytes));
    EXPECT_EQ(pulled(posted.header("Location")), bytes);
    const Answer wrong = send("POST", "/v2/alice/single/blobs/uploads/?digest=" + digest_of("x"), alice, bytes);
    EXPECT_EQ(wrong.status, 400);
    EXPECT_EQ(wrong.error(), "DIGEST_INVALID");
    const Answer streamed = Call("POST", "/v2/alice/single/blobs/uploads/?digest=" + digest_of("streamed"))
                                .as(alice)
                                .stream("streamed")
                                .to(application);
    EXPECT_EQ(streamed.status, 201);
    const Answer announced = send("POST", "/v2/alice/single/blobs/uploads/?digest=" + digest_of("later"), alice, "");
    EXPECT_EQ(announced.status, 202) << "without a body it begins a session";
    EXPECT_EQ(put(announced.header("Location"), digest_of("later"), "later").status, 201);
}

TEST_F(UploadsApiTest, TheEmptyBlobEachWay) {
    const std::string digest = digest_of("");
    EXPECT_EQ(send("POST", "/v2/alice/empty1/blobs/uploads/?digest=" + digest, alice, "").status, 201);
    EXPECT_EQ(send("POST", "/v2/alice/empty5/blobs/uploads/?digest=" + sha512_of(""), alice, "").status, 201);
    EXPECT_EQ(put(begin_upload("alice/empty2", alice), digest).status, 201);
    const std::string patched = begin_upload("alice/empty3", alice);
    const Answer nothing = patch(patched, "");
    EXPECT_EQ(nothing.status, 202);
    EXPECT_EQ(nothing.header("Range"), "0-0");
    EXPECT_EQ(put(patched, digest).status, 201);
    for (const char* name : {"empty1", "empty2", "empty3"}) {
        for (const char* method : {"GET", "HEAD"}) {
            const Answer answer = ask(method, fmt::format("/v2/alice/{}/blobs/{}", name, digest), alice);
            EXPECT_EQ(answer.status, 200) << name;
            EXPECT_EQ(answer.length, 0U);
        }
    }
}

TEST_F(UploadsApiTest, Sha512WithoutAHint) {
    const std::string bytes = "named by another hash";
    const std::string digest = sha512_of(bytes);
    const std::string location = begin_upload("alice/sha512", alice);
    EXPECT_EQ(patch(location, bytes).status, 202);
    const Answer closed = put(location, digest);
    EXPECT_EQ(closed.status, 201) << closed.body;
    EXPECT_EQ(closed.header("Docker-Content-Digest"), digest);
    EXPECT_EQ(pulled(closed.header("Location")), bytes);
    EXPECT_EQ(ask("HEAD", "/v2/alice/sha512/blobs/" + digest, alice).header("Docker-Content-Digest"), digest);
    EXPECT_EQ(ask("HEAD", "/v2/alice/sha512/blobs/" + digest_of(bytes), alice).status, 404);
    const Answer single = send("POST", "/v2/alice/sha512/blobs/uploads/?digest=" + sha512_of("one"), alice, "one");
    EXPECT_EQ(single.status, 201);
    EXPECT_EQ(single.header("Docker-Content-Digest"), sha512_of("one"));
}

TEST_F(UploadsApiTest, WithAHint) {
    const std::string location = begin_upload("alice/hint", alice, "?digest-algorithm=sha512");
    EXPECT_EQ(put(location, sha512_of("x"), "x").status, 201);
    const std::string other = begin_upload("alice/hint", alice, "?digest-algorithm=sha512");
    EXPECT_EQ(put(other, digest_of("x"), "x").status, 201) << "the close decides";
    const Answer unknown = send("POST", "/v2/alice/hint/blobs/uploads/?digest-algorithm=md5", alice, "");
    EXPECT_EQ(unknown.status, 400);
    EXPECT_EQ(unknown.error(), "DIGEST_INVALID");
}

TEST_F(UploadsApiTest, BadDigests) {
    const std::string location = begin_upload("alice/digests", alice);
    for (const char* bad : {"", "sha256:", "sha256:xyz", "sha256", "md5:d41d8cd98f00b204e9800998ecf8427e", "x"}) {
        const Answer closed = put(location, bad, "abc");
        EXPECT_EQ(closed.status, 400) << bad;
        EXPECT_EQ(closed.error(), "DIGEST_INVALID");
        EXPECT_EQ(send("POST", std::string("/v2/alice/digests/blobs/uploads/?digest=") + bad, alice, "abc").status, 400)
            << bad;
    }
    const Answer mismatch = put(location, digest_of("other"), "abc");
    EXPECT_EQ(mismatch.status, 400);
    EXPECT_EQ(mismatch.error(), "DIGEST_INVALID");
    EXPECT_EQ(ask("PUT", location, alice).error(), "DIGEST_INVALID") << "none at all";
    EXPECT_EQ(put(location, digest_of("abc"), "abc").status, 201) << "the session stands";
}

TEST_F(UploadsApiTest, Cancel) {
    const std::string location = begin_upload("alice/cancel", alice);
    EXPECT_EQ(patch(location, "abc").status, 202);
    EXPECT_EQ(ask("DELETE", location, alice).status, 204);
    for (const char* method : {"GET", "DELETE"}) {
        const Answer answer = ask(method, location, alice);
        EXPECT_EQ(answer.status, 404) << method;
        EXPECT_EQ(answer.error(), "BLOB_UPLOAD_UNKNOWN");
    }
    EXPECT_EQ(patch(location, "x").status, 404);
    EXPECT_EQ(put(location, digest_of("abc")).status, 404);
}

TEST_F(UploadsApiTest, ASessionBelongsToItsRepository) {
    const std::string location = begin_upload("alice/mine", alice);
    const std::string id = location.substr(location.rfind('/') + 1);
    EXPECT_EQ(patch("/v2/alice/other/blobs/uploads/" + id, "x").status, 404);
    EXPECT_EQ(ask("GET", location, bob).status, 403);
    EXPECT_EQ(patch("/v2/alice/mine/blobs/uploads/..%2F..%2Fetc", "x").status, 404);
    EXPECT_EQ(patch("/v2/alice/mine/blobs/uploads/" + std::string(31, 'a') + "%00", "x").status, 404);
}

TEST_F(UploadsApiTest, OneWriterAtATime) {
    const std::string location = begin_upload("alice/writers", alice);
    auto held =
        must(world.services().registry.uploads().open("alice/writers", location.substr(location.rfind('/') + 1)));
    const Answer second = patch(location, "abc");
    EXPECT_EQ(second.status, 409);
    EXPECT_EQ(second.error(), "BLOB_UPLOAD_INVALID");
    EXPECT_EQ(ask("GET", location, alice).status, 204);
    held.reset();
    EXPECT_EQ(patch(location, "abc").status, 202);
}

TEST_F(UploadsApiTest, Methods) {
    EXPECT_EQ(ask("GET", "/v2/alice/m/blobs/uploads/", alice).header("Allow"), "POST");
    const Answer post = ask("POST", begin_upload("alice/m", alice), alice);
    EXPECT_EQ(post.status, 405);
    EXPECT_EQ(post.error(), "UNSUPPORTED");
    EXPECT_EQ(ask("HEAD", begin_upload("alice/m", alice), alice).status, 204);
}

TEST_F(UploadsApiTest, AClosingPutWithoutBytesMaySayARangeOfThem) {
    for (const char* range : {"0-4", "bytes 0-4/5", "bytes */5", "5-5", "5-4", "0-0", "nonsense"}) {
        const std::string location = begin_upload("alice/closing", alice);
        EXPECT_EQ(Call("PATCH", location).as(alice).body("bytes").to(application).status, 202);
        const Answer closed = Call("PUT", location + "?digest=" + digest_of("bytes"))
                                  .with("Content-Range", range)
                                  .as(alice)
                                  .body("")
                                  .to(application);
        EXPECT_EQ(closed.status, 201) << range << ' ' << closed.body;
    }
    const std::string location = begin_upload("alice/closing", alice);
    EXPECT_EQ(Call("PATCH", location).as(alice).body("bytes").to(application).status, 202);
    const Answer more = Call("PUT", location + "?digest=" + digest_of("bytes"))
                            .with("Content-Range", "0-9")
                            .as(alice)
                            .body("")
                            .to(application);
    EXPECT_EQ(more.status, 416) << "bytes that never came";
}

// ---- mounts ----

TEST_F(UploadsApiTest, Mount) {
    const std::string digest = push_blob("alice/source", "to be mounted", alice);
    const Answer mounted = ask("POST", "/v2/alice/target/blobs/uploads/?mount=" + digest + "&from=alice/source", alice);
    EXPECT_EQ(mounted.status, 201);
    EXPECT_EQ(mounted.header("Location"), "/v2/alice/target/blobs/" + digest);
    EXPECT_EQ(mounted.header("Docker-Content-Digest"), digest);
    EXPECT_EQ(pulled(mounted.header("Location")), "to be mounted");
    // A token mounts from what it lets its holder pull, not from all that the account behind it may.
    const std::string narrow = token(alice, "repository:alice/target2:pull,push");
    const std::string both = token(alice, "repository:alice/target2:pull,push&scope=repository:alice/source:pull");
    for (const char* from : {"&from=alice/source", ""}) {
        const std::string path = "/v2/alice/target2/blobs/uploads/?mount=" + digest + from;
        EXPECT_EQ(ask("POST", path, narrow).status, 202) << path;
        EXPECT_EQ(ask("HEAD", "/v2/alice/target2/blobs/" + digest, alice).status, 404);
    }
    for (const char* from : {"&from=alice/source", ""}) {
        const std::string path = "/v2/alice/target2/blobs/uploads/?mount=" + digest + from;
        EXPECT_EQ(ask("POST", path, both).status, 201) << path;
        EXPECT_EQ(ask("DELETE", "/v2/alice/target2/blobs/" + digest, alice).status, 202);
    }
    const Answer without = ask("POST", "/v2/alice/target3/blobs/uploads/?mount=" + digest, alice);
    EXPECT_EQ(without.status, 201) << "some source is readable";
    const std::string sha512 = sha512_of("by sha512");
    EXPECT_EQ(send("POST", "/v2/alice/source/blobs/uploads/?digest=" + sha512, alice, "by sha512").status, 201);
    EXPECT_EQ(ask("POST", "/v2/alice/target/blobs/uploads/?mount=" + sha512 + "&from=alice/source", alice)
                  .header("Docker-Content-Digest"),
              sha512);
}

TEST_F(UploadsApiTest, AMountThatCannotBeBeginsAnUpload) {
    const std::string digest = push_blob("alice/guarded", "guarded bytes", alice);
    const std::string absent = digest_of("absent");
    const std::vector<std::string> queries = {
        "?mount=" + absent + "&from=alice/guarded", "?mount=" + absent,
        "?mount=" + digest + "&from=no/body",       "?mount=" + digest + "&from=../x",
        "?mount=" + digest + "&from=alice/guarded", "?mount=" + digest,
    };
    for (const std::string& query : queries) {
        const Answer answer = ask("POST", "/v2/bob/target/blobs/uploads/" + query, bob);
        EXPECT_EQ(answer.status, 202) << query;
        EXPECT_EQ(ask("GET", answer.header("Location"), bob).status, 204) << query;
    }
    EXPECT_EQ(ask("HEAD", "/v2/bob/target/blobs/" + digest, bob).status, 404);
    EXPECT_EQ(ask("POST", "/v2/bob/target/blobs/uploads/?mount=sha256:bad&from=alice/guarded", bob).error(),
              "DIGEST_INVALID");
}

// ---- limits ----

class LimitedApiTest : public ApiTest {
  protected:
    // The same replica with another registry over its stores.
    void limit(registry::Settings settings) {
        registry_ = world.registry(world.meta(), settings);
        limited_ = std::make_unique<Application>(world.services_over(*registry_));
    }
    Answer limited(const std::string& method, const std::string& target, std::string body = {}) {
        return Call(method, target).as(alice).body(std::move(body)).to(*limited_);
    }

  private:
    std::unique_ptr<registry::Registry> registry_;
    std::unique_ptr<Application> limited_;
};

TEST_F(LimitedApiTest, ABlobOverTheLimit) {
    registry::Settings settings;
    settings.free_bytes_reserve = 0;
    settings.blob_bytes_max = 1000;
    limit(settings);
    const std::string location = begin_upload("alice/limits", alice);
    const Answer over = limited("PATCH", location, std::string(1001, 'x'));
    EXPECT_EQ(over.status, 413);
    EXPECT_EQ(over.error(), "SIZE_INVALID");
    EXPECT_EQ(limited("PATCH", location, std::string(1000, 'x')).status, 202) << "the session stands where it stood";
    const std::string digest = Digest::of(std::string(1001, 'x')).to_string();
    EXPECT_EQ(limited("POST", "/v2/alice/limits/blobs/uploads/?digest=" + digest, std::string(1001, 'x')).status, 413);
}

TEST_F(LimitedApiTest, NoRoom) {
    const std::string location = begin_upload("alice/full", alice);
    const std::string manifest = push_image("alice/full", "v1", alice);
    registry::Settings settings;
    settings.free_bytes_reserve = std::uint64_t{1} << 62;
    limit(settings);
    for (const Answer& answer :
         {limited("POST", "/v2/alice/full/blobs/uploads/"), limited("PATCH", location, "abc"),
          limited("POST", "/v2/alice/full/blobs/uploads/?digest=" + Digest::of("abc").to_string(), "abc"),
          limited("PUT", "/v2/alice/full/manifests/v2", manifest)}) {
        EXPECT_EQ(answer.status, 507) << answer.body;
        EXPECT_EQ(answer.error(), "NO_SPACE");
    }
    EXPECT_EQ(limited("GET", "/v2/alice/full/manifests/v1").status, 200) << "pulls continue";
    EXPECT_EQ(limited("DELETE", "/v2/alice/full/manifests/v1").status, 202) << "and deletes, which free room";
}

TEST_F(LimitedApiTest, ReadOnly) {
    const std::string location = begin_upload("alice/quiet", alice);
    const std::string manifest = push_image("alice/quiet", "v1", alice);
    push_blob("alice/quiet", "unused", alice);
    const std::string digest = Digest::of(manifest).to_string();
    registry::Settings settings;
    settings.free_bytes_reserve = 0;
    settings.read_only = true;
    limit(settings);
    for (const Answer& answer :
         {limited("POST", "/v2/alice/quiet/blobs/uploads/"), limited("PATCH", location, "abc"),
          limited("PUT", location + "?digest=" + Digest::of("").to_string()),
          limited("POST", "/v2/alice/quiet/blobs/uploads/?digest=" + Digest::of("abc").to_string(), "abc"),
          limited("POST",
                  "/v2/alice/quiet2/blobs/uploads/?mount=" + Digest::of("unused").to_string() + "&from=alice/quiet"),
          limited("PUT", "/v2/alice/quiet/manifests/v2", manifest), limited("DELETE", "/v2/alice/quiet/manifests/v1"),
          limited("DELETE", "/v2/alice/quiet/manifests/" + digest),
          limited("DELETE", "/v2/alice/quiet/blobs/" + Digest::of("unused").to_string()),
          limited("PUT", "/api/v0/repositories/alice/quiet", R"({"visibility":"public"})"),
          limited("DELETE", "/api/v0/repositories/alice/quiet")}) {
        EXPECT_EQ(answer.status, 405) << answer.body;
        EXPECT_EQ(answer.error(), "UNSUPPORTED");
    }
    EXPECT_EQ(limited("GET", "/v2/alice/quiet/manifests/v1").status, 200);
    EXPECT_EQ(limited("GET", "/v2/alice/quiet/blobs/" + Digest::of("unused").to_string()).status, 200);
}

}  // namespace
}  // namespace dtr::api::oci
