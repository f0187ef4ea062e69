#ifndef HEARTH_TESTS_SIMULATION_CLIENTS_H_
#define HEARTH_TESTS_SIMULATION_CLIENTS_H_

#include <cstdint>
#include <deque>
#include <map>
#include <vector>

#include "daemon/steps/scheduler_core.h"
#include "tests/simulation/world.h"

namespace hearth::simulation {

// Those who ask for text. They know what an unbroken run would give, and send a request that failed again
// with the tokens that they have.
class Clients {
 public:
  explicit Clients(World& world) : world_(world) {}

  // One client asks now and then until `until`.
  void Begin(Micros until);
  // Asks every model once more; what comes of it must be whole.
  void AskAll();

  // ---- From the coordinator, for an attempt.

  void Token(RequestId id, TokenId token);
  void End(RequestId id, EndReason reason);
  void Fail(RequestId id);
  // All connections are broken.
  void LoseCoordinator();

  // Whether nobody waits any more.
  bool AllEnded() const { return waiting_ == 0; }
  uint64_t tokens() const { return tokens_; }
  uint64_t retries() const { return retries_; }
  uint64_t whole() const { return whole_; }

 private:
  struct Request {
    size_t model = 0;
    std::vector<TokenId> prompt;
    std::vector<TokenId> expected;  // all of them
    size_t got = 0;                 // of these
    int attempts = 0;
    bool must_be_whole = false;
    bool cancelled = false;
    bool blocked = false;
    Micros deadline = 0;  // 0: none
    bool ended = false;
  };
  struct Attempt {
    size_t request = 0;
    bool ended = false;
  };

  void Ask(Request request);
  void Submit(size_t request);
  void SubmitTo(Coordinator& coordinator, size_t request);
  // The attempt that this is about; null (and a violation) where it has ended.
  Attempt* Find(RequestId id, const char* what);
  void Again(size_t request);
  void Finish(Request& request);
  Request Draw();

  World& world_;
  std::deque<Request> requests_;
  std::map<RequestId, Attempt> attempts_;
  RequestId last_id_ = 0;
  size_t waiting_ = 0;
  uint64_t tokens_ = 0, retries_ = 0, whole_ = 0;
};

}  // namespace hearth::simulation

#endif  // HEARTH_TESTS_SIMULATION_CLIENTS_H_
