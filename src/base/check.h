// CHECK is for our own mistakes, and stays on wherever continuing could lose data. Bytes from clients, peers, disks and
// databases are never checked with it: those get an Error.
#pragma once

#include <cstdio>
#include <cstdlib>

#define DTR_CHECK(condition)                                                                 \
    do {                                                                                     \
        if (!(condition)) {                                                                  \
            std::fprintf(stderr, "dtr: bug: %s at %s:%d\n", #condition, __FILE__, __LINE__); \
            std::abort();                                                                    \
        }                                                                                    \
    } while (false)
