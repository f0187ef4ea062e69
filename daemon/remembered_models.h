#ifndef HEARTH_DAEMON_REMEMBERED_MODELS_H_
#define HEARTH_DAEMON_REMEMBERED_MODELS_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "daemon/model_host.h"
#include "daemon/state/state_store.h"
#include "engine/base/mutex.h"

namespace hearth {

// The models of a host, with a memory of what clients have loaded: it is in the store before a call returns,
// so that the next daemon, after an upgrade or a crash, has the same models. What the daemon's own settings
// load goes past this class and is not remembered. Thread-safe.
class RememberedModels final : public ModelHost {
 public:
  // `host` and `store` outlive it. `former_file`, of lines "NAME<tab>PATH", is where daemons before the store
  // remembered: what it says goes into the store, and the file. INVALID_ARGUMENT for one that is something
  // else.
  static absl::StatusOr<std::unique_ptr<RememberedModels>> Open(ModelHost& host, StateStore& store,
                                                                const std::string& former_file);

  // Starts loading all that is remembered. What cannot be, such as a file on a disk that is not there today,
  // is a warning and stays remembered; what is loaded already under its name is left alone.
  void LoadAll();

  // A model that cannot be remembered, for lack of disk space for example, is loaded all the same, with a
  // warning.
  absl::StatusOr<std::string> Load(const ModelSource& source) override;
  absl::Status Unload(const std::string& name) override;
  std::vector<ModelInfo> List() const override { return host_.List(); }
  absl::StatusOr<std::shared_ptr<ServedModel>> Find(const std::string& name) const override {
    return host_.Find(name);
  }
  void SetListener(std::function<void()> listener) override { host_.SetListener(std::move(listener)); }

 private:
  RememberedModels(ModelHost& host, StateStore& store) : host_(host), store_(store) {}

  ModelHost& host_;
  StateStore& store_;
  Mutex mutex_;  // one change at a time, in the host and in the store
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_REMEMBERED_MODELS_H_
