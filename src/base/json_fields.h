// Fields of a JSON object that may be missing or of another type: they count as empty, 0 or false.
//
// For documents that we or our own programs wrote, and for optional fields; where a wrong type is an error, say so instead.
// `Object` is boost::json::object; as a template this needs no header of a vendor, and every folder may use it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace dtr {

template <class Object>
std::string text_field(const Object& fields, std::string_view name) {
    const auto* value = fields.if_contains(name);
    return value != nullptr && value->is_string() ? std::string(std::string_view(value->get_string())) : std::string();
}

template <class Object>
std::int64_t integer_field(const Object& fields, std::string_view name) {
    const auto* value = fields.if_contains(name);
    return value != nullptr && value->is_int64() ? value->get_int64() : 0;
}

template <class Object>
bool flag_field(const Object& fields, std::string_view name) {
    const auto* value = fields.if_contains(name);
    return value != nullptr && value->is_bool() && value->get_bool();
}

}  // namespace dtr
