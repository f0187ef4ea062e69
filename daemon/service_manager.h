#ifndef HEARTH_DAEMON_SERVICE_MANAGER_H_
#define HEARTH_DAEMON_SERVICE_MANAGER_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace hearth {

// What started this program and wants to know how it is: systemd (Type=notify), or anything that speaks its
// protocol, which is one datagram of "KEY=value" lines to the socket that NOTIFY_SOCKET names. It is spoken
// here rather than by libsystemd, which would bring four more libraries into a daemon that strangers talk to.
// Without such a manager nothing is sent and everything is OK. Thread-safe.
class ServiceManager {
 public:
  // Of this process's environment, from which the variables are taken: programs that it starts are not the
  // service. Before any other thread reads the environment.
  static ServiceManager Take();
  // For tests. `watchdog_us`: what WATCHDOG_USEC says; 0 for none.
  ServiceManager(std::string socket, absl::Duration watchdog)
      : socket_(std::move(socket)), watchdog_(watchdog) {}

  // The service answers from now on. `status`: one line about it, as `systemctl status` shows it.
  absl::Status Ready(std::string_view status) const { return Tell("READY=1", status); }
  // It is still well; to be said more often than each watchdog().
  absl::Status Alive(std::string_view status) const { return Tell("WATCHDOG=1", status); }
  // It has begun to end.
  absl::Status Stopping() const { return Tell("STOPPING=1", "stopping"); }

  // Who says nothing for so long is taken for hung, and ended; zero: nobody watches.
  absl::Duration watchdog() const { return watchdog_; }

 private:
  // UNAVAILABLE, with the reason, where the socket cannot be reached.
  absl::Status Tell(std::string_view what, std::string_view status) const;

  std::string socket_;  // a path, or "@" and an abstract name; empty: no manager
  absl::Duration watchdog_;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_SERVICE_MANAGER_H_
