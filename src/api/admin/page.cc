#include "api/admin/page.h"

#include "base/digest.h"
#include "base/encoding.h"

namespace dtr::api::admin {
namespace {

constexpr std::string_view kStyle =
    "body{font:16px/1.5 sans-serif;max-width:44em;margin:3em auto;padding:0 1em;color:#222}"
    "pre{background:#f2f2f2;padding:.8em;overflow-x:auto}";

// The style is the one thing on the page that a browser may act on.
const std::string& policy() {
    static const std::string text = [] {
        const auto digest = hex_decode(Digest::of(kStyle).hex());
        return fmt::format(
            "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'; "
            "frame-ancestors 'none'",
            base64_encode(digest ? *digest : std::string()));
    }();
    return text;
}

}  // namespace

std::string escape_html(std::string_view text) {
    std::string out;
    for (const char c : text) {
        switch (c) {
            case '&':
                out += "&amp;";
                break;
            case '<':
                out += "&lt;";
                break;
            case '>':
                out += "&gt;";
                break;
            case '"':
                out += "&quot;";
                break;
            case '\'':
                out += "&#39;";
                break;
            default:
                out += c;
        }
    }
    return out;
}

http::Response page(int status, std::string_view title, const std::vector<PagePart>& parts) {
    http::Response response;
    response.status = status;
    response.set("Content-Type", "text/html; charset=utf-8");
    response.set("Content-Security-Policy", policy());
    response.set("Cache-Control", "no-store");
    response.set("Referrer-Policy", "no-referrer");
    response.set("X-Content-Type-Options", "nosniff");
    response.set("X-Frame-Options", "DENY");
    response.body = fmt::format(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{0}</title><style>{1}</style></head>\n"
        "<body><h1>{0}</h1>\n",
        escape_html(title), kStyle);
    for (const PagePart& part : parts) {
        const std::string_view tag = part.kind == PagePart::Kind::code ? "pre" : "p";
        response.body += fmt::format("<{0}>{1}</{0}>\n", tag, escape_html(part.text));
    }
    response.body += "</body></html>\n";
    return response;
}

}  // namespace dtr::api::admin
