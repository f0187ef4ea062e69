#ifndef HEARTH_DAEMON_LOGGING_H_
#define HEARTH_DAEMON_LOGGING_H_

#include <string>

namespace hearth {

// Sends the daemon's log to stderr. `level`: "trace", "debug", "info", "warning", "error" or "off". `format`:
// "text", or "json" for one object per line with time (RFC 3339, UTC), level and message. Where stderr is the
// journal's, each line begins with its priority as sd-daemon(3) has it, which becomes the field PRIORITY, and
// texts leave out the time, which the journal has.
void SetUpLogging(const std::string& level, const std::string& format);

}  // namespace hearth

#endif  // HEARTH_DAEMON_LOGGING_H_
