#ifndef HEARTH_TESTS_SIMULATION_WORLD_H_
#define HEARTH_TESTS_SIMULATION_WORLD_H_

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "daemon/membership/host_identity.h"
#include "daemon/planning/cluster_plan.h"
#include "engine/base/sha256.h"
#include "tests/simulation/network.h"
#include "tests/simulation/toy_model.h"

namespace hearth::simulation {

class Clients;
class Coordinator;
class Worker;

// Known bugs that can be put in, to see that they are found.
enum class Bug {
  kNone,
  kAcceptsStaleEpoch,   // the leader takes answers of another plan's connection
  kKeepsLostCache,      // what a lost host held of the KV cache is not computed again
  kAdmitsTwice,         // a request whose step failed is queued once more
  kCountsMachineTwice,  // daemons of one machine do not say that it is the same
  kKeepsFormerWeights,  // a worker does not let go of a former plan's weights
};
inline const std::map<std::string, Bug> kBugs = {
    {"none", Bug::kNone},
    {"accepts-stale-epoch", Bug::kAcceptsStaleEpoch},
    {"keeps-lost-cache", Bug::kKeepsLostCache},
    {"admits-twice", Bug::kAdmitsTwice},
    {"counts-machine-twice", Bug::kCountsMachineTwice},
    {"keeps-former-weights", Bug::kKeepsFormerWeights},
};

struct Options {
  uint64_t seed = 0;
  Bug bug = Bug::kNone;
  uint32_t models = 1;
  bool verbose = false;
};

// A host that may run a worker: what outlives its daemon.
struct WorkerHost {
  std::string name;
  HostIdentity identity;
  Machine* machine = nullptr;
  std::set<Sha256Digest> disk;  // bundles that its cache has
  bool disk_is_full = false;
  double disk_bytes_per_s = 1e9;
  double read_bytes_per_s = 1e10;  // of its memory
  double budget = 0.8;             // of what is free, that it offers
  Worker* daemon = nullptr;        // null: none runs
};

// One simulation: hosts, a coordinator, clients, and what goes wrong, all from one seed.
class World {
 public:
  explicit World(const Options& options);
  ~World();

  // The first thing that was not as it must be; empty: nothing.
  std::string Run();

  EventLoop& loop() { return loop_; }
  Random& random() { return random_; }
  Network& network() { return network_; }
  const Options& options() const { return options_; }
  Coordinator* coordinator() { return coordinator_; }
  Clients& clients() { return *clients_; }
  std::vector<std::unique_ptr<WorkerHost>>& hosts() { return hosts_; }
  const std::vector<std::unique_ptr<ToyModel>>& models() const { return models_; }
  bool Is(Bug bug) const { return options_.bug == bug; }
  // Messages of other connections of a pair of hosts get in between.
  bool is_harsh() const { return harsh_; }

  // As PlanCluster does, which is a function: what it has given is remembered.
  absl::StatusOr<ClusterPlan> MakePlan(const std::vector<PlanningHost>& hosts, const placement::Model& model,
                                       const ReservedBytes& reserved, const placement::PlanOptions& options);

  void Log(const std::string& line) const;
  // Something is not as it must be.
  void Violate(const std::string& what);
  bool violated() const { return !violation_.empty(); }
  // To be true whenever something has changed.
  void CheckMemory();

 private:
  void MakeHosts();
  void StartCoordinator();
  void StartWorker(WorkerHost& host);
  void CrashWorker(WorkerHost& host, bool word);
  void CrashCoordinator();
  void ScheduleTrouble();
  void MakeTrouble();
  bool IsSettled() const;
  void CheckAtRest();
  void CheckHostsAreUsed();

  const Options options_;
  EventLoop loop_;
  Random random_;
  Network network_;
  bool harsh_ = false;
  Micros trouble_until_ = 0;
  double trouble_every_ = 0;  // microseconds
  std::string violation_;
  std::vector<std::unique_ptr<Machine>> machines_;  // the first is the coordinator's
  std::vector<std::unique_ptr<WorkerHost>> hosts_;
  std::vector<std::unique_ptr<ToyModel>> models_;
  std::vector<std::unique_ptr<Process>> processes_;  // dead ones too
  std::map<std::string, absl::StatusOr<ClusterPlan>> plans_;
  Coordinator* coordinator_ = nullptr;  // null: it is down
  std::unique_ptr<Clients> clients_;
};

}  // namespace hearth::simulation

#endif  // HEARTH_TESTS_SIMULATION_WORLD_H_
