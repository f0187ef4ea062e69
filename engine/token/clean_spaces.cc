#include "engine/token/clean_spaces.h"

#include <cstddef>
#include <string_view>

namespace hearth {
namespace {

bool IsClosingPunctuation(char c) { return c == '?' || c == '!' || c == '.' || c == ','; }

// " ?" becomes "?".
std::string JoinPunctuation(std::string_view text) {
  std::string joined(text.substr(0, 1));
  for (size_t i = 1; i < text.size(); ++i) {
    if (text[i - 1] == ' ' && IsClosingPunctuation(text[i])) joined.pop_back();
    joined += text[i];
  }
  return joined;
}

// " ' " becomes "'".
std::string JoinApostrophes(std::string_view text) {
  std::string joined(text.substr(0, 1));
  bool skipped_space = false;  // the space after an apostrophe is gone, so it does not count for the next one
  for (size_t i = 1; i < text.size(); ++i) {
    const bool alone = text[i] == '\'' && i + 1 < text.size() && text[i - 1] == ' ' && text[i + 1] == ' ';
    if (alone && !skipped_space) {
      joined.back() = '\'';
      ++i;
      skipped_space = true;
      continue;
    }
    joined += text[i];
    skipped_space = false;
  }
  return joined;
}

bool IsContraction(std::string_view rest) {
  if (rest.size() < 2 || rest[0] != '\'') return false;
  if (rest[1] == 's' || rest[1] == 'm') return true;
  return rest.size() > 2 && (rest[1] == 'r' || rest[1] == 'v') && rest[2] == 'e';
}

// " 's" becomes "'s".
std::string JoinContractions(std::string_view text) {
  std::string joined(text.substr(0, 1));
  for (size_t i = 1; i < text.size(); ++i) {
    if (text[i - 1] == ' ' && IsContraction(text.substr(i))) joined.pop_back();
    joined += text[i];
  }
  return joined;
}

}  // namespace

std::string CleanSpaces(std::string text) { return JoinContractions(JoinApostrophes(JoinPunctuation(text))); }

}  // namespace hearth
