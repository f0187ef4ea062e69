#ifndef HEARTH_TESTS_CLUSTER_DAEMON_PROCESS_H_
#define HEARTH_TESTS_CLUSTER_DAEMON_PROCESS_H_

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "client/hearth_client.h"

namespace hearth {

// How long anything in these tests may take before it counts as hung; long enough for sanitizers.
inline constexpr absl::Duration kPatience = absl::Seconds(90);

// Files of the demo model.
inline constexpr char kSparseModel[] = DEMO_MODELS "hearth-demo-q8_0.powerinfer.gguf";
inline constexpr char kPlainModel[] = DEMO_MODELS "hearth-demo-q8_0.gguf";

// A folder that is removed at the end.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// A hearthd of this build, in a process of its own. Killed, if it still runs, and reaped at the end.
class DaemonProcess {
 public:
  // Starts `hearthd --name NAME --state-dir FOLDER/NAME --http off ARGUMENTS...`, on any free port unless
  // --listen is among them, and returns when it is ready. `environment` (NAME=VALUE each) is added to ours.
  DaemonProcess(const std::string& folder, const std::string& name, const std::vector<std::string>& arguments,
                const std::vector<std::string>& environment = {});
  ~DaemonProcess();

  const std::string& address() const { return address_; }  // HOST:PORT of its gRPC port
  pid_t pid() const { return pid_; }
  // kill -9, and waits until it is gone.
  void Kill();
  // Stops all its threads for a while (SIGSTOP, SIGCONT): its connections stay, and nothing answers.
  void Freeze() const;
  void Thaw() const;
  // SIGTERM; returns the exit status (-1 when a signal ended it).
  int Terminate();
  bool IsRunning() const;
  // Resident memory in bytes.
  uint64_t ResidentBytes() const;

 private:
  std::string AwaitReadyLine(int fd) const;
  int Reap();

  pid_t pid_ = -1;
  std::string address_;
};

// How a hearthd that was to end by itself did.
struct Ended {
  int code = -1;
  std::string errors;  // what it wrote to stderr
};
// Runs `hearthd ARGUMENTS` (words of a shell) with this state directory until it ends; a minute at most.
Ended RunToItsEnd(const std::string& state_dir, const std::string& arguments);

// Watches the cluster until `condition` holds. False after kPatience.
bool AwaitCluster(Client& client, const std::function<bool(const v1::ClusterStatus&)>& condition);
// The same of hosts of which one leads after the other (see Client), over connections that break meanwhile.
bool AwaitAnyOf(const std::string& servers, const std::function<bool(const v1::ClusterStatus&)>& condition);
// Whether `host` coordinates.
bool Leads(const v1::ClusterStatus& status, const std::string& host);
// Whether the active plan gives `host` neurons.
bool HostHasShare(const v1::ClusterStatus& status, const std::string& host);
// Whether `host` has computed neurons under the active plan.
bool HostComputes(const v1::ClusterStatus& status, const std::string& host);
// Whether there is an active plan that only the coordinator has a part of.
bool OnlyCoordinatorHasShare(const v1::ClusterStatus& status, const std::string& coordinator);

// A greedy request for `tokens` tokens that does not end early.
v1::GenerateRequest GreedyRequest(const std::string& prompt, uint32_t tokens);
// The ids that a request generates; fails the test on an error.
std::vector<int> GenerateTokens(Client& client, const v1::GenerateRequest& request);
// What one process without a daemon generates: `hearth-model generate`.
std::vector<int> ReferenceTokens(const std::string& model, const std::string& prompt, uint32_t tokens,
                                 const std::vector<std::string>& arguments);

}  // namespace hearth

#endif  // HEARTH_TESTS_CLUSTER_DAEMON_PROCESS_H_
