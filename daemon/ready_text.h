#ifndef HEARTH_DAEMON_READY_TEXT_H_
#define HEARTH_DAEMON_READY_TEXT_H_

#include <string>
#include <vector>

#include "daemon/model_host.h"

namespace hearth {

// What hearthd prints once it answers calls. Scripts wait for the first line, "hearthd ready on HOST:PORT";
// `http` is the second one unless it is empty; a line more for each model that cannot be used yet says so.
std::string ReadyText(const std::string& address, const std::string& http,
                      const std::vector<ModelInfo>& models);

// The first line's fact and how many models there are, in one short line: what a service manager shows of a
// coordinator, and of a worker.
std::string StatusText(const std::string& address, const std::vector<ModelInfo>& models);
std::string WorkerStatusText(const std::string& address);

}  // namespace hearth

#endif  // HEARTH_DAEMON_READY_TEXT_H_
