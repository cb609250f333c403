// Pushes and pulls of whole images by blocking clients, one thread each.
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <thread>

#include "base/encoding.h"
#include "bench/images.h"
#include "bench/workloads.h"
#include "sys/byte_channel.h"

namespace dtr::bench {
namespace {

using SteadyClock = std::chrono::steady_clock;
constexpr unsigned kPool = 32;  // images that pull_small chooses from
constexpr std::size_t kBlock = 1U << 20;

double since(SteadyClock::time_point begin) {
    return std::chrono::duration<double>(SteadyClock::now() - begin).count();
}

// One operation: bytes moved, or why not. `number` is unique over all clients.
using Operation = std::function<Result<std::uint64_t>(Connection&, std::uint64_t number)>;

// `clients` threads repeat `operation` for the time, or the count, that the options say.
Result<Report> repeat(const Target& target, const Options& options, const Operation& operation) {
    Report report;
    std::mutex lock;
    Status outcome;
    std::atomic<std::uint64_t> next{0};
    std::atomic<bool> stop{false};
    const double cpu_before = cpu_seconds();
    const auto begin = SteadyClock::now();
    const auto work = [&] {
        Connection connection(target);
        while (!stop) {
            const std::uint64_t number = next++;
            if (options.count > 0 ? number >= options.count : since(begin) >= options.seconds) return;
            const auto started = SteadyClock::now();
            auto bytes = operation(connection, number);
            const auto took = static_cast<float>(since(started) * 1000);
            const std::lock_guard guard(lock);
            if (!bytes) {
                outcome = fail(bytes.error());
                stop = true;
                return;
            }
            report.bytes += *bytes;
            report.latencies_ms.push_back(took);
        }
    };
    {
        std::vector<std::jthread> threads;
        for (unsigned i = 0; i < options.clients; ++i) threads.emplace_back(work);
    }
    report.seconds = since(begin);
    report.cpu_seconds = cpu_seconds() - cpu_before;
    report.operations = report.latencies_ms.size();
    if (!outcome) return fail(outcome.error());
    return report;
}

Result<std::uint64_t> pull_blob(Connection& connection, const std::string& repository, const Digest& digest,
                                const Consume& consume) {
    std::uint64_t bytes = 0;
    const auto answer = connection.request("GET", fmt::format("/v2/{}/blobs/{}", repository, digest.to_string()), {},
                                           {}, [&](std::string_view piece) {
                                               bytes += piece.size();
                                               if (consume) consume(piece);
                                           });
    DTR_TRY(expect(answer, 200, "GET of a blob"));
    return bytes;
}

Status expect_digest(const Hasher& hasher, const Digest& digest) {
    if (hasher.finish() == digest) return {};
    return fail(ErrorCode::corrupt, "a pulled blob has another digest");
}

Result<std::uint64_t> pull_checked(Connection& connection, const std::string& repository, const Digest& digest) {
    Hasher hasher(digest.algorithm());
    DTR_ASSIGN(const std::uint64_t bytes,
               pull_blob(connection, repository, digest, [&](std::string_view piece) { hasher.update(piece); }));
    DTR_TRY(expect_digest(hasher, digest));
    return bytes;
}

// As pull_checked(), hashed on a thread of its own: else that one processor would be all that is measured.
Result<std::uint64_t> pull_checked_beside(Connection& connection, const std::string& repository, const Digest& digest) {
    ByteChannel channel;
    Hasher hasher(digest.algorithm());
    std::jthread thread([&] {
        std::string piece(kBlock / 4, '\0');
        while (true) {
            const auto got = channel.read(piece.data(), piece.size());
            if (!got || *got == 0) return;
            hasher.update(std::string_view(piece).substr(0, *got));
        }
    });
    const auto bytes =
        pull_blob(connection, repository, digest, [&](std::string_view piece) { (void)channel.write(piece); });
    channel.close();
    thread.join();
    if (bytes) DTR_TRY(expect_digest(hasher, digest));
    return bytes;
}

// The bytes of a large layer: one block, stamped with its number so that no two are alike.
class LargeLayer {
  public:
    LargeLayer(std::uint64_t length, std::uint64_t seed) : length_(length - length % kBlock) {
        block_.resize(kBlock);
        fill(block_, seed);
    }
    std::string_view next() {
        const std::string stamp = fmt::format("{:020}", number_++);
        block_.replace(0, stamp.size(), stamp);
        return block_;
    }
    void rewind() { number_ = 0; }
    Digest digest() {
        Hasher hasher;
        for (std::uint64_t done = 0; done < length_; done += kBlock) hasher.update(next());
        rewind();
        return hasher.finish();
    }
    [[nodiscard]] std::uint64_t length() const { return length_; }

  private:
    std::uint64_t length_;
    std::uint64_t number_ = 0;
    std::string block_;
};

}  // namespace

double cpu_seconds() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& t) {
        return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

void fill(std::string& out, std::uint64_t seed) {
    std::uint64_t state = seed * 0x9E3779B97F4A7C15ULL + 1;
    for (std::size_t i = 0; i < out.size(); i += 8) {  // xorshift64*
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        const std::uint64_t word = state * 0x2545F4914F6CDD1DULL;
        for (std::size_t j = i; j < out.size() && j < i + 8; ++j)
            out[j] = static_cast<char>((word >> (8 * (j - i))) & 0xFF);
    }
}

std::string manifest_of(const std::vector<Digest>& digests, const std::vector<std::uint64_t>& sizes) {
    std::string out = fmt::format(R"({{"schemaVersion":2,"mediaType":"{}","config":)", kManifestType);
    for (std::size_t i = 0; i < digests.size(); ++i) {
        out += i == 0 ? "" : i == 1 ? R"(,"layers":[)" : ",";
        out += fmt::format(R"({{"mediaType":"application/vnd.oci.image.{}","digest":"{}","size":{}}})",
                           i == 0 ? "config.v1+json" : "layer.v1.tar", digests[i].to_string(), sizes[i]);
    }
    return out + "]}";
}

Image make_image(const Options& options, std::uint64_t seed) {
    Image image;
    std::vector<std::uint64_t> sizes;
    image.blobs.push_back(fmt::format(
        R"({{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":[]}},"seed":"{}"}})", seed));
    for (unsigned i = 0; i < options.layers; ++i) {
        image.blobs.emplace_back(options.layer_bytes, '\0');
        fill(image.blobs.back(), seed * 131 + i);
    }
    for (const std::string& blob : image.blobs) {
        image.digests.push_back(Digest::of(blob));
        sizes.push_back(blob.size());
    }
    image.manifest = manifest_of(image.digests, sizes);
    return image;
}

