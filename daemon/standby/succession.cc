#include "daemon/standby/succession.h"

#include <google/protobuf/text_format.h>

#include "absl/strings/str_cat.h"
#include "daemon/membership/told_coordinators.h"
#include "engine/base/input_file.h"
#include "engine/base/output_file.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

constexpr uint64_t kMostFileBytes = 64 << 10;
constexpr unsigned kSuccessionMode = 0600;

std::string PathIn(const std::string& state_dir) { return state_dir + "/succession"; }

}  // namespace

absl::StatusOr<std::optional<v1::Succession>> ReadSuccession(const std::string& state_dir) {
  const absl::StatusOr<std::string> text = ReadInputFile(PathIn(state_dir), kMostFileBytes);
  if (absl::IsNotFound(text.status())) return std::nullopt;
  HEARTH_RETURN_IF_ERROR(text.status());
  v1::Succession succession;
  if (google::protobuf::TextFormat::ParseFromString(*text, &succession) && !succession.home().empty())
    return succession;
  return absl::FailedPreconditionError(
      absl::StrCat(PathIn(state_dir),
                   " is damaged: it says who leads the home; delete it where this host is "
                   "to be what its settings say"));
}

absl::Status WriteSuccession(const std::string& state_dir, const v1::Succession& succession) {
  std::string text;
  google::protobuf::TextFormat::PrintToString(succession, &text);
  return WriteFile(PathIn(state_dir), text, Replace::kRegularFile, kSuccessionMode);
}

std::string AddressOf(const v1::Leader& place) {
  return place.encrypted_address().empty() ? place.address() : place.encrypted_address();
}

bool NoteStandby(const v1::Leader& place, v1::Succession& succession) {
  if (place.host().empty() || !IsPlaceToLead(AddressOf(place))) return false;
  for (v1::Leader& known : *succession.mutable_standbys()) {
    if (known.host() != place.host()) continue;
    if (known.SerializeAsString() == place.SerializeAsString()) return false;
    known = place;
    return true;
  }
  if (succession.standbys_size() >= kMostStandbys)
    succession.mutable_standbys()->erase(succession.standbys().begin());
  *succession.add_standbys() = place;
  return true;
}

PlacesToLead PlacesOf(absl::Span<const v1::Leader> hosts) {
  PlacesToLead places;
  for (const v1::Leader& host : hosts) {
    if (IsPlaceToLead(host.address())) places.plain.push_back(host.address());
    if (IsPlaceToLead(host.encrypted_address())) places.encrypted.push_back(host.encrypted_address());
  }
  return places;
}

bool Outranks(const v1::Lead& other, const Term& own, const std::string& host) {
  const Term theirs{other.home(), other.term()};
  return other.leads() && (own.IsBefore(theirs) || (own == theirs && host < other.host()));
}

}  // namespace hearth
