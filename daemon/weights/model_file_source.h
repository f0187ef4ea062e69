#ifndef HEARTH_DAEMON_WEIGHTS_MODEL_FILE_SOURCE_H_
#define HEARTH_DAEMON_WEIGHTS_MODEL_FILE_SOURCE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "daemon/weights/model_files.h"
#include "daemon/weights/session_token.h"

namespace hearth {

// Where a host gets the files of its coordinator's models from. Thread-safe.
class ModelFileSource {
 public:
  virtual ~ModelFileSource() = default;

  // Those of the models that are ready.
  virtual absl::StatusOr<std::vector<ModelFiles>> List(const SessionToken& token) = 0;
  // Blocks until all bytes of a file from `offset` on were given to `sink`. Returns its error or the call's.
  virtual absl::Status Fetch(const SessionToken& token, const std::string& model_digest,
                             const std::string& name, uint64_t offset, const PieceSink& sink) = 0;
  // Ends all calls with CANCELLED, now and from now on.
  virtual void Shutdown() = 0;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_WEIGHTS_MODEL_FILE_SOURCE_H_
