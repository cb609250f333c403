// Shared libraries that are loaded when they are needed: what few installations use, like libldap, costs the others neither
// memory nor time at the start.
#pragma once

#include <string>

#include "base/result.h"

namespace dtr {

// Loaded when made and never unloaded. Thread-safe once it is made.
class SharedLibrary {
  public:
    // `soname` is searched as the dynamic linker does, for instance "libcurl.so.4".
    explicit SharedLibrary(const char* soname);

    // Where a function or object of the library, or of those it needs, lies. Null: there is none, see usable().
    template <class Pointer>
    Pointer find(const char* name) {
        return reinterpret_cast<Pointer>(address_of(name));
    }

    // unavailable: the library is not there, or lacks something that was looked for.
    [[nodiscard]] Status usable() const;

  private:
    void* address_of(const char* name);

    std::string soname_;
    void* handle_;
    std::string problem_;
};

}  // namespace dtr

// Declares a member that is the address of what the library's header calls `name`. The class has a member
// `SharedLibrary library` before it.
#define DTR_SYMBOL(name) decltype(&::name) name = library.find<decltype(&::name)>(#name)
