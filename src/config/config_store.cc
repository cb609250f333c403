#include "config/config_store.h"

namespace dtr::config {

Status check_key(std::string_view key) {
    const auto bad = [&] {
        return fail(ErrorCode::invalid, fmt::format("'{}' is not a configuration key", key.substr(0, 200)),
                    "keys are lower-case components joined by '/'");
    };
    if (key.empty() || key.size() > 200) return bad();
    std::size_t begin = 0;  // of the component
    for (std::size_t i = 0; i <= key.size(); ++i) {
        if (i < key.size() && key[i] != '/') {
            const char c = key[i];
            const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
            if (!plain) return bad();
            continue;
        }
        const std::string_view component = key.substr(begin, i - begin);
        if (component.empty() || component == "." || component == "..") return bad();
        begin = i + 1;
    }
    return {};
}

}  // namespace dtr::config
