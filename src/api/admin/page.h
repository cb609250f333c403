// Pages for people: whole in one answer, no script, nothing loaded from anywhere, kept by nobody.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "http/message.h"

namespace dtr::api::admin {

struct PagePart {
    enum class Kind { paragraph, code } kind = Kind::paragraph;
    std::string text;  // as it should be read: escaped on the way out
};

http::Response page(int status, std::string_view title, const std::vector<PagePart>& parts);
std::string escape_html(std::string_view text);

}  // namespace dtr::api::admin
