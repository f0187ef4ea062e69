#include "daemon/membership/known_host.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/identity/host_id.h"
#include "daemon/membership/conversion.h"
#include "engine/base/status_macros.h"
#include "proto/hearth/v1/stored.pb.h"

namespace hearth {
namespace {

bool IsPositive(double figure) { return std::isfinite(figure) && figure > 0; }

absl::StatusOr<KnownHost> Read(const v1::StoredHost& stored) {
  HEARTH_ASSIGN_OR_RETURN(WorkerReport report, FromProto(stored.report()));
  HEARTH_RETURN_IF_ERROR(ParseHostId(report.identity.id).status());
  if (report.network_cards.empty()) return absl::InvalidArgumentError("no network card");
  if (!IsPositive(stored.round_trip_us()) || !IsPositive(stored.bytes_per_second()))
    return absl::InvalidArgumentError("no link that can be");
  return KnownHost{std::move(report),
                   {.round_trip_us = stored.round_trip_us(), .bytes_per_s = stored.bytes_per_second()}};
}

}  // namespace

std::string ToStored(const KnownHost& host) {
  v1::StoredHost stored;
  *stored.mutable_report() = ToProto(host.report);
  stored.set_round_trip_us(host.link.round_trip_us);
  stored.set_bytes_per_second(host.link.bytes_per_s);
  return stored.SerializeAsString();
}

absl::StatusOr<KnownHost> FromStored(const std::string& content) {
  v1::StoredHost stored;
  if (!stored.ParseFromString(content)) return absl::DataLossError("what is kept of a host is damaged");
  absl::StatusOr<KnownHost> host = Read(stored);
  if (host.ok()) return host;
  return absl::DataLossError(absl::StrCat("what is kept of a host is damaged: ", host.status().message()));
}

}  // namespace hearth
