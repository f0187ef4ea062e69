#ifndef HEARTH_DAEMON_WEIGHTS_BUNDLE_SOURCE_H_
#define HEARTH_DAEMON_WEIGHTS_BUNDLE_SOURCE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "daemon/weights/session_token.h"
#include "engine/base/sha256.h"

namespace hearth {

// Where a worker gets the bundles from that its cache lacks. Thread-safe.
class BundleSource {
 public:
  virtual ~BundleSource() = default;

  struct Range {
    Sha256Digest sha256{};
    uint64_t offset = 0;
  };
  // Called with the next bytes of ranges[range]; an error ends the call.
  using ChunkSink =
      std::function<absl::Status(size_t range, uint64_t offset, absl::Span<const uint8_t> data)>;
  // Fetches bundles and blocks until all bytes were given to `sink`. Returns its error or the call's.
  virtual absl::Status FetchBundles(const SessionToken& token, const std::string& model_digest,
                                    const std::vector<Range>& ranges, const ChunkSink& sink) = 0;
  // Ends all FetchBundles with CANCELLED, now and from now on.
  virtual void Shutdown() = 0;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_WEIGHTS_BUNDLE_SOURCE_H_
