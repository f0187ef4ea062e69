#include "daemon/service_manager.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "engine/base/absl_view.h"
#include "engine/base/printable.h"

namespace hearth {
namespace {

constexpr size_t kMaxStatusBytes = 512;

// A variable's text, which is gone from the environment then; "" where it is not set.
std::string TakeVariable(const char* name) {
  const char* const value = std::getenv(name);
  std::string text = value == nullptr ? "" : value;
  unsetenv(name);
  return text;
}

}  // namespace

ServiceManager ServiceManager::Take() {
  std::string socket = TakeVariable("NOTIFY_SOCKET");
  const std::string watched = TakeVariable("WATCHDOG_PID");
  const std::string interval = TakeVariable("WATCHDOG_USEC");
  int64_t watchdog_us = 0;
  const bool sound = absl::SimpleAtoi(interval, &watchdog_us) && watchdog_us > 0;
  const bool ours = watched.empty() || watched == absl::StrCat(getpid());
  return {std::move(socket), sound && ours ? absl::Microseconds(watchdog_us) : absl::ZeroDuration()};
}

absl::Status ServiceManager::Tell(std::string_view what, std::string_view status) const {
  if (socket_.empty()) return absl::OkStatus();
  const std::string message =
      absl::StrCat(AbslView(what), "\nSTATUS=", Printable(AbslView(status), kMaxStatusBytes));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const bool known = socket_.front() == '/' || socket_.front() == '@';
  if (!known || socket_.size() >= sizeof(address.sun_path)) {
    return absl::UnavailableError(absl::StrCat("NOTIFY_SOCKET: cannot use ", Printable(socket_)));
  }
  std::memcpy(address.sun_path, socket_.data(), socket_.size());
  if (socket_.front() == '@') address.sun_path[0] = '\0';
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_.size());
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const ssize_t sent = fd < 0 ? -1
                              : ::sendto(fd, message.data(), message.size(), MSG_NOSIGNAL,
                                         reinterpret_cast<const sockaddr*>(&address), size);
  const int error = errno;
  if (fd >= 0) ::close(fd);
  if (sent == static_cast<ssize_t>(message.size())) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("NOTIFY_SOCKET: cannot write to ", Printable(socket_), ": ", std::strerror(error)));
}

}  // namespace hearth
