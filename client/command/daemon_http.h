#ifndef HEARTH_CLIENT_COMMAND_DAEMON_HTTP_H_
#define HEARTH_CLIENT_COMMAND_DAEMON_HTTP_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace hearth {

// The HTTP port of a daemon.
struct DaemonHttp {
  std::string address;         // HOST:PORT
  std::string key = {};        // of `hearth key create --api`, for HTTPS; empty: the port is plain
  std::string authority = {};  // file with the authority that its certificate is of; empty: the system's
};

// What it answers to GET `path`, in three seconds and two megabytes at most; proxies of the environment are
// not for it. Of a stream that does not end, what came until `enough` had. UNAVAILABLE with the reason, also
// where the answer is an error.
absl::StatusOr<std::string> GetFromDaemon(const DaemonHttp& http, const std::string& path,
                                          std::string_view enough = {});

}  // namespace hearth

#endif  // HEARTH_CLIENT_COMMAND_DAEMON_HTTP_H_
