#include "archive/zstd.h"

#include <zstd.h>

#include <algorithm>
#include <memory>

#include "base/check.h"

namespace dtr::archive {

std::string zstd_compress(std::string_view bytes, int level) {
    std::string out(ZSTD_compressBound(bytes.size()), '\0');
    std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> context(ZSTD_createCCtx(), &ZSTD_freeCCtx);
    ZSTD_CCtx_setParameter(context.get(), ZSTD_c_compressionLevel, level);
    ZSTD_CCtx_setParameter(context.get(), ZSTD_c_checksumFlag, 1);
    const std::size_t n = ZSTD_compress2(context.get(), out.data(), out.size(), bytes.data(), bytes.size());
    DTR_CHECK(!ZSTD_isError(n));  // only memory can run out
    out.resize(n);
    return out;
}

Result<std::string> zstd_decompress(std::string_view compressed, std::size_t limit) {
    std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> context(ZSTD_createDCtx(), &ZSTD_freeDCtx);
    ZSTD_DCtx_setParameter(context.get(), ZSTD_d_windowLogMax, 27);
    std::string out;
    ZSTD_inBuffer in{compressed.data(), compressed.size(), 0};
    std::string chunk(ZSTD_DStreamOutSize(), '\0');
    while (true) {
        ZSTD_outBuffer piece{chunk.data(), chunk.size(), 0};
        const std::size_t before = in.pos;
        const std::size_t state = ZSTD_decompressStream(context.get(), &piece, &in);
        if (ZSTD_isError(state))
            return fail(ErrorCode::corrupt, fmt::format("zstd data is damaged ({})", ZSTD_getErrorName(state)));
        if (piece.pos > limit - out.size())
            return fail(ErrorCode::exhausted, fmt::format("zstd data expands beyond the {} bytes allowed", limit),
                        "this is not something a backup writes; do not trust its source");
        out.append(chunk.data(), piece.pos);
        if (state == 0) break;
        if (in.pos == in.size && piece.pos < piece.size && (before == in.pos || in.size == 0))
            return fail(ErrorCode::corrupt, "zstd data ends inside its frame");
    }
    if (in.pos != in.size) return fail(ErrorCode::corrupt, "there is data after the zstd frame");
    return out;
}

std::size_t expansion_limit(std::size_t compressed_size, std::uint64_t expansion_max, std::size_t limit) {
    const std::uint64_t ratio = std::min(expansion_max, std::uint64_t{1} << 20U);
    return static_cast<std::size_t>(std::min<std::uint64_t>(compressed_size * ratio, limit));
}

}  // namespace dtr::archive
