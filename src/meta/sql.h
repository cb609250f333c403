// The seam between the stores and a database engine: connections, prepared statements, transactions. The stores are
// written once against it; an engine (meta/<engine>/) supplies a Database.
//
// Statements are portable SQL with the placeholders ?1, ?2, ... (an engine that spells them otherwise translates when
// it prepares). Integers are 64 bits; text compares in byte order.
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/result.h"
#include "meta/types.h"

namespace dtr::meta::sql {

// A statement with a name for messages. Made once, never destroyed while connections live: each connection keeps what
// it prepared under id(). Copying is not needed; make them namespace-scope constants.
class Sql {
  public:
    Sql(std::string name, std::string text);
    ~Sql();
    Sql(const Sql&) = delete;
    Sql& operator=(const Sql&) = delete;

    [[nodiscard]] std::size_t id() const { return id_; }  // small, dense, unique in the process
    [[nodiscard]] const std::string& name() const { return name_; }
    [[nodiscard]] const std::string& text() const { return text_; }

  private:
    std::size_t id_;
    std::string name_;
    std::string text_;
};

// Every statement there is, for the test that looks at how an engine would run them.
std::vector<const Sql*> all_statements();

// One value for a placeholder. Borrows its bytes.
struct Param {
    enum class Type : unsigned char { null, integer, text, bytes };

    Param(std::nullptr_t) {}
    template <std::integral T>
    Param(T value) : type(Type::integer), integer(static_cast<std::int64_t>(value)) {}
    Param(std::string_view value) : type(Type::text), text(value) {}
    Param(const std::string& value) : type(Type::text), text(value) {}
    Param(const char* value) : type(Type::text), text(value) {}
    static Param bytes(std::string_view value) {
        Param param(value);
        param.type = Type::bytes;
        return param;
    }

    Type type = Type::null;
    std::int64_t integer = 0;
    std::string_view text;  // of text and bytes
};
using Params = std::initializer_list<Param>;

// The rows of one query. Hold it no longer than the connection, and only one per statement at a time. Columns count
// from 0; views live until the next next().
class Rows {
  public:
    class Impl {
      public:
        virtual Result<bool> next() = 0;  // false after the last row
        [[nodiscard]] virtual bool is_null(int column) const = 0;
        [[nodiscard]] virtual std::int64_t integer(int column) const = 0;
        [[nodiscard]] virtual std::string_view text(int column) const = 0;  // also of bytes
        virtual void finish() noexcept = 0;                                 // the rows are not needed any more

      protected:
        ~Impl() = default;
    };

    explicit Rows(Impl* impl) : impl_(impl) {}
    Rows(Rows&& other) noexcept : impl_(std::exchange(other.impl_, nullptr)) {}
    Rows& operator=(Rows&& other) noexcept {
        if (this != &other) {
            finish();
            impl_ = std::exchange(other.impl_, nullptr);
        }
        return *this;
    }
    ~Rows() { finish(); }

    Result<bool> next() { return impl_->next(); }
    [[nodiscard]] bool is_null(int column) const { return impl_->is_null(column); }
    [[nodiscard]] std::int64_t integer(int column) const { return impl_->integer(column); }
    [[nodiscard]] std::string_view text(int column) const { return impl_->text(column); }
    [[nodiscard]] std::string string(int column) const { return std::string(impl_->text(column)); }

  private:
    void finish() noexcept {
        if (impl_ != nullptr) impl_->finish();
    }
    Impl* impl_;
};

// One thread at a time.
class Connection {
  public:
    virtual ~Connection() = default;
    virtual Result<Rows> query(const Sql& sql, std::span<const Param> params) = 0;
    Result<Rows> query(const Sql& sql, Params params) {
        return query(sql, std::span<const Param>(params.begin(), params.size()));
    }
    // Everything below this transaction number, and it itself, is in the log as this connection sees it now; nothing
    // that it does not see is. In a snapshot: the position of the cut.
    virtual Result<std::int64_t> log_transaction() = 0;
};

// One row of the change log without what the engine adds: sequence and transaction number.
struct ChangeRow {
    Micros at = 0;
    std::string_view actor;
    std::string_view table;
    char operation = 'U';
    std::string_view row_json;
};

class Transaction : public Connection {
  public:
    // The number of rows changed.
    virtual Result<std::int64_t> execute(const Sql& sql, std::span<const Param> params) = 0;
    Result<std::int64_t> execute(const Sql& sql, Params params) {
        return execute(sql, std::span<const Param>(params.begin(), params.size()));
    }
    virtual Status append_change(const ChangeRow& change) = 0;
};

// Borrows a callable for the length of a call.
template <class Signature>
class FunctionRef;
template <class R, class... Args>
class FunctionRef<R(Args...)> {
  public:
    template <class F>
    requires(!std::same_as<std::remove_cvref_t<F>, FunctionRef>) FunctionRef(F&& f)
        : object_(const_cast<void*>(static_cast<const void*>(&f))), call_([](void* object, Args... args) -> R {
              return (*static_cast<std::remove_reference_t<F>*>(object))(std::forward<Args>(args)...);
          }) {}
    R operator()(Args... args) const { return call_(object_, std::forward<Args>(args)...); }

  private:
    void* object_;
    R (*call_)(void*, Args...);
};

enum class Durability {
    synced,  // survives power loss when write() returns
    relaxed  // survives the process; power loss may undo it, and everything relaxed after it
};

// A connected database. Thread-safe; calls must not be nested inside each other's functions. Errors: unavailable
// (busy, unreachable), no_space, corrupt, internal, and what the function returned.
class Database {
  public:
    virtual ~Database() = default;
    // Each query sees all that was committed before it; two queries may see different states.
    virtual Status read(FunctionRef<Status(Connection&)> work) = 0;
    // One transaction: committed if `work` succeeds, else as if never begun. `work` runs once, perhaps on another
    // thread, and its results count only if this returns success.
    virtual Status write(Durability durability, FunctionRef<Status(Transaction&)> work) = 0;
    // A repeatable read that neither disturbs writers nor sees them. One thread at a time.
    virtual Result<std::unique_ptr<Connection>> open_snapshot() = 0;
    // See MetaStore::revision().
    [[nodiscard]] virtual std::optional<std::uint64_t> revision() const { return std::nullopt; }
    // See MetaStore::free_bytes().
    virtual Result<std::optional<std::uint64_t>> free_bytes() { return std::optional<std::uint64_t>(); }
};

}  // namespace dtr::meta::sql
