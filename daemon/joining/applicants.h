#ifndef HEARTH_DAEMON_JOINING_APPLICANTS_H_
#define HEARTH_DAEMON_JOINING_APPLICANTS_H_

#include <chrono>
#include <cstdint>
#include <list>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "daemon/channel/stranger_limits.h"
#include "daemon/identity/host_id.h"

namespace hearth {

// A host that waits at the door to be let in without a join code.
struct Applicant {
  std::string code;  // see short_code.h
  std::string name;
  HostId id;
  std::string address;
  std::string signing_request_pem;
  std::chrono::steady_clock::time_point since;
};

// Those of them who are there, few enough that no neighbour gets many guesses at a code, nor keeps the others
// out. Pure: time is an argument. Not thread-safe.
class Applicants {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  using Ticket = uint64_t;

  static constexpr size_t kMost = 16;
  static constexpr size_t kPerNetwork = 4;              // see NetworkOf
  static constexpr std::chrono::minutes kPatience{10};  // with each
  static constexpr size_t kMostWrong = 5;               // codes within kInterval
  static constexpr std::chrono::minutes kInterval{1};   // and for how long no other is heard after them

  // Whether one from this network may hear a nonce, by which it gets another code: a guess for whoever stands
  // between two others. RESOURCE_EXHAUSTED says to wait.
  absl::Status Greet(const std::string& network, TimePoint now);

  // Takes the place of one with the same key. RESOURCE_EXHAUSTED where there is no room, ABORTED where
  // another has the same code; both say what to do.
  absl::StatusOr<Ticket> Add(Applicant applicant, const std::string& network);
  void Remove(Ticket ticket);

  // Whose code it is, taken off the list. NOT_FOUND; RESOURCE_EXHAUSTED after too many wrong ones.
  struct Taken {
    Ticket ticket;
    Applicant applicant;
  };
  absl::StatusOr<Taken> Take(const std::string& code, TimePoint now);

  // The one that has waited longest first.
  std::vector<Applicant> List(TimePoint now);

 private:
  struct Entry {
    Ticket ticket;
    std::string network;
    Applicant applicant;
  };

  void DropOverdue(TimePoint now);

  std::list<Entry> entries_;  // in the order in which they came
  Ticket next_ = 1;
  StrangerRate network_rate_{{.per_second = 1.0 / 60, .burst = 5}};
  StrangerRate rate_{{.per_second = 1.0 / 30, .burst = 16}};  // of all: one bucket
  std::vector<TimePoint> wrong_;                              // codes, within the interval
  TimePoint hears_again_{};
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_JOINING_APPLICANTS_H_
