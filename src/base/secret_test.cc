#include "base/secret.h"

#include <gtest/gtest.h>

#include <type_traits>

#include "base/random.h"
#include "base/result.h"

namespace dtr {
namespace {

template <class T>
concept Streamable = requires(std::ostream& out, const T& value) {
    out << value;
};
static_assert(!Streamable<Secret>, "a secret must not be printable");
static_assert(!fmt::is_formattable<Secret>::value, "a secret must not be formattable");
static_assert(!std::is_convertible_v<Secret, std::string> && !std::is_convertible_v<Secret, std::string_view>);
static_assert(!std::is_convertible_v<std::string, Secret>, "becoming a secret is said out loud");

TEST(Secret, HoldsCopiesAndMoves) {
    Secret a(std::string("a password that is long enough for the heap"));
    const Secret copy = a;
    EXPECT_EQ(copy.expose(), a.expose());
    const Secret moved = std::move(a);
    EXPECT_EQ(moved, copy);
    EXPECT_TRUE(a.empty());  // NOLINT: a moved-from secret is empty, by contract
    Secret b;
    b = moved;
    EXPECT_EQ(b, moved);
    Secret& alias = b;
    b = alias;
    EXPECT_EQ(b, moved);
    b = Secret("other");
    EXPECT_EQ(b.expose(), "other");
}

TEST(Secret, Compares) {
    EXPECT_EQ(Secret("x"), Secret("x"));
    EXPECT_FALSE(Secret("x") == Secret("y"));
    EXPECT_FALSE(Secret("x") == Secret("xx"));
    EXPECT_TRUE(equal_constant_time("", ""));
    EXPECT_FALSE(equal_constant_time("", "a"));
}

TEST(Secret, WipeOverwrites) {
    std::string bytes(64, 's');
    const char* const place = bytes.data();
    wipe(bytes);
    EXPECT_TRUE(bytes.empty());
    for (int i = 0; i < 64; ++i) EXPECT_EQ(place[i], '\0');  // the string still owns its memory
}

TEST(Random, ShapesAndSeeds) {
    SeededRandom a(1);
    SeededRandom b(1);
    SeededRandom c(2);
    EXPECT_EQ(a.bytes(100), b.bytes(100));
    EXPECT_NE(a.bytes(16), c.bytes(16));
    EXPECT_NE(system_random().bytes(16), system_random().bytes(16));
    EXPECT_EQ(random_hex(a, 8).size(), 16U);
    const std::string uuid = random_uuid(a);
    ASSERT_EQ(uuid.size(), 36U);
    EXPECT_EQ(uuid[14], '4');
    EXPECT_NE(std::string("89ab").find(uuid[19]), std::string::npos);
    EXPECT_EQ(random_password(a).size(), 24U);
}

TEST(Result, ErrorsSayWhereAndWhatToDo) {
    const Error error{ErrorCode::corrupt, "it is broken", "mend it"};
    EXPECT_EQ(error.in("the box").text(), "the box: it is broken (hint: mend it)");
    EXPECT_EQ(system_error(28 /* ENOSPC */, "cannot write").code, ErrorCode::no_space);
    EXPECT_EQ(system_error(2 /* ENOENT */, "cannot open").code, ErrorCode::not_found);
    EXPECT_TRUE((Error{ErrorCode::unavailable, "", ""}).retryable());
    EXPECT_FALSE(error.retryable());
}

}  // namespace
}  // namespace dtr
