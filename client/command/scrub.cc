#include "client/command/scrub.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace hearth {
namespace {

constexpr size_t kSecretLength = 32;  // of letters and digits in a row
constexpr size_t kDigestLength = 64;  // a SHA-256 in hexadecimal digits, which is of a model's file
constexpr std::array kSystemFolders = {"/proc/", "/sys/",           "/dev/", "/etc/",      "/usr/",
                                       "/run/",  "/var/lib/hearth", "/v1/",  "/dashboard/"};

bool IsWordByte(char c) {
  return absl::ascii_isalnum(c) || c == '_' || static_cast<unsigned char>(c) >= 0x80;
}

// `text` without what lies between "-----BEGIN" and the end of "-----END ...-----".
std::string WithoutPem(std::string_view text) {
  std::string kept;
  for (;;) {
    const size_t begin = text.find("-----BEGIN");
    kept += text.substr(0, begin);
    if (begin == std::string_view::npos) return kept;
    kept += "SECRET";
    const size_t end = text.find("-----END", begin);
    if (end == std::string_view::npos) return kept;
    const size_t last = text.find("-----", end + 8);
    if (last == std::string_view::npos) return kept;
    text.remove_prefix(last + 5);
  }
}

// Replaces the words, long ones first, so that what is a part of another does no harm to it.
std::string WithoutWords(const std::string& text, const PrivateWords& words) {
  std::vector<std::pair<std::string, std::string>> longest_first(words.begin(), words.end());
  std::stable_sort(longest_first.begin(), longest_first.end(),
                   [](const auto& a, const auto& b) { return a.first.size() > b.first.size(); });
  std::string kept;
  for (size_t at = 0; at < text.size();) {
    const auto found = std::find_if(longest_first.begin(), longest_first.end(), [&](const auto& word) {
      const size_t end = at + word.first.size();
      return text.compare(at, word.first.size(), word.first) == 0 &&
             (at == 0 || !IsWordByte(text[at - 1]) || !IsWordByte(word.first.front())) &&
             (end >= text.size() || !IsWordByte(text[end]) || !IsWordByte(word.first.back()));
    });
    if (found == longest_first.end()) {
      kept += text[at++];
    } else {
      kept += found->second;
      at += found->first.size();
    }
  }
  return kept;
}

bool AllOf(absl::string_view text, bool (*is)(unsigned char)) {
  return std::all_of(text.begin(), text.end(), is);
}

// Letters and digits in a row, as keys and codes are.
bool HasSecret(absl::string_view token) {
  while (!token.empty()) {
    const auto* const end =
        std::find_if_not(token.begin(), token.end(), [](char c) { return absl::ascii_isalnum(c); });
    const absl::string_view run = token.substr(0, static_cast<size_t>(end - token.begin()));
    const bool digest = run.size() == kDigestLength && AllOf(run, absl::ascii_isxdigit);
    if (run.size() >= kSecretLength && !digest) return true;
    token.remove_prefix(std::min(run.size() + 1, token.size()));
  }
  return false;
}

// "ABCDEFG-ABCDEFG-...": eight groups.
bool HasId(absl::string_view token) {
  const std::vector<absl::string_view> groups = absl::StrSplit(token, '-');
  return groups.size() == 8 && std::all_of(groups.begin(), groups.end(), [](absl::string_view group) {
           return group.size() == 7 && AllOf(group, absl::ascii_isalnum);
         });
}

bool IsForeignIpv4(absl::string_view host) {
  const std::vector<absl::string_view> parts = absl::StrSplit(host, '.');
  if (parts.size() != 4 || parts[0] == "127" || host == "0.0.0.0") return false;
  return std::all_of(parts.begin(), parts.end(), [](absl::string_view part) {
    uint32_t number = 0;
    return !part.empty() && part.size() <= 3 && absl::SimpleAtoi(part, &number) && number < 256;
  });
}

// Times such as 12:30:59 have no more than two colons.
bool IsForeignIpv6(absl::string_view token) {
  const auto colons = std::count(token.begin(), token.end(), ':');
  if (colons < 2 || token == "::1" || token == "::") return false;
  const bool hex =
      std::all_of(token.begin(), token.end(), [](char c) { return c == ':' || absl::ascii_isxdigit(c); });
  return hex && (colons > 2 || absl::StrContains(token, "::"));
}

bool IsForeignPath(absl::string_view token) {
  if (!absl::StartsWith(token, "/") || token.size() < 2) return absl::StartsWith(token, "~/");
  if (token == "/metrics" || token == "/health" || token == "/s") return false;
  return std::none_of(kSystemFolders.begin(), kSystemFolders.end(),
                      [&](const char* folder) { return absl::StartsWith(token, folder); });
}

std::string CleanToken(absl::string_view token) {
  if (IsForeignPath(token)) return "PATH";
  if (HasId(token)) return "ID";
  if (HasSecret(token)) return "SECRET";
  if (IsForeignIpv6(token)) return "ADDRESS";
  const size_t colon = token.find(':');
  if (IsForeignIpv4(token.substr(0, colon)))
    return absl::StrCat("ADDRESS", colon == absl::string_view::npos ? "" : token.substr(colon));
  return std::string(token);
}

bool EndsToken(char c) {
  return absl::ascii_isspace(c) || absl::StrContains("\"'`()<>[]{},;=|", absl::string_view(&c, 1));
}

}  // namespace

std::string Scrub(std::string_view text, const PrivateWords& words) {
  const std::string known = WithoutWords(WithoutPem(text), words);
  std::string kept;
  for (size_t at = 0; at < known.size();) {
    const size_t begin = at;
    while (at < known.size() && !EndsToken(known[at])) ++at;
    if (at > begin) kept += CleanToken(absl::string_view(known).substr(begin, at - begin));
    if (at < known.size()) kept += known[at++];
  }
  return kept;
}

}  // namespace hearth
