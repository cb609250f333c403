#include "sys/shared_library.h"

#include <gtest/gtest.h>
#include <zlib.h>

namespace dtr {
namespace {

struct Zlib {
    SharedLibrary library{"libz.so.1"};
    DTR_SYMBOL(crc32);
    DTR_SYMBOL(zlibVersion);
};

TEST(SharedLibrary, FindsWhatTheHeaderDeclares) {
    const Zlib zlib;
    ASSERT_TRUE(zlib.library.usable());
    const std::string text = "123456789";
    EXPECT_EQ(zlib.crc32(0, reinterpret_cast<const Bytef*>(text.data()), static_cast<uInt>(text.size())), 0xcbf43926U);
    EXPECT_EQ(zlib.zlibVersion()[0], ZLIB_VERSION[0]);
}

TEST(SharedLibrary, SaysWhatIsNotThere) {
    SharedLibrary library("libno-such-thing.so.1");
    EXPECT_EQ(library.find<void (*)()>("anything"), nullptr);
    const auto usable = library.usable();
    ASSERT_FALSE(usable);
    EXPECT_EQ(usable.error().code, ErrorCode::unavailable);
    EXPECT_NE(usable.error().text().find("cannot load libno-such-thing.so.1"), std::string::npos)
        << usable.error().text();
    EXPECT_EQ(usable.error().text().find("anything"), std::string::npos);
}

TEST(SharedLibrary, SaysWhatItLacks) {
    SharedLibrary library("libz.so.1");
    EXPECT_EQ(library.find<void (*)()>("no_such_function"), nullptr);
    const auto usable = library.usable();
    ASSERT_FALSE(usable);
    EXPECT_NE(usable.error().text().find("no_such_function"), std::string::npos) << usable.error().text();
}

}  // namespace
}  // namespace dtr