Status expect(const Result<Answer>& answer, int status, std::string_view what) {
    if (!answer) return fail(answer.error().in(what));
    if (answer->head.status == status) return {};
    return fail(ErrorCode::invalid, fmt::format("{} answers {}: {}", what, answer->head.status, answer->body));
}

std::string upload_path(const Head& head, const Digest& digest) {
    std::string path = head.location;
    if (const auto at = path.find("://"); at != std::string::npos) path = path.substr(path.find('/', at + 3));
    return path + (path.find('?') == std::string::npos ? "?" : "&") + "digest=" + percent_encode(digest.to_string());
}

Status push_blob(Connection& connection, const std::string& repository, const Digest& digest, std::string_view bytes) {
    const auto head = connection.request("HEAD", fmt::format("/v2/{}/blobs/{}", repository, digest.to_string()));
    if (head && head->head.status == 200) return {};
    DTR_TRY(expect(head, 404, "HEAD of a blob"));
    const auto begun = connection.request("POST", fmt::format("/v2/{}/blobs/uploads/", repository));
    DTR_TRY(expect(begun, 202, "POST of an upload"));
    return expect(connection.request("PUT", upload_path(begun->head, digest), bytes, "application/octet-stream"), 201,
                  "PUT of a blob");
}

Status push_image(Connection& connection, const std::string& repository, const Image& image, std::string_view tag) {
    for (std::size_t i = 0; i < image.blobs.size(); ++i)
        DTR_TRY(push_blob(connection, repository, image.digests[i], image.blobs[i]));
    return expect(
        connection.request("PUT", fmt::format("/v2/{}/manifests/{}", repository, tag), image.manifest, kManifestType),
        201, "PUT of a manifest");
}

Result<Report> push_small(const Target& target, const Options& options) {
    return repeat(target, options, [&](Connection& connection, std::uint64_t number) -> Result<std::uint64_t> {
        const Image image = make_image(options, options.seed * 1'000'003 + number);
        DTR_TRY(push_image(connection, options.repository, image, fmt::format("push-{}-{}", options.seed, number)));
        return options.layer_bytes * options.layers;
    });
}

Result<Report> pull_small(const Target& target, const Options& options) {
    std::vector<Image> pool;
    Connection setup(target);
    for (unsigned i = 0; i < kPool; ++i) {
        pool.push_back(make_image(options, options.seed * 7'919 + i));
        DTR_TRY(push_image(setup, options.repository, pool.back(), fmt::format("pull-{}", i)));
    }
    return repeat(target, options, [&](Connection& connection, std::uint64_t number) -> Result<std::uint64_t> {
        const Image& image = pool[number % kPool];
        const auto manifest =
            connection.request("GET", fmt::format("/v2/{}/manifests/pull-{}", options.repository, number % kPool));
        DTR_TRY(expect(manifest, 200, "GET of a manifest"));
        if (manifest->body != image.manifest) return fail(ErrorCode::corrupt, "a pulled manifest differs");
        std::uint64_t bytes = 0;
        for (const Digest& digest : image.digests) {
            DTR_ASSIGN(const std::uint64_t got, options.verify ? pull_checked(connection, options.repository, digest)
                                                               : pull_blob(connection, options.repository, digest, {}));
            bytes += got;
        }
        return bytes;
    });
}

Result<Report> push_large(const Target& target, const Options& options) {
    LargeLayer layer(options.large_bytes, options.seed);
    const Digest digest = layer.digest();
    Options once = options;
    once.clients = once.count = 1;
    return repeat(target, once, [&](Connection& connection, std::uint64_t) -> Result<std::uint64_t> {
        const auto begun = connection.request("POST", fmt::format("/v2/{}/blobs/uploads/", options.repository));
        DTR_TRY(expect(begun, 202, "POST of an upload"));
        DTR_TRY(expect(connection.upload("PUT", upload_path(begun->head, digest), layer.length(),
                                         [&layer] { return layer.next(); }),
                       201, "PUT of a large blob"));
        return layer.length();
    });
}

Result<Report> pull_large(const Target& target, const Options& options) {
    LargeLayer layer(options.large_bytes, options.seed);
    const Digest digest = layer.digest();
    Connection setup(target);
    const auto there = setup.request("HEAD", fmt::format("/v2/{}/blobs/{}", options.repository, digest.to_string()));
    if (!there || there->head.status != 200) {
        Options push = options;
        DTR_TRY(push_large(target, push));
    }
    Options once = options;
    once.clients = once.count = 1;
    return repeat(target, once, [&](Connection& connection, std::uint64_t) {
        return options.verify ? pull_checked_beside(connection, options.repository, digest)
                              : pull_blob(connection, options.repository, digest, {});
    });
}

}  // namespace dtr::bench
