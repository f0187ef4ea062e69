#ifndef HEARTH_DAEMON_REMEMBERED_MODELS_H_
#define HEARTH_DAEMON_REMEMBERED_MODELS_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "daemon/model_host.h"
#include "engine/base/mutex.h"

namespace hearth {

// The models of a host, with a memory of what clients have loaded: it is written to a file before a call
// returns, so that the next daemon, after an upgrade or a crash, has the same models. What the daemon's own
// settings load goes past this class and is not remembered. Thread-safe.
class RememberedModels final : public ModelHost {
 public:
  // `host` outlives it. Reads `file`, of lines "NAME<tab>PATH"; a missing one remembers nothing.
  // INVALID_ARGUMENT for one that is something else.
  static absl::StatusOr<std::unique_ptr<RememberedModels>> Open(ModelHost& host, const std::string& file);

  // Starts loading all that is remembered. What cannot be, such as a file on a disk that is not there today,
  // is a warning and stays remembered; what is loaded already under its name is left alone.
  void LoadAll();

  // A model that cannot be remembered, for lack of disk space for example, is loaded all the same, with a
  // warning.
  absl::StatusOr<std::string> Load(const std::string& name, const std::string& path) override;
  absl::Status Unload(const std::string& name) override;
  std::vector<ModelInfo> List() const override { return host_.List(); }
  absl::StatusOr<std::shared_ptr<ServedModel>> Find(const std::string& name) const override {
    return host_.Find(name);
  }
  void SetListener(std::function<void()> listener) override { host_.SetListener(std::move(listener)); }

 private:
  RememberedModels(ModelHost& host, std::string file) : host_(host), file_(std::move(file)) {}

  void Save() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  ModelHost& host_;
  const std::string file_;
  Mutex mutex_;
  std::map<std::string, std::string> paths_ ABSL_GUARDED_BY(mutex_);  // by name
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_REMEMBERED_MODELS_H_
