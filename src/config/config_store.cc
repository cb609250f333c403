#include "config/config_store.h"

namespace dtr::config {

Status check_key(std::string_view key) {
    const auto bad = [&] {
        return fail(ErrorCode::invalid, fmt::format("'{}' is not a configuration key", key.substr(0, 200)),
                    "keys are lower-case components joined by '/'");
    };
    if (key.empty() || key.size() > 200) return bad();
    bool component_open = false;
    for (const char c : key) {
        const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
        if (!plain && (c != '/' || !component_open)) return bad();
        component_open = plain;
    }
    if (!component_open) return bad();
    return {};
}

}  // namespace dtr::config
