#ifndef HEARTH_DAEMON_JOINING_COORDINATOR_LAN_H_
#define HEARTH_DAEMON_JOINING_COORDINATOR_LAN_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "daemon/discovery/mdns_responder.h"
#include "daemon/identity/home.h"
#include "daemon/joining/door.h"
#include "daemon/joining/home_service.h"
#include "daemon/serving/server.h"
#include "engine/base/mutex.h"

namespace hearth {

// A coordinator's two ports to other machines: encrypted gRPC for those who belong to the home, and the door
// for those who want to join, at the port after it, where they find it by multicast DNS. Once opened they are
// opened again whenever the daemon starts, at the same addresses, so that hosts find it.
class CoordinatorLan final : public Lan {
 public:
  // `listen`: HOST:PORT of the first, port 0 for any two; empty: where it was open last, or kDefaultLan.
  CoordinatorLan(IdentityFiles files, Home& home, std::string listen);

  // Where gRPC's port of a host that does not lead yet will listen once it does: if it is to be opened
  // (`asked`, at `listen`) or was open when it led. Empty: it will not, or at any port that is free then.
  static absl::StatusOr<std::string> ListensAt(const IdentityFiles& files, bool asked,
                                               const std::string& listen);

  // Before Open; `server` outlives the calls.
  void SetServer(Server* server);
  // Whether it was open when the daemon last ran.
  absl::StatusOr<bool> WasOpen() const;
  // Lets nobody in any more.
  void Close();

  absl::StatusOr<LanAddresses> Open() override;
  std::string server() override;
  absl::StatusOr<std::vector<Applicant>> Waiting() override;
  absl::StatusOr<Applicant> Decide(const std::string& code, bool refuse) override;

 private:
  absl::Status OpenPorts() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const IdentityFiles files_;
  Home& home_;
  const std::string listen_;

  Mutex mutex_;
  Server* server_ ABSL_GUARDED_BY(mutex_) = nullptr;
  std::string grpc_address_ ABSL_GUARDED_BY(mutex_);  // empty: closed
  std::unique_ptr<Door> door_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<MdnsResponder> responder_ ABSL_GUARDED_BY(mutex_);
};

inline constexpr char kDefaultLan[] = "0.0.0.0:7771";

}  // namespace hearth

#endif  // HEARTH_DAEMON_JOINING_COORDINATOR_LAN_H_
