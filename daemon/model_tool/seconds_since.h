#ifndef HEARTH_DAEMON_MODEL_TOOL_SECONDS_SINCE_H_
#define HEARTH_DAEMON_MODEL_TOOL_SECONDS_SINCE_H_

#include <chrono>

namespace hearth::model_tool {

inline double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace hearth::model_tool

#endif  // HEARTH_DAEMON_MODEL_TOOL_SECONDS_SINCE_H_
