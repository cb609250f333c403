// age in both directions: one long stream, and one of the many small entries of an encrypted backup.
#include <benchmark/benchmark.h>

#include "archive/age.h"
#include "bench/micro/micro.h"

namespace dtr::bench {
namespace {

constexpr std::size_t kStreamBytes = 16U << 20;
constexpr std::size_t kEntryBytes = 10'000;
constexpr std::size_t kPiece = 1U << 20;

struct Nowhere final : archive::ByteSink {
    Status write(std::string_view bytes) override {
        benchmark::DoNotOptimize(bytes.data());
        return {};
    }
};

const archive::AgeKeys& keys() {
    static const archive::AgeKeys made{{archive::AgeIdentity::generate(system_random())}, {}};
    return made;
}

void encrypt(std::string_view plain, archive::ByteSink& sink) {
    const auto encryptor = must(archive::AgeEncryptor::open(sink, {keys().identities[0].recipient()}));
    for (std::size_t at = 0; at < plain.size(); at += kPiece) must(encryptor->write(plain.substr(at, kPiece)));
    must(encryptor->finish());
}

void decrypt(std::string_view encrypted, std::string& buffer) {
    archive::StringSource source(encrypted);
    const auto decryptor = must(archive::AgeDecryptor::open(source, keys()));
    while (must(decryptor->read(buffer.data(), buffer.size())) != 0) {
    }
}

void encrypt_stream(benchmark::State& state) {
    const std::string plain = SeededRandom(1).bytes(kStreamBytes);
    Nowhere sink;
    for (auto _ : state) encrypt(plain, sink);
    state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * kStreamBytes));
}
BENCHMARK(encrypt_stream)->Name("age, a stream encrypted");

void decrypt_stream(benchmark::State& state) {
    archive::StringSink encrypted;
    encrypt(SeededRandom(1).bytes(kStreamBytes), encrypted);
    std::string buffer(archive::kAgeChunkBytes, '\0');
    for (auto _ : state) decrypt(encrypted.bytes(), buffer);
    state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * kStreamBytes));
}
BENCHMARK(decrypt_stream)->Name("age, a stream decrypted");

void encrypt_entry(benchmark::State& state) {
    const std::string plain = SeededRandom(1).bytes(kEntryBytes);
    Nowhere sink;
    for (auto _ : state) encrypt(plain, sink);
}
BENCHMARK(encrypt_entry)->Name("age, an entry of 10 kB encrypted");

void decrypt_entry(benchmark::State& state) {
    archive::StringSink encrypted;
    encrypt(SeededRandom(1).bytes(kEntryBytes), encrypted);
    std::string buffer(archive::kAgeChunkBytes, '\0');
    for (auto _ : state) decrypt(encrypted.bytes(), buffer);
}
BENCHMARK(decrypt_entry)->Name("age, an entry of 10 kB decrypted");

}  // namespace
}  // namespace dtr::bench
