#ifndef HEARTH_CLIENT_LIBRARY_DOWNLOAD_H_
#define HEARTH_CLIENT_LIBRARY_DOWNLOAD_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "client/library/http_request.h"

namespace hearth {

struct DownloadRequest {
  std::string url;
  std::string path;               // where the file is to be
  std::optional<uint64_t> bytes;  // nullopt: as many as the server says
  std::string sha256;             // in small hexadecimal digits; empty: not known
  uint32_t connections = 4;       // at most, each for another range
};

struct Downloaded {
  std::string path;
  uint64_t bytes = 0;
  std::string sha256;
  bool checked = false;  // the digest is the one that was asked for
};

struct DownloadProgress {
  uint64_t done_bytes = 0;
  uint64_t bytes = 0;      // 0: not known yet
  std::string_view doing;  // "fetching", "checking", "waiting: WHY"
};
using ShowDownload = std::function<void(const DownloadProgress&)>;

// Fetches a GGUF file into its place, or what is missing of it since the last time. A file that is there and
// has the digest is not fetched again. Whatever fails: nothing is at `path`; what had come stays in
// `path`.part where it can be gone on with. The error is one line. CANCELLED once `stop` is set.
absl::StatusOr<Downloaded> Download(const DownloadRequest& request, const HttpOptions& options,
                                    const std::atomic<bool>& stop, const ShowDownload& show);

}  // namespace hearth

#endif  // HEARTH_CLIENT_LIBRARY_DOWNLOAD_H_
