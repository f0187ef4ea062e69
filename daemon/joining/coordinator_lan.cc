#include "daemon/joining/coordinator_lan.h"

#include <spdlog/spdlog.h>

#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "daemon/channel/frame_socket.h"
#include "daemon/discovery/lan_addresses.h"
#include "daemon/identity/join_code.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

// The addresses of the last time: gRPC's and the door's, one line each.
constexpr char kFile[] = "lan";

struct Ports {
  std::string grpc, door;
};

absl::StatusOr<std::optional<Ports>> ReadPorts(const IdentityFiles& files) {
  HEARTH_ASSIGN_OR_RETURN(const std::optional<std::string> text, files.Read(kFile));
  if (!text) return std::nullopt;
  const std::vector<std::string> lines = absl::StrSplit(*text, '\n', absl::SkipEmpty());
  if (lines.size() != 2) return std::nullopt;
  return Ports{lines[0], lines[1]};
}

absl::StatusOr<Ports> PortsFrom(const std::string& listen) {
  HEARTH_ASSIGN_OR_RETURN(HostPort door, ParseHostPort(listen));
  if (door.port == 65535) return absl::InvalidArgumentError("--lan: the port after it is needed too");
  if (door.port != 0) ++door.port;
  return Ports{listen, FormatHostPort(door)};
}

// Where both are to be opened: as they are asked for, where they were last, or the default.
absl::StatusOr<Ports> WantedPorts(const std::string& listen, const std::optional<Ports>& last) {
  if (!listen.empty()) return PortsFrom(listen);
  return last ? absl::StatusOr<Ports>(*last) : PortsFrom(kDefaultLan);
}

absl::Status Closed() {
  return absl::FailedPreconditionError(
      "other machines do not reach this one, so none waits: `hearth invite` opens it to them");
}

}  // namespace

absl::StatusOr<std::string> CoordinatorLan::ListensAt(const IdentityFiles& files, bool asked,
                                                      const std::string& listen) {
  HEARTH_ASSIGN_OR_RETURN(const std::optional<Ports> last, ReadPorts(files));
  if (!asked && !last) return "";
  HEARTH_ASSIGN_OR_RETURN(const Ports wanted, WantedPorts(listen, last));
  HEARTH_ASSIGN_OR_RETURN(const HostPort grpc, ParseHostPort(wanted.grpc));
  return grpc.port == 0 ? "" : wanted.grpc;
}

CoordinatorLan::CoordinatorLan(IdentityFiles files, Home& home, std::string listen)
    : files_(std::move(files)), home_(home), listen_(std::move(listen)) {}

void CoordinatorLan::SetServer(Server* server) {
  MutexLock lock(&mutex_);
  server_ = server;
}

absl::StatusOr<bool> CoordinatorLan::WasOpen() const {
  HEARTH_ASSIGN_OR_RETURN(const std::optional<Ports> ports, ReadPorts(files_));
  return ports.has_value();
}

void CoordinatorLan::Close() {
  std::unique_ptr<Door> door;
  std::unique_ptr<MdnsResponder> responder;
  {
    MutexLock lock(&mutex_);
    server_ = nullptr;
    door = std::move(door_);
    responder = std::move(responder_);
  }
}

absl::StatusOr<LanAddresses> CoordinatorLan::Open() {
  MutexLock lock(&mutex_);
  if (server_ == nullptr) return absl::UnavailableError("the daemon starts or stops; try again");
  HEARTH_RETURN_IF_ERROR(OpenPorts());
  LanAddresses addresses;
  addresses.doors = ReachedAt(door_->address(), JoinCode::kMaxAddresses);
  const std::vector<std::string> servers = ReachedAt(grpc_address_, 1);
  if (addresses.doors.empty() || servers.empty()) {
    return absl::UnavailableError(
        "this machine has no address that others could reach: connect it to the network first");
  }
  addresses.server = servers[0];
  return addresses;
}

std::string CoordinatorLan::server() {
  MutexLock lock(&mutex_);
  const std::vector<std::string> servers = ReachedAt(grpc_address_, 1);
  return servers.empty() ? "" : servers[0];
}

absl::StatusOr<std::vector<Applicant>> CoordinatorLan::Waiting() {
  MutexLock lock(&mutex_);
  if (door_ == nullptr) return Closed();
  return door_->Waiting();
}

absl::StatusOr<Applicant> CoordinatorLan::Decide(const std::string& code, bool refuse) {
  MutexLock lock(&mutex_);
  if (door_ == nullptr) return Closed();
  return door_->Decide(code, refuse);
}

absl::Status CoordinatorLan::OpenPorts() {
  if (door_ != nullptr) return absl::OkStatus();
  HEARTH_ASSIGN_OR_RETURN(const std::optional<Ports> last, ReadPorts(files_));
  HEARTH_ASSIGN_OR_RETURN(const Ports wanted, WantedPorts(listen_, last));
  if (grpc_address_.empty()) {
    HEARTH_ASSIGN_OR_RETURN(grpc_address_, server_->OpenEncryptedPort(wanted.grpc, home_));
  }
  HEARTH_ASSIGN_OR_RETURN(const HostPort grpc, ParseHostPort(grpc_address_));
  DoorOptions options;
  options.listen = wanted.door;
  options.grpc_port = grpc.port;
  HEARTH_ASSIGN_OR_RETURN(std::unique_ptr<Door> door, Door::Open(options, home_));
  HEARTH_RETURN_IF_ERROR(files_.Write(kFile, absl::StrCat(grpc_address_, "\n", door->address(), "\n")));
  door_ = std::move(door);
  HEARTH_ASSIGN_OR_RETURN(const Certificate authority, ParseCertificate(home_.key().authority_pem));
  HEARTH_ASSIGN_OR_RETURN(const Certificate own, ParseCertificate(home_.key().certificate_pem));
  LanHome shown;
  shown.id = authority.id.Short();
  shown.coordinator = own.name;
  responder_ = MdnsResponder::Start(door_->address(), std::move(shown));
  spdlog::info("open to other machines: encrypted gRPC on {}, new hosts on {}", grpc_address_,
               door_->address());
  return absl::OkStatus();
}

}  // namespace hearth
