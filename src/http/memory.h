// The memory that bodies and answers take while they wait for slow clients: one budget for all.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <utility>

#include "base/mutex.h"
#include "http/shares.h"

namespace dtr::http {

using SharedBytes = std::shared_ptr<const std::string>;

// Thread-safe.
class Memory {
  public:
    // As little is not counted: what many small requests take is bounded by the number of connections.
    static constexpr std::size_t kFreeBytes = 8U << 10;

    Memory(std::size_t bytes_max, Shares::Rule rule) : shares_(bytes_max, rule) {}

    // What one request holds: given back with it.
    class Hold {
      public:
        Hold(Memory& memory, const ClientKey& client) : memory_(memory), client_(client) {}
        ~Hold() { release(); }
        Hold(const Hold&) = delete;
        Hold& operator=(const Hold&) = delete;

        // From now on so many bytes. False: the budget, or the client's part of it, does not allow it.
        [[nodiscard]] bool keep(std::size_t bytes);
        // These bytes, which count once however many requests hold them.
        [[nodiscard]] bool keep(const SharedBytes& bytes);
        void release();

      private:
        Memory& memory_;
        const ClientKey client_;
        std::size_t own_ = 0;
        SharedBytes shared_;
    };

    [[nodiscard]] std::size_t used() const { return shares_.used(); }

  private:
    struct Owner {
        ClientKey client;  // who was first
        std::size_t holds = 0;
    };

    bool keep_shared(const ClientKey& client, const SharedBytes& bytes);
    void drop_shared(const SharedBytes& bytes);

    Shares shares_;
    Mutex mutex_;
    std::unordered_map<const std::string*, Owner> shared_ GUARDED_BY(mutex_);
};

// Has freed memory go back to the system, rather than wait for the next of its size: before any thread, once a process.
void prefer_small_heap();
// Gives back what is free. Takes some milliseconds.
void shrink_heap();

}  // namespace dtr::http
