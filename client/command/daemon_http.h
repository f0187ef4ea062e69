#ifndef HEARTH_CLIENT_COMMAND_DAEMON_HTTP_H_
#define HEARTH_CLIENT_COMMAND_DAEMON_HTTP_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace hearth {

// What the plain HTTP port of a daemon answers to GET `path`, in three seconds and two megabytes at most;
// proxies of the environment are not for it. Of a stream that does not end, what came until `enough` had.
// UNAVAILABLE with the reason, also where the answer is an error.
absl::StatusOr<std::string> GetFromDaemon(const std::string& address, const std::string& path,
                                          std::string_view enough = {});

}  // namespace hearth

#endif  // HEARTH_CLIENT_COMMAND_DAEMON_HTTP_H_
