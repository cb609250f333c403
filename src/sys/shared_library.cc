#include "sys/shared_library.h"

#include <dlfcn.h>

namespace dtr {
namespace {

std::string last_problem() {
    const char* const text = ::dlerror();
    return text == nullptr ? "unknown" : text;
}

}  // namespace

SharedLibrary::SharedLibrary(const char* soname) : soname_(soname), handle_(::dlopen(soname, RTLD_NOW | RTLD_LOCAL)) {
    if (handle_ == nullptr) problem_ = last_problem();
}

void* SharedLibrary::address_of(const char* name) {
    if (handle_ == nullptr) return nullptr;
    void* const address = ::dlsym(handle_, name);
    if (address == nullptr) problem_ = last_problem();
    return address;
}

Status SharedLibrary::usable() const {
    if (problem_.empty()) return {};
    return fail(ErrorCode::unavailable, fmt::format("cannot load {}: {}", soname_, problem_),
                "install the package that contains this library");
}

}  // namespace dtr
