#include "daemon/membership/told_coordinators.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "absl/status/statusor.h"
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

void ToldCoordinators::Take(const std::vector<std::string>& told) {
  if (path_.empty() || told == told_) return;
  Use(told);
  const absl::Status written = WriteFile(path_, absl::StrCat(given_, "\n", absl::StrJoin(told_, "\n"), "\n"),
                                         Replace::kRegularFile, 0600);
  if (!written.ok() && !std::exchange(warned_, true)) {
    spdlog::warn("where others may lead is forgotten at the next start: {}", Printable(written.message()));
  }
}

std::vector<std::string> ToldCoordinators::Read() const {
  const absl::StatusOr<std::string> text = ReadInputFile(path_, kMostFileBytes);
  if (!text.ok()) return {};
  std::vector<std::string> lines = absl::StrSplit(*text, '\n', absl::SkipEmpty());
  if (lines.empty() || lines[0] != given_) return {};
  lines.erase(lines.begin());
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
