#include "daemon/program/shared_state.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "daemon/etcd/etcd_address.h"
#include "engine/base/input_file.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

constexpr uint64_t kMostPemBytes = 1 << 20;
// Of a lease's life: how long one member of etcd may take to answer an election.
constexpr int kPatience = 5;

absl::Status ReadPem(const char* flag, const std::string& path, std::string& pem) {
  if (path.empty()) return absl::OkStatus();
  absl::StatusOr<std::string> text = ReadInputFile(path, kMostPemBytes);
  if (!text.ok())
    return absl::Status(text.status().code(), absl::StrCat(flag, ": ", text.status().message()));
  if (!absl::StrContains(*text, "-----BEGIN "))
    return absl::InvalidArgumentError(absl::StrCat(flag, ": ", Printable(path), " is no PEM file"));
  pem = *std::move(text);
  return absl::OkStatus();
}

EtcdOptions ForElections(EtcdOptions options, absl::Duration lease) {
  options.patience = lease / kPatience;
  return options;
}

}  // namespace

absl::StatusOr<std::unique_ptr<SharedState>> SharedState::Open(const Config& config) {
  HEARTH_ASSIGN_OR_RETURN(EtcdAddress address, ParseEtcdAddress(config.state_store));
  EtcdOptions options;
  options.endpoints = std::move(address.endpoints);
  HEARTH_RETURN_IF_ERROR(ReadPem("--state-store-ca", config.state_store_ca, options.authority_pem));
  HEARTH_RETURN_IF_ERROR(ReadPem("--state-store-cert", config.state_store_cert, options.certificate_pem));
  HEARTH_RETURN_IF_ERROR(ReadPem("--state-store-key", config.state_store_key, options.key_pem));
  absl::StatusOr<Sealer> sealer = Sealer::FromFile(config.state_store_secret);
  if (!sealer.ok()) {
    return absl::Status(sealer.status().code(),
                        absl::StrCat("--state-store-secret: ", sealer.status().message()));
  }
  ElectionOptions election;
  election.prefix = address.prefix;
  election.host = config.name;
  election.lease = absl::Seconds(config.state_store_lease_seconds);
  return std::unique_ptr<SharedState>(new SharedState(options, *std::move(sealer), election));
}

SharedState::SharedState(const EtcdOptions& options, Sealer sealer, const ElectionOptions& election)
    : sealer_(std::move(sealer)),
      prefix_(election.prefix),
      client_(options),
      election_(std::make_unique<EtcdClient>(ForElections(options, election.lease)), election) {}

std::shared_ptr<EtcdStore> SharedState::Store(const Fence& fence) {
  return std::make_shared<EtcdStore>(client_, sealer_, prefix_, fence);
}

}  // namespace hearth
