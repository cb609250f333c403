#include "registry/uploads.h"

#include <filesystem>
#include <set>
#include <thread>

#include "registry/test_registry.h"
#include "test/support/counting_faults.h"

namespace dtr::registry {
namespace {

using UploadsTest = RegistryTest;

std::string some_bytes(std::size_t size, std::uint64_t seed = 1) {
    return SeededRandom(seed).bytes(size);
}

TEST_F(UploadsTest, ChunksBecomeABlob) {
    const std::string bytes = some_bytes(300'000);
    const auto row = must(uploads().begin(start("alice/a")));
    EXPECT_EQ(row.offset, 0U);
    std::uint64_t sent = 0;
    for (const std::size_t size : {100'000U, 1U, 199'999U}) {
        must(send_chunk("alice/a", row.id, std::string_view(bytes).substr(sent, size)));
        sent += size;
        EXPECT_EQ(must(uploads().status("alice/a", row.id)).offset, sent);
    }
    EXPECT_FALSE(registry->blobs().stat("alice/a", Digest::of(bytes))) << "visible before the close";
    const auto object = must(close("alice/a", row.id, Digest::of(bytes)));
    EXPECT_EQ(object.size, bytes.size());
    EXPECT_EQ(must(pull("alice/a", Digest::of(bytes))), bytes);
    EXPECT_EQ(outcome(uploads().status("alice/a", row.id)).substr(0, 9), "not_found");
    EXPECT_TRUE(upload_files().empty());
    ASSERT_EQ(objects().size(), 1U);
    EXPECT_EQ(objects()[0].generation, object.generation);
}

TEST_F(UploadsTest, GoOnAfterEverythingWasReopened) {
    const std::string bytes = some_bytes(200'000);
    const auto row = must(uploads().begin(start("alice/a")));
    must(send_chunk("alice/a", row.id, std::string_view(bytes).substr(0, 70'001)));
    reopen();
    EXPECT_EQ(must(uploads().status("alice/a", row.id)).offset, 70'001U);
    must(send_chunk("alice/a", row.id, std::string_view(bytes).substr(70'001, 60'000)));
    reopen();
    must(close("alice/a", row.id, Digest::of(bytes), std::string_view(bytes).substr(130'001)));
    reopen();
    EXPECT_EQ(must(pull("alice/a", Digest::of(bytes))), bytes);
}

TEST_F(UploadsTest, ADigestThatDoesNotMatchChangesNothing) {
    const std::string bytes = some_bytes(5'000);
    const auto row = must(uploads().begin(start("alice/a")));
    must(send_chunk("alice/a", row.id, std::string_view(bytes).substr(0, 2'000)));
    const Digest wrong = Digest::of("something else");
    const auto refused = close("alice/a", row.id, wrong, std::string_view(bytes).substr(2'000));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::invalid);
    EXPECT_NE(refused.error().message.find(wrong.to_string()), std::string::npos);
    EXPECT_NE(refused.error().message.find(Digest::of(bytes).to_string()), std::string::npos);
    EXPECT_TRUE(objects().empty());
    EXPECT_FALSE(store->repositories().find("alice/a")) << "a failed push made the repository";
    EXPECT_EQ(must(uploads().status("alice/a", row.id)).offset, 2'000U) << "the refused chunk counts";
    // The client may send that chunk again and close properly.
    must(close("alice/a", row.id, Digest::of(bytes), std::string_view(bytes).substr(2'000)));
    EXPECT_EQ(must(pull("alice/a", Digest::of(bytes))), bytes);
}

TEST_F(UploadsTest, AnotherAlgorithmAtTheCloseHashesAgain) {
    const std::string bytes = some_bytes(3'000'000);
    const Digest sha512 = Digest::of(bytes, DigestAlgorithm::sha512);
    const auto row = must(uploads().begin(start("alice/a")));
    must(send_chunk("alice/a", row.id, std::string_view(bytes).substr(0, 1'234'567)));
    const auto object = must(close("alice/a", row.id, sha512, std::string_view(bytes).substr(1'234'567)));
    EXPECT_EQ(object.digest, sha512);
    EXPECT_EQ(must(pull("alice/a", sha512)), bytes);
    EXPECT_FALSE(registry->blobs().stat("alice/a", Digest::of(bytes))) << "only the name that the client gave";

    // That is done once: or else each further close costs as much as the upload.
    const auto other = must(uploads().begin(start("alice/a")));
    must(send_chunk("alice/a", other.id, bytes));
    const auto refused = close("alice/a", other.id, Digest::of("x", DigestAlgorithm::sha512));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::invalid);
    EXPECT_FALSE(refused.error().hint.empty());
    EXPECT_EQ(close("alice/a", other.id, sha512).error().code, ErrorCode::not_found);
}

TEST_F(UploadsTest, AnAlgorithmNamedAtTheStartIsKeptAcrossProcesses) {
    const std::string bytes = some_bytes(9'000);
    const auto row = must(uploads().begin(start("alice/a", DigestAlgorithm::sha512)));
    must(send_chunk("alice/a", row.id, std::string_view(bytes).substr(0, 4'000)));
    reopen();
    must(close("alice/a", row.id, Digest::of(bytes, DigestAlgorithm::sha512), std::string_view(bytes).substr(4'000)));
}

TEST_F(UploadsTest, OneRequestAtATime) {
    const auto row = must(uploads().begin(start("alice/a")));
    {
        const auto held = must(uploads().open("alice/a", row.id));
        const auto second = uploads().open("alice/a", row.id);
        ASSERT_FALSE(second);
        EXPECT_EQ(second.error().code, ErrorCode::conflict);
        EXPECT_TRUE(uploads().status("alice/a", row.id)) << "asking is always allowed";
        EXPECT_EQ(must(uploads().expire()), 0U);
    }
    EXPECT_TRUE(uploads().open("alice/a", row.id));
    // A failed open lets go, too.
    EXPECT_FALSE(uploads().open("alice/b", row.id));
    EXPECT_TRUE(uploads().open("alice/a", row.id));
}

TEST_F(UploadsTest, AnotherReplicaThatWentOnIsNoticed) {
    const auto row = must(uploads().begin(start("alice/a")));
    must(send_chunk("alice/a", row.id, "first "));
    Registry other(Context{*store, *blobs, clock, system_random(), Settings{}, upload_secret});
    auto here = must(uploads().open("alice/a", row.id));
    auto there = must(other.uploads().open("alice/a", row.id));
    must(there->append("from there"));
    must(there->suspend());
    must(here->append("from here"));
    const auto late = here->suspend();
    ASSERT_FALSE(late);
    EXPECT_EQ(late.error().code, ErrorCode::conflict);
}

TEST_F(UploadsTest, Cancel) {
    const auto row = must(uploads().begin(start("alice/a")));
    must(send_chunk("alice/a", row.id, "abc"));
    ASSERT_EQ(upload_files().size(), 1U);
    must(must(uploads().open("alice/a", row.id))->cancel());
    EXPECT_TRUE(upload_files().empty());
    EXPECT_EQ(outcome(uploads().status("alice/a", row.id)).substr(0, 9), "not_found");
    EXPECT_EQ(outcome(uploads().open("alice/a", row.id)).substr(0, 9), "not_found");
}

TEST_F(UploadsTest, UnknownIdsAndForeignRepositories) {
    const auto row = must(uploads().begin(start("alice/a")));
    for (const std::string& id :
         {std::string(), std::string("x"), std::string(32, 'g'), std::string("../../etc/passwd"), std::string(32, '0'),
          row.id + "0", std::string(100'000, 'a')}) {
        const auto answer = uploads().open("alice/a", id);
        ASSERT_FALSE(answer);
        EXPECT_EQ(answer.error().code, ErrorCode::not_found) << id.substr(0, 50);
        EXPECT_LT(answer.error().message.size(), 300U);
    }
    EXPECT_EQ(outcome(uploads().status("bob/a", row.id)).substr(0, 9), "not_found");
}

TEST_F(UploadsTest, ExpireUnlessSomebodyGoesOn) {
    const auto forgotten = must(uploads().begin(start("alice/a")));
    const auto used = must(uploads().begin(start("alice/a")));
    must(send_chunk("alice/a", forgotten.id, "abc"));
    must(send_chunk("alice/a", used.id, "abc"));
    const Micros most = Settings{}.upload_lifetime - kSecond;
    clock.advance(most);
    EXPECT_EQ(must(uploads().expire()), 0U);
    must(send_chunk("alice/a", used.id, "def"));
    clock.advance(2 * kSecond);
    EXPECT_EQ(outcome(uploads().status("alice/a", forgotten.id)).substr(0, 9), "not_found");
    EXPECT_EQ(must(uploads().expire()), 1U);
    EXPECT_EQ(upload_files(), std::vector<std::string>{used.id.substr(0, UploadSeal::kRowDigits)});
    EXPECT_FALSE(store->uploads().load(forgotten.id.substr(0, UploadSeal::kRowDigits)));
    must(close("alice/a", used.id, Digest::of("abcdef")));
}

TEST_F(UploadsTest, ASessionWithoutBytesCostsNothing) {
    std::set<std::string> ids;
    for (int i = 0; i < 100; ++i) ids.insert(must(uploads().begin(start("alice/a"))).id);
    EXPECT_EQ(ids.size(), 100U);
    EXPECT_TRUE(must(store->uploads().list_idle(start("alice/a").account_id, 1000)).empty());
    reopen();
    for (const std::string& id : ids) {
        EXPECT_EQ(must(uploads().status("alice/a", id)).offset, 0U);
        EXPECT_EQ(outcome(uploads().status("alice/b", id)).substr(0, 9), "not_found") << "sealed for one repository";
    }
    // Whatever is changed of it is not a session.
    const std::string id = *ids.begin();
    for (std::size_t i = 0; i < id.size(); ++i) {
        std::string other = id;
        other[i] = other[i] == '0' ? '1' : '0';
        EXPECT_EQ(outcome(uploads().status("alice/a", other)).substr(0, 9), "not_found") << i;
    }
    // It is closed as the empty blob, cancelled, or forgotten.
    must(close("alice/a", *ids.begin(), Digest::of("")));
    EXPECT_EQ(outcome(uploads().status("alice/a", *ids.begin())).substr(0, 9), "not_found");
    must(must(uploads().open("alice/a", *ids.rbegin()))->cancel());
    EXPECT_EQ(outcome(uploads().open("alice/a", *ids.rbegin())).substr(0, 9), "not_found");
    clock.advance(kDay + kSecond);
    EXPECT_EQ(outcome(uploads().status("alice/a", *std::next(ids.begin()))).substr(0, 9), "not_found");
    EXPECT_TRUE(upload_files().empty());
}

TEST_F(UploadsTest, ASessionWithBytesHasANameThatEndsWithIt) {
    const std::string sealed = must(uploads().begin(start("alice/a"))).id;
    std::string name;
    {
        const auto session = must(uploads().open("alice/a", sealed));
        EXPECT_EQ(session->id(), sealed);
        must(session->append("bytes"));
        must(session->suspend());
        name = session->id();
    }
    EXPECT_NE(name, sealed);
    for (const std::string& id : {name, sealed}) {
        EXPECT_EQ(must(uploads().status("alice/a", id)).id, name) << "clients may keep the first name";
        EXPECT_EQ(must(uploads().status("alice/a", id)).offset, 5U);
    }
    {
        const auto held = must(uploads().open("alice/a", name));
        EXPECT_EQ(uploads().open("alice/a", sealed).error().code, ErrorCode::conflict);
    }
    must(close("alice/a", name, Digest::of("bytes")));
    EXPECT_EQ(outcome(uploads().status("alice/a", sealed)).substr(0, 9), "not_found");
    reopen();  // which forgets that it is over
    EXPECT_EQ(outcome(uploads().status("alice/a", name)).substr(0, 9), "not_found");
    EXPECT_EQ(must(uploads().status("alice/a", sealed)).offset, 0U);
}

TEST_F(UploadsTest, ARestoreEndsSessionsWithoutBytes) {
    const std::string id = must(uploads().begin(start("alice/a"))).id;
    Registry other(Context{*store, *blobs, clock, system_random(), Settings{}, Secret("of the next epoch")});
    EXPECT_EQ(outcome(other.uploads().status("alice/a", id)).substr(0, 9), "not_found");
}

TEST_F(UploadsTest, AnAccountHasSoManySessionsAndTheIdleOnesGiveWay) {
    std::vector<std::string> ids;
    for (int i = 0; i < 1000; ++i) {
        ids.push_back(must(uploads().begin(start("alice/a"))).id);
        must(send_chunk("alice/a", ids.back(), "x"));
        if (i == 0) clock.advance(kMinute);
    }
    const auto more = must(uploads().begin(start("alice/a")));
    const auto refused = send_chunk("alice/a", more.id, "x");
    ASSERT_FALSE(refused) << "all are busy";
    EXPECT_EQ(refused.error().code, ErrorCode::exhausted);
    EXPECT_EQ(must(uploads().status("alice/a", more.id)).offset, 0U);
    auto other = start("bob/b");
    other.account_id = "22222222-2222-4222-8222-222222222222";
    must(send_chunk("bob/b", must(uploads().begin(other)).id, "x"));

    clock.advance(14 * kMinute + kSecond);
    {
        const auto held = must(uploads().open("alice/a", ids[0]));
        EXPECT_FALSE(send_chunk("alice/a", more.id, "x")) << "a session that is being written gave way";
    }
    must(send_chunk("alice/a", more.id, "x"));
    EXPECT_EQ(outcome(uploads().status("alice/a", ids[0])).substr(0, 9), "not_found");
    EXPECT_EQ(must(uploads().status("alice/a", ids[1])).offset, 1U);
    EXPECT_EQ(upload_files().size(), 1001U);
    EXPECT_FALSE(send_chunk("alice/a", must(uploads().begin(start("alice/a"))).id, "x"));
}

TEST_F(UploadsTest, ManyExpireAtOnce) {
    for (int i = 0; i < 250; ++i) must(send_chunk("alice/a", must(uploads().begin(start("alice/a"))).id, "x"));
    clock.advance(Settings{}.upload_lifetime + kSecond);
    EXPECT_EQ(must(uploads().expire()), 250U);
    EXPECT_EQ(must(uploads().expire()), 0U);
}

TEST_F(UploadsTest, BlobsHaveALimit) {
    Settings settings;
    settings.blob_bytes_max = 1000;
    reopen(settings);
    const auto row = must(uploads().begin(start("alice/a")));
    must(send_chunk("alice/a", row.id, std::string(600, 'x')));
    const auto over = send_chunk("alice/a", row.id, std::string(401, 'x'));
    ASSERT_FALSE(over);
    EXPECT_EQ(over.error().code, ErrorCode::invalid);
    must(close("alice/a", row.id, Digest::of(std::string(1000, 'x')), std::string(400, 'x')));
}

TEST_F(UploadsTest, TheReserveIsKeptFromTheStart) {
    blobs->free = Settings{}.free_bytes_reserve - 1;
    EXPECT_EQ(outcome(uploads().begin(start("alice/a"))).substr(0, 8), "no_space");
    EXPECT_EQ(outcome(uploads().begin_single(start("alice/a"))).substr(0, 8), "no_space");
    EXPECT_EQ(outcome(push_manifest("alice/a", image("{}", {}))).substr(0, 8), "no_space");
    blobs->free = Settings{}.free_bytes_reserve;
    EXPECT_TRUE(uploads().begin(start("alice/a")));
}

TEST_F(UploadsTest, TheReserveIsKeptOnTheWay) {
    const std::string piece(1U << 20, 'p');
    const auto row = must(uploads().begin(start("alice/a")));
    auto session = must(uploads().open("alice/a", row.id));
    must(session->append(piece));
    blobs->free = 0;
    Status went;
    int taken = 1;
    while (taken < 100 && (went = session->append(piece))) ++taken;
    ASSERT_FALSE(went) << "one upload may fill the disk";
    EXPECT_EQ(went.error().code, ErrorCode::no_space);
    EXPECT_LE(taken, 16);
    session.reset();
    EXPECT_EQ(must(uploads().status("alice/a", row.id)).offset, static_cast<std::size_t>(taken) * piece.size())
        << "progress is kept";
    // What was received may still be closed: that frees nothing, but needs next to nothing.
    std::string all;
    for (int i = 0; i < taken; ++i) all += piece;
    must(close("alice/a", row.id, Digest::of(all)));
}

TEST_F(UploadsTest, ReadOnlyTakesNothing) {
    must(push("alice/a", "there before"));
    const auto row = must(uploads().begin(start("alice/a")));
    must(send_chunk("alice/a", row.id, "abc"));
    Settings settings;
    settings.read_only = true;
    reopen(settings);
    EXPECT_EQ(outcome(uploads().begin(start("alice/a"))).substr(0, 7), "refused");
    EXPECT_EQ(outcome(uploads().begin_single(start("alice/a"))).substr(0, 7), "refused");
    EXPECT_EQ(outcome(send_chunk("alice/a", row.id, "def")).substr(0, 7), "refused");
    EXPECT_EQ(outcome(close("alice/a", row.id, Digest::of("abc"))).substr(0, 7), "refused");
    EXPECT_EQ(outcome(registry->blobs().mount("alice/b", "alice/a", Digest::of("there before"), "alice")).substr(0, 7),
              "refused");
    EXPECT_EQ(outcome(push_manifest("alice/a", image("{}", {}))).substr(0, 7), "refused");
    EXPECT_EQ(outcome(registry->repositories().admit_change()).substr(0, 7), "refused");
    EXPECT_EQ(must(pull("alice/a", Digest::of("there before"))), "there before");
    reopen();
    must(close("alice/a", row.id, Digest::of("abc")));
}

TEST_F(UploadsTest, AVanishedClientKeepsItsProgress) {
    const std::string bytes = some_bytes(50'000);
    const auto row = must(uploads().begin(start("alice/a")));
    {
        const auto session = must(uploads().open("alice/a", row.id));
        must(session->append(std::string_view(bytes).substr(0, 20'000)));
        must(session->append(std::string_view(bytes).substr(20'000, 10'000)));
    }  // the connection broke
    EXPECT_EQ(must(uploads().status("alice/a", row.id)).offset, 30'000U);
    must(close("alice/a", row.id, Digest::of(bytes), std::string_view(bytes).substr(30'000)));
}

TEST_F(UploadsTest, BytesThatWereLostAreNotInvented) {
    const auto row = must(uploads().begin(start("alice/a")));
    must(send_chunk("alice/a", row.id, "0123456789"));
    // As after power loss: the row survived, the file's end did not.
    std::filesystem::resize_file(directory.path() + "/registry/uploads/" + upload_files().at(0), 4);
    const auto closed = close("alice/a", row.id, Digest::of("0123456789"));
    ASSERT_FALSE(closed);
    EXPECT_EQ(closed.error().code, ErrorCode::corrupt);
    EXPECT_TRUE(objects().empty());
}

TEST_F(UploadsTest, TheEmptyBlob) {
    const Digest empty = Digest::of("");
    const auto row = must(uploads().begin(start("alice/a")));
    must(close("alice/a", row.id, empty));
    EXPECT_EQ(must(pull("alice/a", empty)), "");
    must(must(uploads().begin_single(start("alice/b")))->finish(empty, "alice"));
    EXPECT_EQ(must(pull("alice/b", empty)), "");
    EXPECT_TRUE(upload_files().empty());
}

TEST_F(UploadsTest, RewindForgetsTheRequestsBytes) {
    const auto row = must(uploads().begin(start("alice/a")));
    must(send_chunk("alice/a", row.id, "good "));
    {
        auto session = must(uploads().open("alice/a", row.id));
        must(session->append("bad"));
        session->rewind();
        EXPECT_EQ(session->offset(), 5U);
        must(session->append("better"));
        must(session->finish(Digest::of("good better"), "alice"));
    }
    EXPECT_EQ(must(pull("alice/a", Digest::of("good better"))), "good better");
    auto single = must(uploads().begin_single(start("alice/a")));
    must(single->append("bad"));
    single->rewind();
    must(single->append("again"));
    must(single->finish(Digest::of("again"), "alice"));
    EXPECT_EQ(must(pull("alice/a", Digest::of("again"))), "again");
}

// ---- in one request ----

TEST_F(UploadsTest, ASinglePushLeavesNoTrace) {
    must(push("alice/a", "in one request"));
    EXPECT_EQ(must(pull("alice/a", Digest::of("in one request"))), "in one request");
    EXPECT_TRUE(upload_files().empty());
    EXPECT_TRUE(must(store->uploads().list_expired(clock.now() * 2, 10)).empty());
}

TEST_F(UploadsTest, ASinglePushThatFailsLeavesNoFile) {
    EXPECT_EQ(outcome(push_single("alice/a", "bytes", Digest::of("others"))).substr(0, 7), "invalid");
    EXPECT_TRUE(upload_files().empty());
    {
        auto session = must(uploads().begin_single(start("alice/a")));
        must(session->append("half"));
        EXPECT_EQ(upload_files().size(), 1U);
    }  // the client went away
    EXPECT_TRUE(upload_files().empty());
    for (const char* point : {"disk.write", "disk.sync", "disk.rename"}) {
        const FailPoint fault(point, 1, ErrorCode::no_space);
        EXPECT_EQ(outcome(push("alice/a", "bytes")).substr(0, 8), "no_space") << point;
        EXPECT_TRUE(fault.hit()) << point;
        EXPECT_TRUE(upload_files().empty()) << point;
        EXPECT_TRUE(objects().empty()) << point;
    }
    EXPECT_FALSE(store->repositories().find("alice/a"));
    must(push("alice/a", "bytes"));
}

// ---- the same bytes twice ----

TEST_F(UploadsTest, OneObjectForAllRepositories) {
    const auto first = must(push("alice/a", "shared"));
    const auto row = must(uploads().begin(start("bob/b")));
    must(send_chunk("bob/b", row.id, "shared"));
    EXPECT_FALSE(registry->blobs().stat("bob/b", first.digest)) << "visible to who has not pushed it";
    const auto second = must(close("bob/b", row.id, first.digest));
    EXPECT_EQ(second.generation, first.generation);
    EXPECT_EQ(must(push("carol/c", "shared")).generation, first.generation);
    EXPECT_EQ(objects().size(), 1U);
    EXPECT_TRUE(upload_files().empty());
    must(store->content().unlink_blob("alice/a", first.digest, "alice"));
    EXPECT_FALSE(registry->blobs().stat("alice/a", first.digest));
    EXPECT_EQ(must(pull("bob/b", first.digest)), "shared");
}

TEST_F(UploadsTest, APushBringsLostBytesBack) {
    const auto object = must(push("alice/a", "precious"));
    std::filesystem::remove(object_path(object));
    const auto lost = pull("alice/a", object.digest);
    ASSERT_FALSE(lost);
    EXPECT_EQ(lost.error().code, ErrorCode::corrupt) << "the repository says it has it";
    EXPECT_EQ(must(push("alice/a", "precious")).generation, object.generation);
    EXPECT_EQ(must(pull("alice/a", object.digest)), "precious");

    std::filesystem::resize_file(object_path(object), 3);
    EXPECT_EQ(outcome(pull("alice/a", object.digest)).substr(0, 7), "corrupt");
    const auto row = must(uploads().begin(start("bob/b")));
    must(close("bob/b", row.id, object.digest, "precious"));
    EXPECT_EQ(must(pull("alice/a", object.digest)), "precious");
    EXPECT_EQ(objects().size(), 1U);
    EXPECT_TRUE(upload_files().empty());
}

TEST_F(UploadsTest, TwoPushesOfTheSameBytesAtOnceKeepOneObject) {
    const std::string bytes = some_bytes(40'000);
    // Both have found nothing before either continues: both commit an object of their own.
    std::atomic<int> arrived{0};
    blobs->before_commit = [&] {
        ++arrived;
        while (arrived < 2) std::this_thread::yield();
    };
    Result<meta::Object> results[2] = {fail(ErrorCode::internal, ""), fail(ErrorCode::internal, "")};
    {
        std::jthread one([&] { results[0] = push("alice/a", bytes); });
        std::jthread two([&] { results[1] = push("bob/b", bytes); });
    }
    blobs->before_commit = nullptr;
    ASSERT_TRUE(results[0]) << results[0].error().text();
    ASSERT_TRUE(results[1]) << results[1].error().text();
    EXPECT_EQ(results[0]->generation, results[1]->generation);
    ASSERT_EQ(objects().size(), 1U) << "the loser's file stayed";
    EXPECT_EQ(objects()[0].generation, results[0]->generation) << "the winner's file went";
    EXPECT_EQ(must(pull("alice/a", Digest::of(bytes))), bytes);
    EXPECT_EQ(must(pull("bob/b", Digest::of(bytes))), bytes);
}

TEST_F(UploadsTest, ManyThreadsPushTheSameAndDifferentBlobs) {
    registry->start();
    std::atomic<int> failures{0};
    {
        const std::jthread flushing([&](const std::stop_token& stop) {  // what the registry does every two seconds
            while (!stop.stop_requested()) registry->batches().flush();
        });
        std::vector<std::jthread> threads;
        for (int t = 0; t < 4; ++t)
            threads.emplace_back([&, t] {
                for (int i = 0; i < 12; ++i) {
                    const std::string shared = fmt::format("shared {}", i);
                    const std::string own = fmt::format("own {} {}", t, i);
                    const std::string repository = fmt::format("user{}/r", t % 2);
                    if (!push(repository, shared) || !push(repository, own)) ++failures;
                    const auto row = uploads().begin(start(repository));
                    if (!row || !send_chunk(repository, row->id, own + "x") ||
                        !close(repository, row->id, Digest::of(own + "xy"), "y"))
                        ++failures;
                    registry->batches().lease(Digest::of(shared));
                    if (pull(repository, Digest::of(shared)).value_or("") != shared) ++failures;
                }
            });
    }
    EXPECT_EQ(failures, 0);
    EXPECT_EQ(objects().size(), 12U + 48U + 48U);
    EXPECT_TRUE(upload_files().empty());
}

// ---- the metadata store fails ----

TEST_F(UploadsTest, AFailedCommitShowsNothing) {
    const Digest digest = Digest::of("bytes");
    const auto row = must(uploads().begin(start("alice/a")));
    must(send_chunk("alice/a", row.id, "bytes"));
    {
        const FailPoint fault("meta.commit");
        EXPECT_EQ(outcome(close("alice/a", row.id, digest)).substr(0, 11), "unavailable");
        EXPECT_TRUE(fault.hit());
    }
    for (int process = 0; process < 2; ++process) {
        EXPECT_EQ(outcome(registry->blobs().stat("alice/a", digest)).substr(0, 9), "not_found");
        EXPECT_EQ(outcome(store->content().find_object(digest)).substr(0, 9), "not_found");
        EXPECT_FALSE(store->repositories().find("alice/a")) << "half a push made the repository";
        reopen();
    }
    // The bytes were moved before the commit failed, so this session is over; the client begins again.
    EXPECT_EQ(outcome(close("alice/a", row.id, digest)).substr(0, 9), "not_found");
    must(push("alice/a", "bytes"));
    EXPECT_EQ(must(pull("alice/a", digest)), "bytes");
}

TEST_F(UploadsTest, ACommitWhoseAnswerWasLostKeptItsBytes) {
    const Digest digest = Digest::of("bytes");
    const auto row = must(uploads().begin(start("alice/a")));
    must(send_chunk("alice/a", row.id, "bytes"));
    {
        const FailPoint fault("meta.committed");
        EXPECT_EQ(outcome(close("alice/a", row.id, digest)).substr(0, 11), "unavailable");
    }
    EXPECT_EQ(must(pull("alice/a", digest)), "bytes");
    EXPECT_EQ(must(push("alice/a", "bytes")).digest, digest);
    EXPECT_EQ(objects().size(), 1U);
}

// Wherever a push of an image fails, readers see all of it or nothing, and it can be pushed again.
TEST_F(UploadsTest, NoFaultLeavesHalfAnImage) {
    int n = 0;
    for (bool hit = true; hit;) {
        ++n;
        const std::string layer = fmt::format("layer of try {}", n);
        const std::string config = fmt::format("{{\"try\":{}}}", n);
        const std::string manifest = image(config, {layer});
        const auto attempt = [&]() -> Status {
            DTR_ASSIGN(const auto row, uploads().begin(start("alice/a")));
            DTR_TRY(send_chunk("alice/a", row.id, std::string_view(layer).substr(0, 5)));
            DTR_TRY(close("alice/a", row.id, Digest::of(layer), std::string_view(layer).substr(5)));
            DTR_TRY(push("alice/a", config));
            DTR_TRY(push_manifest("alice/a", manifest, {"latest"}));
            return {};
        };
        Status went = fail(ErrorCode::internal, "not tried");
        {
            const test::FailNth fault(n, ErrorCode::unavailable);
            went = attempt();
            hit = fault.hit();
        }
        if (hit) reopen();
        const auto look = [&] {
            const auto stored = manifests().get_tagged("alice/a", "latest");
            if (!stored || stored->row.digest != Digest::of(manifest)) return went ? "gone" : "nothing";
            if (*stored->bytes != manifest) return "other bytes";
            if (pull("alice/a", Digest::of(layer)).value_or("") != layer) return "no layer";
            return pull("alice/a", Digest::of(config)).value_or("") == config ? "whole" : "no config";
        };
        const std::string seen = look();
        EXPECT_TRUE(seen == "whole" || seen == "nothing") << seen << " after a fault at point " << n;
        must(attempt());
        EXPECT_STREQ(look(), "whole") << "after a fault at point " << n;
        ASSERT_LT(n, 500);
    }
    EXPECT_GT(n, 20) << "the push passed hardly any fault point";
}

}  // namespace
}  // namespace dtr::registry
