#ifndef HEARTH_TESTS_SIMULATION_WORKER_H_
#define HEARTH_TESTS_SIMULATION_WORKER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "daemon/membership/roster_core.h"
#include "daemon/membership/sync_core.h"
#include "daemon/weights/shard_jobs.h"
#include "tests/simulation/network.h"
#include "tests/simulation/toy_model.h"
#include "tests/simulation/world.h"

namespace hearth::simulation {

class Coordinator;

// A worker's daemon: the product's SyncCore and ShardJobs, around them a network, a disk and weights that are
// simulated.
class Worker : public Process {
 public:
  Worker(World& world, WorkerHost& host);
  ~Worker() override { Crash(); }

  void Start();
  // All of its memory is free.
  void Crash();
  const WorkerHost& host() const { return host_; }
  const HostCapacity& capacity() const { return capacity_; }

  // ---- Its tensor channel. Messages of a connection come through these.

  // Whether a connection with this token and epoch is answered; then the caches of the epoch's head groups.
  std::optional<std::map<UnitId, uint64_t>> Greet(const std::shared_ptr<Line>& line,
                                                  const SessionToken& token, uint64_t epoch);
  // Answers over the line, after the time that it takes. `answer` is called at the leader's end.
  using AnswerHandler = std::function<void(const FrameHeader& header, const std::vector<uint64_t>& sums)>;
  void TakeRequest(const std::shared_ptr<Line>& line, const FrameHeader& header,
                   const std::vector<BatchRow>& rows, const AnswerHandler& answer);
  // The pieces that an open connection reaches; null: none.
  Pieces* PiecesOf(const std::shared_ptr<Line>& line);
  bool KnowsToken(const SessionToken& token) const { return token == session_; }

  // ---- For invariants.

  uint64_t held_bytes() const;
  uint64_t wanted_bytes() const;
  bool in_cluster() const { return sync_.answered() && line_ != nullptr; }

 private:
  struct Held {
    std::shared_ptr<Pieces> pieces;  // null: nothing has been done for it
  };
  using Jobs = ShardJobs<Held>;
  struct Connection {
    std::shared_ptr<Line> line;
    uint64_t epoch = 0;
    std::shared_ptr<Pieces> pieces;
  };

  void Call();
  void Poll();
  void HangUp(const absl::Status& why);
  void TakeAnswer(const DesiredShards& desired);
  WorkerReport MakeReport() const;
  void Changed();

  void TakeDesired();
  void Adopt(Jobs::Job& job, const Jobs& others) const;
  void Load();
  void Fetch(uint64_t epoch, std::vector<BundleId> missing);
  void Place(uint64_t epoch);
  absl::Status StillWanted() const;
  void Finish(uint64_t epoch, const absl::Status& status);
  void LookAgain();
  void Withdraw(uint64_t epoch);

  World& world_;
  WorkerHost& host_;
  HostCapacity capacity_;
  SyncCore sync_;
  std::shared_ptr<Line> line_;
  bool report_now_ = false;
  uint64_t poll_number_ = 0;  // of the newest timer

  SessionToken session_{};
  std::map<uint64_t, std::shared_ptr<Pieces>> published_;
  std::vector<Connection> connections_;

  Jobs jobs_;
  bool desired_is_new_ = false;
  SessionToken desired_token_{};
  std::vector<ShardDescription> desired_;
  bool working_ = false;
  uint64_t load_number_ = 0;
  std::string problem_;
  std::vector<std::shared_ptr<Pieces>> never_let_go_;  // by a planted bug
};

}  // namespace hearth::simulation

#endif  // HEARTH_TESTS_SIMULATION_WORKER_H_
