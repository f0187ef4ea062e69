#ifndef HEARTH_TESTS_SIMULATION_NETWORK_H_
#define HEARTH_TESTS_SIMULATION_NETWORK_H_

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/simulation/event_loop.h"

namespace hearth::simulation {

using Micros = EventLoop::Micros;

// A computer: what its daemons share.
struct Machine {
  int number = 0;
  uint64_t memory_bytes = 0;
  uint64_t others_bytes = 0;  // that programs besides Hearth take
  uint64_t used_bytes = 0;    // by daemons
  uint32_t boots = 0;
  double speed = 1;  // of computing; less while somebody else uses it

  uint64_t free_bytes() const { return memory_bytes - std::min(memory_bytes, others_bytes + used_bytes); }
};

// A running daemon. What it is to do later does not happen once it is dead, and waits while it is stopped.
class Process {
 public:
  Process(EventLoop& loop, Machine& machine) : loop_(loop), machine_(machine) {}
  virtual ~Process() { *life_ = false; }

  EventLoop& loop() const { return loop_; }
  Machine& machine() const { return machine_; }
  bool alive() const { return *life_; }
  void Stop(Micros until) { stopped_until_ = std::max(stopped_until_, until); }
  Micros stopped_until() const { return stopped_until_; }
  void After(Micros delay, std::function<void()> what) { At(loop_.now() + delay, std::move(what)); }
  void At(Micros when, std::function<void()> what) {
    loop_.At(when,
             [this, life = life_, what = std::move(what)]() mutable { RunOrWait(life, std::move(what)); });
  }
  // Never does anything again; its object may live on.
  void Die() { *life_ = false; }

 private:
  void RunOrWait(const std::shared_ptr<bool>& life, std::function<void()> what) {
    if (!*life) return;
    if (stopped_until_ <= loop_.now()) return what();
    At(stopped_until_, std::move(what));
  }

  EventLoop& loop_;
  Machine& machine_;
  Micros stopped_until_ = 0;
  const std::shared_ptr<bool> life_ = std::make_shared<bool>(true);
};

class Network;

// A connection between two processes: messages come in order, late, or not at all once it is broken.
class Line : public std::enable_shared_from_this<Line> {
 public:
  // The ends are 0 (who has called) and 1.
  Line(Network& network, Process& caller, Process& called) : network_(network), ends_{&caller, &called} {}

  // Lets `arrive` happen at the other end.
  void Send(int from, std::function<void()> arrive);
  // The other end hears of it behind what was sent before, this one not.
  void Close(int from);
  void OnClosed(int end, std::function<void()> closed) { on_closed_[end] = std::move(closed); }
  // A process is dead: with `word` the other end is told.
  void Die(int end, bool word);
  bool open(int end) const { return open_[end]; }
  Process& end(int end) { return *ends_[end]; }

 private:
  friend class Network;
  void Deliver(int from, std::function<void()> arrive);
  void Hear(int end);

  Network& network_;
  std::array<Process*, 2> ends_;
  std::array<bool, 2> open_ = {true, true};
  std::array<Micros, 2> last_ = {0, 0};  // when the newest message of each end arrives
  std::array<std::vector<std::function<void()>>, 2> held_;
  std::array<std::function<void()>, 2> on_closed_;
};

// Delays, loses (which delays more), holds back while a way is cut. Messages of one connection keep their
// order.
class Network {
 public:
  Network(EventLoop& loop, Random& random) : loop_(loop), random_(random) {}

  std::shared_ptr<Line> Connect(Process& caller, Process& called);
  // All connections of a dead process; with `word` the peers are told.
  void Break(Process& process, bool word);

  void Cut(int from, int to) { ++cuts_[{from, to}]; }
  void Heal(int from, int to);
  void HealAll();
  bool IsCut(int from, int to) const;
  bool IsCutEitherWay(int a, int b) const { return IsCut(a, b) || IsCut(b, a); }
  // Of messages that have to be sent again.
  void SetLoss(double share) { loss_ = share; }
  Micros Delay();
  void SetRoundTrip(Micros round_trip) { round_trip_ = round_trip; }
  Micros round_trip() const { return round_trip_; }
  EventLoop& loop() { return loop_; }

 private:
  friend class Line;
  void Forget();

  EventLoop& loop_;
  Random& random_;
  Micros round_trip_ = 200;
  double loss_ = 0;
  std::map<std::pair<int, int>, int> cuts_;
  std::vector<std::shared_ptr<Line>> lines_;  // that are open at an end
};

}  // namespace hearth::simulation

#endif  // HEARTH_TESTS_SIMULATION_NETWORK_H_
