#ifndef HEARTH_CLIENT_LIBRARY_PULL_H_
#define HEARTH_CLIENT_LIBRARY_PULL_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "client/library/download.h"

namespace hearth {

struct PullOptions {
  std::string source;  // URL, or hf:USER/REPO[:FILE]
  std::string folder;  // which is there
  std::string name;    // of the file; empty: the URL's
  std::string sha256;  // that its only file must have, in hexadecimal; empty: what the hub tells, if it does
  uint32_t connections = 4;
  std::string hub = "https://huggingface.co";
  HttpOptions http;  // its token is for the hub
};

struct PullProgress {
  size_t file = 1;  // which of ...
  size_t files = 1;
  DownloadProgress download;
};

// Fetches a model into the folder: one file, or all parts of one that is split. One after the other is
// complete, checked and in its place, or not there at all. The error is one line that says what to do;
// CANCELLED once `stop` is set.
absl::StatusOr<std::vector<Downloaded>> Pull(PullOptions options, const std::atomic<bool>& stop,
                                             const std::function<void(const PullProgress&)>& show);

}  // namespace hearth

#endif  // HEARTH_CLIENT_LIBRARY_PULL_H_
