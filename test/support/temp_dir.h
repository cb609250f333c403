// A directory that lives as long as the test.
#pragma once

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

namespace dtr::test {

// Where tests that sync thousands of times keep their files: memory, if this system has such a filesystem.
inline std::string quick_directory() {
    const std::string memory = "/dev/shm";
    return ::access(memory.c_str(), W_OK) == 0 ? memory : std::filesystem::temp_directory_path().string();
}

class TempDir {
  public:
    TempDir() : TempDir(std::filesystem::temp_directory_path().string()) {}
    explicit TempDir(const std::string& parent) {
        std::string pattern = parent + "/dtr-test-XXXXXX";
        if (::mkdtemp(pattern.data()) == nullptr) std::abort();
        path_ = pattern;
    }
    ~TempDir() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    TempDir(const TempDir&) = delete;
    TempDir& operator=(const TempDir&) = delete;
    [[nodiscard]] const std::string& path() const { return path_; }

  private:
    std::string path_;
};

// With everything in it; links stay links.
inline void copy_directory(const std::string& from, const std::string& to) {
    std::filesystem::copy(from, to,
                          std::filesystem::copy_options::recursive | std::filesystem::copy_options::copy_symlinks |
                              std::filesystem::copy_options::overwrite_existing);
}

}  // namespace dtr::test
