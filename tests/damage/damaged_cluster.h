#ifndef HEARTH_TESTS_DAMAGE_DAMAGED_CLUSTER_H_
#define HEARTH_TESTS_DAMAGE_DAMAGED_CLUSTER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/hearth_client.h"
#include "daemon/cluster/node.h"
#include "daemon/serving/server.h"

namespace hearth {

// Two hosts in one process with the daemon's own defaults, connected as hearthd connects them and asked as
// its clients ask it. Every model is shared between both.
class DamagedCluster {
 public:
  // `directory` is for the hosts' state and the models; it exists. Waits until both hosts are there.
  static absl::StatusOr<std::unique_ptr<DamagedCluster>> Start(const std::string& directory);
  ~DamagedCluster();

  // Loads the bytes as a model file, asks for 8 tokens and unloads it. OK when there were tokens; otherwise
  // the error that ended it: every error is a line.
  absl::Status Try(const std::string& name, const std::vector<uint8_t>& bytes);

  // Damages what the second host keeps of the models' weights on its disk.
  void DamageCache(uint64_t seed);

 private:
  DamagedCluster(std::string directory) : directory_(std::move(directory)) {}
  absl::Status StartNodes();
  absl::Status AwaitWorker();
  absl::Status Ask(const std::string& model);

  const std::string directory_;
  std::unique_ptr<Node> coordinator_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<Node> worker_;
  std::unique_ptr<Client> client_;
};

}  // namespace hearth

#endif  // HEARTH_TESTS_DAMAGE_DAMAGED_CLUSTER_H_
