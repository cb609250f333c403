// Which of the words that there are was probably meant.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace dtr {

// The candidate that `word` is a typo of: at most one edit (a letter more, fewer, another, or two swapped) for every three
// letters, and not so many for two candidates alike. Empty if there is none: a guess is worse than no answer.
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace dtr
