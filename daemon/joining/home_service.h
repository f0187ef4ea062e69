#ifndef HEARTH_DAEMON_JOINING_HOME_SERVICE_H_
#define HEARTH_DAEMON_JOINING_HOME_SERVICE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "daemon/identity/home.h"
#include "daemon/joining/applicants.h"

namespace grpc {
class Service;
}

namespace hearth {

// Where other machines reach a coordinator.
struct LanAddresses {
  std::vector<std::string> doors;  // of the door, for join codes
  std::string server;              // of the encrypted gRPC port
};

// What opens a coordinator to other machines. Thread-safe.
class Lan {
 public:
  virtual ~Lan() = default;
  // Opens what is not open yet. UNAVAILABLE when a port cannot be had or there is no address to give.
  virtual absl::StatusOr<LanAddresses> Open() = 0;
  // The encrypted gRPC port; empty while it is closed.
  virtual std::string server() = 0;
  // As the door's. FAILED_PRECONDITION while it is closed.
  virtual absl::StatusOr<std::vector<Applicant>> Waiting() = 0;
  virtual absl::StatusOr<Applicant> Decide(const std::string& code, bool refuse) = 0;
};

// home.proto. What is passed outlives the service.
std::unique_ptr<grpc::Service> MakeHomeService(Home& home, Lan& lan);

}  // namespace hearth

#endif  // HEARTH_DAEMON_JOINING_HOME_SERVICE_H_
