#include "cli/print.h"

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>

#include "base/encoding.h"
#include "cli/program.h"
#include "sys/log.h"

namespace dtr::cli {
namespace {

std::atomic<bool> progress_is_shown{false};
std::atomic<int> data_error{0};  // errno of the first line that could not be written

// Bytes of the UTF-8 sequence that begins here; 0 if none does.
std::size_t sequence_at(std::string_view text) {
    for (std::size_t size = 1; size <= 4 && size <= text.size(); ++size)
        if (is_valid_utf8(text.substr(0, size))) return size;
    return 0;
}

std::uint32_t decode(std::string_view sequence) {
    const auto byte = [&](std::size_t i) {
        return static_cast<std::uint32_t>(static_cast<unsigned char>(sequence[i]));
    };
    if (sequence.size() == 1) return byte(0);
    std::uint32_t value = byte(0) & (0xffU >> (sequence.size() + 1));
    for (std::size_t i = 1; i < sequence.size(); ++i) value = value << 6U | (byte(i) & 0x3fU);
    return value;
}

bool is_unseen(std::uint32_t c) {
    return c < 0x20 || (c >= 0x7f && c < 0xa0) ||  // C0, DEL, C1
           c == 0xad || c == 0x61c || (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
           (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xfff9 && c <= 0xfffb) ||
           (c >= 0xe0000 && c <= 0xe007f);
}

std::string visible_but(std::string_view text, char kept) {
    std::string out;
    out.reserve(text.size());
    while (!text.empty()) {
        const std::size_t size = sequence_at(text);
        if (size == 0) {
            out += fmt::format("\\x{:02x}", static_cast<unsigned char>(text.front()));
            text.remove_prefix(1);
            continue;
        }
        const std::uint32_t c = decode(text.substr(0, size));
        if (is_unseen(c) && (kept == '\0' || c != static_cast<unsigned char>(kept)))
            out += c <= 0xffff ? fmt::format("\\u{:04x}", c) : fmt::format("\\U{:08x}", c);
        else
            out += text.substr(0, size);
        text.remove_prefix(size);
    }
    return out;
}

}  // namespace

std::string visible(std::string_view text) {
    return visible_but(text, '\0');
}

void print_line(std::string_view line) {
    static const bool terminal = ::isatty(STDOUT_FILENO) == 1;
    clear_progress();
    const std::string text = (terminal ? visible_but(line, '\t') : std::string(line)) + '\n';
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) data_error = errno;
}

Status flush_data() {
    if (std::fflush(stdout) != 0) data_error = errno;
    const int error = data_error.exchange(0);
    if (error == 0) return {};
    if (error == EPIPE) return fail(ErrorCode::cancelled, "the reader of stdout is gone");
    return fail(system_error(error, "cannot write to stdout"));
}

void say(std::string_view text) {
    clear_progress();
    if (log::format() == log::Format::json) return log::write(log::Level::info, text);
    std::fputs(fmt::format("{}: {}\n", program_name(), visible_but(text, '\0')).c_str(), stderr);
}

void say_json(std::string_view json) {
    clear_progress();
    std::fputs((visible(json) + '\n').c_str(), stderr);
}

void show_progress(std::string_view line) {
    static const bool terminal = ::isatty(STDERR_FILENO) == 1;
    if (!terminal) return;
    progress_is_shown = true;
    std::fputs(fmt::format("\r\033[K{}", visible(line)).c_str(), stderr);
}

void clear_progress() {
    if (progress_is_shown.exchange(false)) std::fputs("\r\033[K", stderr);
}

}  // namespace dtr::cli
