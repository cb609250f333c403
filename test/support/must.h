// Values of fallible calls that a test cannot do without: a failure is reported and ends the test.
#pragma once

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

#include "base/result.h"

namespace dtr::test {

template <class T>
T must(Result<T> result) {
    if (result) return std::move(*result);
    ADD_FAILURE() << result.error().text();
    throw std::runtime_error(result.error().text());
}

inline void must(const Status& status) {
    if (status) return;
    ADD_FAILURE() << status.error().text();
    throw std::runtime_error(status.error().text());
}

// "code: message" of a failure, "good" otherwise: what a test prints and matches.
template <class T>
std::string outcome(const Result<T>& result) {
    return result ? "good" : std::string(to_string(result.error().code)) + ": " + result.error().text();
}

}  // namespace dtr::test
