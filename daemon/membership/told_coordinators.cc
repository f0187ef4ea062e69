#include "daemon/membership/told_coordinators.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "daemon/channel/frame_socket.h"
#include "engine/base/input_file.h"
#include "engine/base/output_file.h"
#include "engine/base/printable.h"

namespace hearth {
namespace {

constexpr size_t kMostAddressBytes = 300;
constexpr uint64_t kMostFileBytes = 64 << 10;
constexpr char kTerm[] = "term ";  // begins the line that says it

}  // namespace

bool IsPlaceToLead(std::string_view address) {
  const auto separates = [](char c) { return static_cast<unsigned char>(c) <= ' ' || c == ','; };
  if (address.size() > kMostAddressBytes || std::any_of(address.begin(), address.end(), separates))
    return false;
  const absl::StatusOr<HostPort> parts = ParseHostPort(std::string(address));
  return parts.ok() && parts->port != 0;
}

ToldCoordinators::ToldCoordinators(std::string path, CoordinatorAddresses addresses)
    : path_(std::move(path)), addresses_(std::move(addresses)), given_(addresses_.text()) {
  if (!path_.empty()) Use(Read());
}

absl::Status ToldCoordinators::Take(const std::vector<std::string>& told, const Term& term) {
  if (term.IsBefore(term_)) {
    return absl::UnavailableError(absl::StrCat(
        "it leads in term ", term.number, " of the home, which another host leads since, in term ",
        term_.number, "; where that one is gone for good, delete ", path_, " here and start hearthd anew"));
  }
  if (path_.empty() || (told == told_ && term == term_)) return absl::OkStatus();
  term_ = term;
  Use(told);
  Write();
  return absl::OkStatus();
}

// The given addresses, the term where there is one, and an address in each further line.
void ToldCoordinators::Write() {
  std::string text = given_ + "\n";
  if (!term_.home.empty()) absl::StrAppend(&text, kTerm, term_.home, " ", term_.number, "\n");
  absl::StrAppend(&text, absl::StrJoin(told_, "\n"), "\n");
  const absl::Status written = WriteFile(path_, text, Replace::kRegularFile, 0600);
  if (!written.ok() && !std::exchange(warned_, true)) {
    spdlog::warn("where others may lead is forgotten at the next start: {}", Printable(written.message()));
  }
}

std::vector<std::string> ToldCoordinators::Read() {
  const absl::StatusOr<std::string> text = ReadInputFile(path_, kMostFileBytes);
  if (!text.ok()) return {};
  std::vector<std::string> lines = absl::StrSplit(*text, '\n', absl::SkipEmpty());
  if (lines.empty() || lines[0] != given_) return {};
  lines.erase(lines.begin());
  if (!lines.empty() && absl::StartsWith(lines[0], kTerm)) {
    const std::vector<std::string> words = absl::StrSplit(lines[0], ' ');
    Term term;
    if (words.size() != 3 || !absl::SimpleAtoi(words[2], &term.number)) return {};
    term.home = words[1];
    term_ = std::move(term);
    lines.erase(lines.begin());
  }
  return std::all_of(lines.begin(), lines.end(), IsPlaceToLead) ? lines : std::vector<std::string>();
}

void ToldCoordinators::Use(const std::vector<std::string>& told) {
  told_ = told;
  std::vector<std::string> all = absl::StrSplit(given_, ',', absl::SkipEmpty());
  for (const std::string& address : told) {
    if (std::find(all.begin(), all.end(), address) == all.end()) all.push_back(address);
  }
  addresses_.Use(absl::StrJoin(all, ","));
}

}  // namespace hearth
