// Entry names: nothing but what the grammar makes, and no order but the one; one name a line.
#include "archive/names.h"

#include <set>

#include "fuzz/sample.h"

namespace dtr::fuzz {

void one(std::string_view input) {
    const archive::Header header = sample_header();
    archive::EntryOrder order;
    std::set<std::string> admitted;
    int count = 0;
    while (!input.empty() && ++count < 200) {
        const std::string_view text = input.substr(0, input.find('\n'));
        input.remove_prefix(std::min(input.size(), text.size() + 1));
        archive::is_prefix_directory(text);
        const auto name = archive::parse_entry_name(text);
        if (!name) {
            FUZZ_CHECK(name.error().code == ErrorCode::corrupt && name.error().message.size() < 1000);
            continue;
        }
        FUZZ_CHECK(name->text == text && !text.empty() && text.size() <= 200);
        FUZZ_CHECK(text.front() != '/' && text.find("..") != 0 && text.find("/../") == std::string_view::npos);
        for (const char c : text) FUZZ_CHECK(c > ' ' && c < 0x7f && c != '\\');
        if (admitted.size() == 2) order.set_header(header);
        if (!order.admit(*name)) break;
        FUZZ_CHECK(admitted.insert(name->text).second);
    }
}

}  // namespace dtr::fuzz
