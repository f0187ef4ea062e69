#include "daemon/standby/succession.h"

#include <google/protobuf/text_format.h>

#include <boost/asio/ip/address.hpp>

#include "absl/strings/str_cat.h"
#include "daemon/channel/frame_socket.h"
#include "daemon/membership/told_coordinators.h"
#include "engine/base/input_file.h"
#include "engine/base/output_file.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

constexpr uint64_t kMostFileBytes = 64 << 10;
constexpr unsigned kSuccessionMode = 0600;

bool IsPlace(const v1::Leader& place) {
  const auto is_sound = [](const std::string& address) { return address.empty() || IsPlaceToLead(address); };
  return CheckName("host", place.host()).ok() && !AddressOf(place).empty() && is_sound(place.address()) &&
         is_sound(place.encrypted_address());
}

bool IsOnThisMachine(const std::string& address) {
  const absl::StatusOr<HostPort> parts = ParseHostPort(address);
  boost::system::error_code error;
  return parts.ok() &&
         (parts->host == "localhost" || boost::asio::ip::make_address(parts->host, error).is_loopback());
}

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

absl::Status CheckPlace(const v1::Leader& place, const v1::Leader& coordinator) {
  if (!IsPlace(place)) return absl::InvalidArgumentError("this standby has no place where it could lead");
  if (!IsOnThisMachine(AddressOf(place)) || IsOnThisMachine(AddressOf(coordinator))) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("this standby would lead at ", AddressOf(place),
                                                    ", where no other machine reaches it: give it "
                                                    "--lan or --listen"));
}

bool NoteStandby(const v1::Leader& place, v1::Succession& succession) {
  if (!IsPlace(place)) return false;
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
