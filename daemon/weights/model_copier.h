#ifndef HEARTH_DAEMON_WEIGHTS_MODEL_COPIER_H_
#define HEARTH_DAEMON_WEIGHTS_MODEL_COPIER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "daemon/weights/model_copies.h"
#include "daemon/weights/model_file_source.h"
#include "daemon/weights/session_token.h"
#include "engine/base/mutex.h"

namespace hearth {

struct ModelCopierOptions {
  std::string digests_dir;  // where DigestOfFile is to find those of copies; empty: nowhere
  absl::Duration looks_apart = absl::Seconds(10);
  // Copies take a quarter of a gigabit network, so that streams keep the rest.
  uint64_t bytes_per_second = 30'000'000;
};

// Copies the files of a coordinator's models that this host has not, one after the other, in a thread of its
// own. What cannot be copied is a warning, once. Thread-safe.
class ModelCopier {
 public:
  ModelCopier(std::unique_ptr<ModelFileSource> source, ModelCopies copies, ModelCopierOptions options = {});
  ~ModelCopier();

  // The token of the session that this host has by now; nothing is copied before the first.
  void Use(const SessionToken& token);
  // Whether nothing is to be copied for now: the machine is its owner's. What is under way breaks off.
  void Rest(bool rests);
  // Idempotent.
  void Stop();

  // One look at what the coordinator has, with all that is copied then. Of the thread, or of a test that has
  // given no token.
  void Look(const SessionToken& token);

 private:
  void Run();
  void NoteDigest(const ModelFiles& model) const;
  absl::Status Copy(const ModelFiles& model, const SessionToken& token);
  // CANCELLED when the copier stops or rests meanwhile.
  absl::Status Pause(absl::Duration duration);

  const std::unique_ptr<ModelFileSource> source_;
  const ModelCopierOptions options_;
  ModelCopies copies_;
  std::map<std::string, std::string> warned_;  // by path; the thread's

  Mutex mutex_;
  CondVar wake_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  bool rests_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<SessionToken> token_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;  // last: it uses the others
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_WEIGHTS_MODEL_COPIER_H_
