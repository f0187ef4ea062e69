#ifndef HEARTH_TESTS_CLUSTER_RELAY_H_
#define HEARTH_TESTS_CLUSTER_RELAY_H_

#include <atomic>
#include <string>
#include <thread>
#include <vector>

namespace hearth {

// A wire between two programs that can be cut without either being told: what connects to address() is
// connected to `target`, and while the relay is silent no byte passes, none is lost, and nothing is accepted.
class Relay {
 public:
  // `target` is HOST:PORT, HOST in numbers.
  explicit Relay(const std::string& target);
  ~Relay();
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  const std::string& address() const { return address_; }  // 127.0.0.1:PORT
  void SetSilent(bool silent);

 private:
  struct Pair {
    int ends[2];
  };

  void Run();
  void Accept();
  // Passes on what one end has sent; false when either has closed.
  static bool Pass(int from, int to);

  const std::string target_;
  std::string address_;
  int listener_ = -1;
  int wake_ = -1;  // an eventfd: something was changed
  std::atomic<bool> silent_{false};
  std::atomic<bool> stopped_{false};
  std::vector<Pair> pairs_;  // of the thread
  std::thread thread_;
};

}  // namespace hearth

#endif  // HEARTH_TESTS_CLUSTER_RELAY_H_
