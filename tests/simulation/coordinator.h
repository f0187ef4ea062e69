#ifndef HEARTH_TESTS_SIMULATION_COORDINATOR_H_
#define HEARTH_TESTS_SIMULATION_COORDINATOR_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "daemon/membership/roster_core.h"
#include "daemon/planning/memory_book.h"
#include "tests/simulation/keeper.h"
#include "tests/simulation/network.h"
#include "tests/simulation/steps.h"
#include "tests/simulation/world.h"

namespace hearth::simulation {

// A coordinator's daemon: the product's RosterCore with streams, clock and links that are simulated, and the
// models.
class Coordinator : public Process {
 public:
  using Session = RosterCore::Session;

  Coordinator(World& world, Machine& machine, double read_bytes_per_s);
  ~Coordinator() override { Crash(); }

  void Start();
  void Crash();

  World& world() { return world_; }
  RosterCore& roster() { return roster_; }
  std::vector<RosterCore::Host> hosts() { return roster_.hosts(loop().now_ms()); }
  const HostCapacity& capacity() const { return capacity_; }
  const std::string& name() const { return name_; }
  bool KnowsToken(const SessionToken& token) const { return roster_.KnowsToken(token); }
  uint64_t NextEpoch() { return ++last_epoch_; }
  // The daemon of a session; null: it is not known, or dead.
  Worker* WorkerOf(Session session);
  // After whatever was done to the roster.
  void RunEffects();
  void ReportLost(Session session, const std::string& reason);
  MemoryBook& memory() { return memory_; }
  HeldByModel Held();
  void KickAll();

  using AnswerHandler = std::function<void(const DesiredShards& desired)>;
  // A report has come; answers go to `answer`, at the worker's end.
  void TakeReport(const std::shared_ptr<Line>& line, WorkerReport report, Worker* worker,
                  const AnswerHandler& answer);

  const std::vector<std::unique_ptr<Keeper>>& keepers() const { return keepers_; }
  Steps& steps(size_t model) { return *steps_[model]; }
  // No machine's memory is planned twice, no host is there twice.
  void CheckCapacity();

 private:
  struct Stream {
    std::shared_ptr<Line> line;
    Worker* worker = nullptr;
    AnswerHandler answer;
    Session session = 0;
    uint64_t worker_revision = 0;
    uint64_t sent_revision = 0;
  };

  void WriteDesired(Stream& stream);
  void EndStream(const Line* line, const std::string& reason);
  Stream* FindStream(Session session);
  void Watch();
  void ProbeLinks();
  void Probe(const RosterCore::Probe& probe);

  World& world_;
  const std::string name_ = "c";
  HostCapacity capacity_;
  RosterCore roster_;
  MemoryBook memory_;
  std::map<const Line*, Stream> streams_;
  uint64_t watch_number_ = 0, probe_number_ = 0;
  size_t probes_ = 0;
  uint64_t last_epoch_ = 0;
  std::vector<std::unique_ptr<Keeper>> keepers_;
  std::vector<std::unique_ptr<Steps>> steps_;
};

}  // namespace hearth::simulation

#endif  // HEARTH_TESTS_SIMULATION_COORDINATOR_H_
