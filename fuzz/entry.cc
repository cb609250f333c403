#include "fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    dtr::fuzz::one(size == 0 ? std::string_view() : std::string_view(reinterpret_cast<const char*>(data), size));
    return 0;
}
